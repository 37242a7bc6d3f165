# SPDX-License-Identifier: Apache-2.0
"""Reading and checking ONNX files: what is refused, how constants are computed, where external data may lie."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_models import Builder, build, saved

from mbv2gen import mac_count
from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Graph
from mbv2gen.onnx_import import onnx_file
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph


def small(g: Builder, x: str) -> str:
    y = g.relu6(g.batch_norm(g.conv(x, 3, 4, kernel=3), 4))
    return g("Gemm", g("Flatten", g("GlobalAveragePool", y)), g.random(4, 5), g.random(5))


def graph_of(model: ModelProto, folder: Path) -> Graph:
    return read_graph(saved(model, folder))


def refusal(action: Callable[[], object]) -> str:
    """The one line of the error that ``action`` must raise."""
    with pytest.raises(Mbv2genError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def with_external_weights(folder: Path, location: str, write_to: Path | None = None, **entries: str) -> Path:
    """The small model with its largest tensor outside, as ``location`` says; the bytes go to ``write_to``."""
    model = build(small)
    tensor = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    target = write_to or folder / location
    target.write_bytes(b"head" + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "4", **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return saved(model, folder)


def test_shapes_are_static_and_nodes_ordered(tmp_path: Path) -> None:
    graph = graph_of(build(small, shape=("batch", 3, 7, 9)), tmp_path)
    assert graph.values["image"].shape == (1, 3, 7, 9)
    assert graph.values[graph.outputs[0]].shape == (1, 5)
    known = set(graph.constants) | set(graph.inputs)
    for node in graph.nodes:
        assert known.issuperset(name for name in node.inputs if name)
        known.update(node.outputs)


def test_constants_of_every_form_are_read(tmp_path: Path) -> None:
    forms: dict[str, object] = {
        "value": numpy_helper.from_array(np.float32([[0.5, -1], [2, 3]])),
        "value_float": 0.25,
        "value_floats": [1.0, 2.0],
        "value_int": 3,
        "value_ints": [4, 5],
    }

    def body(g: Builder, x: str) -> str:
        total = x
        for name, value in forms.items():
            constant = g("Constant", **{name: value})
            total = g("Add", total, g("Cast", constant, to=1) if "int" in name else constant)
        return total

    graph = graph_of(build(body, shape=(1, 1, 2, 2)), tmp_path)
    assert [node.op for node in graph.nodes] == ["Add"] * 5 + ["Identity"]
    read = [graph.constants[node.inputs[1]].tolist() for node in graph.nodes[:5]]
    assert read == [[[0.5, -1], [2, 3]], 0.25, [1, 2], 3, [4, 5]]


def test_expressions_of_constants_are_computed(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        scale = g("Div", np.float32([1.0, 2.0, 3.0]), g("Sqrt", np.float32([4.0, 4.0, 4.0])))
        return g("Mul", x, g("Reshape", scale, g("Concat", np.int64([1]), np.int64([3, 1, 1]), axis=0)))

    graph = graph_of(build(body), tmp_path)
    assert [node.op for node in graph.nodes] == ["Mul", "Identity"]
    assert graph.constants[graph.nodes[0].inputs[1]].ravel().tolist() == [0.5, 1.0, 1.5]


def test_nodes_that_no_output_needs_are_dropped(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        g("HardSwish", x)
        return small(g, x)

    assert "HardSwish" not in [node.op for node in graph_of(build(body), tmp_path).nodes]


def test_functions_of_the_model_are_written_out(tmp_path: Path) -> None:
    model = build(small)
    opset = helper.make_opsetid("", 17)
    node = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("local", "Wrapped", ["a"], ["b"], [node], [opset]))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Wrapped", "local"
    assert graph_of(model, tmp_path).nodes[-1].op == "Relu"


def test_arrays_are_read_only(tmp_path: Path) -> None:
    graph = graph_of(build(small), tmp_path)
    assert all(not array.flags.writeable for array in graph.constants.values())


def test_external_data_in_the_models_folder_is_read(tmp_path: Path) -> None:
    inside = saved(build(small), tmp_path, "inside.onnx")
    outside = read_graph(with_external_weights(tmp_path, "weights.bin"))
    for name, array in read_graph(inside).constants.items():
        np.testing.assert_array_equal(outside.constants[name], array)


@pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin"])
def test_external_data_above_the_models_folder_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_external_weights(folder, location, tmp_path / "weights.bin")
    assert "is not in the model's folder" in refusal(lambda: read_graph(path))


def test_external_data_of_an_absolute_path_is_refused(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path, str(tmp_path / "weights.bin"))
    assert "is not in the model's folder" in refusal(lambda: read_graph(path))


def test_external_data_through_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    path = with_external_weights(folder, "weights.bin", tmp_path / "weights.bin")
    assert "is not in the model's folder" in refusal(lambda: read_graph(path))


def test_external_data_that_is_absent_short_or_damaged_is_refused(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path, "weights.bin", length="9999")
    assert "ends before byte" in refusal(lambda: read_graph(path))
    path = with_external_weights(tmp_path, "weights.bin", offset="minus")
    assert "damaged" in refusal(lambda: read_graph(path))
    path = with_external_weights(tmp_path, "weights.bin", length="4")
    assert refusal(lambda: read_graph(path)).startswith("model.onnx: ")
    (tmp_path / "weights.bin").unlink()
    assert "no such file" in refusal(lambda: read_graph(path))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    whole = saved(build(small), tmp_path).read_bytes()
    for content in (b"", b"hello, world", whole[: len(whole) // 2], os.urandom(200)):
        path = tmp_path / "bad.onnx"
        path.write_bytes(content)
        assert refusal(lambda path=path: read_graph(path)).startswith("bad.onnx: ")
    assert "no such file" in refusal(lambda: read_graph(tmp_path / "absent.onnx"))
    assert "not a file" in refusal(lambda: read_graph(tmp_path))


def test_a_file_above_the_size_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_file.MAX_FILE_BYTES + 1)
    assert "is not supported" in refusal(lambda: read_graph(path))


def test_a_constant_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return g("Add", x, g("ConstantOfShape", np.int64([1 << 20, 1 << 20])))

    assert "limit" in refusal(lambda: graph_of(build(body), tmp_path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_with_node_and_constant(value: float, tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return g("Conv", x, np.full((4, 3, 1, 1), value, np.float32))

    message = refusal(lambda: graph_of(build(body), tmp_path))
    assert message.startswith("model.onnx: node 'Conv_0': constant 'constant_0' holds NaN or infinity")


def test_an_infinite_bound_of_clip_is_no_bound(tmp_path: Path) -> None:
    model = build(lambda g, x: g.conv(g("Clip", x, np.float32(-np.inf), np.float32(np.inf)), 3, 4))
    assert [item.kind for item in lower(graph_of(model, tmp_path), "net").operators] == ["pointwise"]


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_dynamic_size_other_than_the_batch_is_refused(axis: int, tmp_path: Path) -> None:
    shape: list[int | str | None] = ["batch", 3, 7, 9]
    shape[axis] = "side"
    message = refusal(lambda: graph_of(build(small, shape=tuple(shape)), tmp_path))
    assert f"input 'image': axis {axis} ('side') has no fixed size" in message


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    model = build(small)
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, (1,)))
    assert "exactly one input, it has 2: 'image', 'mask'" in refusal(lambda: graph_of(model, tmp_path))


def test_initialisers_listed_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = build(small)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert graph_of(model, tmp_path).inputs == ("image",)


def test_foreign_operators_are_refused_by_name(tmp_path: Path) -> None:
    model = build(small)
    model.graph.node[0].domain, model.graph.node[0].op_type = "com.example", "Fancy"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert "node 'Conv_0': op com.example.Fancy is not supported" in refusal(lambda: graph_of(model, tmp_path))


def test_random_constants_are_refused(tmp_path: Path) -> None:
    model = build(lambda g, x: g("Add", x, g("RandomNormal", shape=[1])))
    assert "op RandomNormal on constants is not supported" in refusal(lambda: graph_of(model, tmp_path))


def test_opsets_older_than_9_and_newer_than_onnx_are_refused(tmp_path: Path) -> None:
    model = build(small)
    for version in (8, onnx.defs.onnx_opset_version() + 1):
        model.opset_import[0].version = version
        assert f"opset {version} is not supported" in refusal(lambda: graph_of(model, tmp_path))


def test_an_output_that_ignores_the_input_is_refused(tmp_path: Path) -> None:
    model = build(lambda g, x: g("Relu", np.ones((1, 2), np.float32)))
    assert "does not depend on the input" in refusal(lambda: graph_of(model, tmp_path))


def test_a_model_without_an_output_is_refused(tmp_path: Path) -> None:
    model = build(small)
    del model.graph.output[:]
    assert "the model has no output" in refusal(lambda: graph_of(model, tmp_path))


def test_names_with_line_breaks_leave_errors_on_one_line(tmp_path: Path) -> None:
    model = build(lambda g, x: g("HardSwish", x))
    model.graph.node[0].name = "two\nlines"
    assert "two\\nlines" in refusal(lambda: lower(graph_of(model, tmp_path), "net"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_lowered_and_never_fails_otherwise(
    cuts: list[tuple[float, bytes]], tmp_path: Path
) -> None:
    data = bytearray(saved(build(small), tmp_path).read_bytes())
    for place, replacement in cuts:
        start = int(place * len(data))
        data[start : start + max(1, len(replacement))] = replacement
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(Mbv2genError):
            lower(read_graph(path), "net")


def test_macs_are_those_written_out_by_hand(tmp_path: Path) -> None:
    model = build(small)
    by_hand = (5 * 7) * (3 * 3 * 3) * 4 + 4 * 5
    path = saved(model, tmp_path)
    assert mac_count.count(model) == mac_count.count(path) == read_graph(path).macs == by_hand


def test_a_transposed_operand_does_not_change_the_macs(tmp_path: Path) -> None:
    model = build(lambda g, x: g("Gemm", g("Transpose", x), g.random(6, 5), transA=1), shape=(1, 6))
    assert mac_count.count(model) == graph_of(model, tmp_path).macs == 30
