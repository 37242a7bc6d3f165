# SPDX-License-Identifier: Apache-2.0
"""Quantized files keep their own numbers: every layer, fed onnxruntime's integers, within one step of onnxruntime's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from c_libraries import Inference, library
from command_line import command
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx_models import Builder, build, random_input, saved
from onnxruntime_steps import imported, session_of, steps_apart
from quantized_habits import HABITS, REFUSALS, conv, conv_of_most_negative_weights, layer
from quantized_models import MANNERS, Manner, quantized
from random_networks import HEADS, random_images, random_network
from small_models import small_model
from tflite_micro_oracle import every_tensor
from toy_network import needs_host_compiler

from mbv2gen import float_reference, int8_reference
from mbv2gen.compiler import Options, quantize
from mbv2gen.errors import Mbv2genError
from mbv2gen.float_reference import to_nhwc
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph
from mbv2gen.quantization import qdq_file
from mbv2gen.quantization.tensor_scales import quantize_input
from mbv2gen.quantized_network import QConv2D, QOperator


@pytest.mark.parametrize("manner", MANNERS, ids=str)
def test_what_onnxruntime_quantizes_is_within_one_step_of_it_in_every_layer(manner: Manner, tmp_path: Path) -> None:
    model = small_model()
    x = np.concatenate([random_input(model, 100 + seed) for seed in range(20)])
    worst, within = steps_apart(quantized(model, tmp_path, manner), x)
    assert max(worst.values()) <= 1
    assert len(worst) == (9 if manner.format == "QOperator" and manner.extra else 8)
    assert within > 0.9


def padded_pooled_multiplied(g: Builder, x: str) -> str:
    """Padding, average pooling, a matrix product and a sigmoid: QOperators that a MobileNetV2 of torch has not."""
    y = g("Relu", g.conv(g("Pad", x, np.int64([0, 0, 1, 0, 0, 0, 1, 2])), 3, 4, 3, strides=[2, 2]))
    y = g("AveragePool", y, kernel_shape=[4, 5])
    return g("Sigmoid", g("MatMul", g("Reshape", y, np.int64([1, 4])), g.random(4, 6)))


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_other_operators_are_within_one_step_of_onnxruntime(form: str, tmp_path: Path) -> None:
    model = build(padded_pooled_multiplied)
    path = quantized(model, tmp_path, Manner(format=form))
    _, made = imported(path)
    assert [operator.kind for operator in made.operators] == ["conv", "mean", "fully_connected"]
    worst, _ = steps_apart(path, np.concatenate([random_input(model, seed) for seed in range(20)]))
    assert max(worst.values()) <= 1


@pytest.mark.parametrize("habit", HABITS)
def test_a_quantized_habit_is_within_one_step_of_onnxruntime(habit: str, tmp_path: Path) -> None:
    body, kinds, arguments = HABITS[habit]
    model = build(body, **arguments)
    path = saved(model, tmp_path)
    x = np.concatenate([random_input(model, seed) for seed in range(8)])
    _, made = imported(path)
    assert [operator.kind for operator in made.operators] == kinds.split()
    worst, _ = steps_apart(path, x)
    assert max(worst.values()) <= 1


@pytest.mark.parametrize("case", REFUSALS)
def test_what_tflites_scheme_cannot_express_is_refused_in_one_line_with_the_reason(case: str, tmp_path: Path) -> None:
    body, reason = REFUSALS[case]
    with pytest.raises(Mbv2genError) as caught:
        imported(saved(build(body), tmp_path))
    message = str(caught.value)
    assert message.startswith("model.onnx: ")
    assert reason in message
    assert "\n" not in message


def test_the_files_own_scales_and_integers_are_kept(tmp_path: Path) -> None:
    path = quantized(small_model(), tmp_path, Manner())
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
    _, made = imported(path)
    for tensor in made.tensors[1:]:
        name = tensor.name.removesuffix("_QuantizeLinear_Output")
        assert tensor.scale == stored[f"{name}_scale"]
        assert tensor.zero_point == stored[f"{name}_zero_point"]
    convs = [operator for operator in made.operators if isinstance(operator, QConv2D)]
    nodes = {node.name: node for node in onnx.load(path).graph.node}
    assert len(convs) == 4
    for operator in convs:
        prefix, bias = (name.removesuffix("_DequantizeLinear_Output") for name in nodes[operator.name].input[1:])
        np.testing.assert_array_equal(operator.weights.transpose(0, 3, 1, 2), stored[f"{prefix}_quantized"])
        np.testing.assert_array_equal(operator.weight_scale, stored[f"{prefix}_scale"])
        np.testing.assert_array_equal(operator.bias, stored[f"{bias}_quantized"])


def test_uint8_becomes_int8_exactly(tmp_path: Path) -> None:
    def same(first: QOperator, second: QOperator) -> bool:
        return first.__dict__.keys() == second.__dict__.keys() and all(
            np.array_equal(value, second.__dict__[name]) for name, value in first.__dict__.items()
        )

    signed, unsigned = (
        imported(quantized(small_model(), tmp_path, Manner(activations=kind)))[1] for kind in ("QInt8", "QUInt8")
    )
    assert signed.tensors == unsigned.tensors
    assert all(same(one, other) for one, other in zip(signed.operators, unsigned.operators, strict=True))


@pytest.mark.parametrize("manner", [MANNERS[0], MANNERS[-1]], ids=str)
def test_an_imported_network_equals_tflite_micro(manner: Manner, tmp_path: Path) -> None:
    _, made = imported(quantized(small_model(), tmp_path, manner))
    x = random_images(np.random.default_rng(0), made.shape(made.inputs[0]), 4)
    ours = int8_reference.run(made, x)
    for name, theirs in every_tensor(made, x).items():
        np.testing.assert_array_equal(ours[name], theirs, err_msg=name)


def test_real_inputs_are_rounded_as_onnx_does_halves_to_even(tmp_path: Path) -> None:
    path = saved(build(layer), tmp_path)
    _, made = imported(path)
    halves = (np.arange(-8, 8) + 0.5) * made.tensors[0].scale
    x = np.zeros((1, 7, 9, 3), np.float32)
    x.reshape(-1)[:16] = halves
    model = onnx.load(path)
    (theirs,) = session_of(model, [model.graph.node[0].output[0]]).run(None, {"image": x.transpose(0, 3, 1, 2)})
    np.testing.assert_array_equal(quantize_input(made, x), theirs.transpose(0, 2, 3, 1))


def test_calibration_gives_ranges_to_what_the_file_leaves_float_and_to_nothing_else(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return conv(g, layer(g, x), 4, 3)

    path = saved(build(body), tmp_path)
    data = tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).standard_normal((8, 3, 7, 9)).astype(np.float32))
    network = lower(read_graph(path), "net")
    made, warnings = quantize(path, network, Options(calibration=str(data)))
    given = [tensor for tensor in network.tensors if tensor.grid is not None]
    assert [tensor.grid is None for tensor in network.tensors] == [False, False, True]
    assert all(made.tensor(tensor.name).scale == tensor.grid.scale for tensor in given if tensor.grid is not None)
    x = np.load(data)
    outputs = float_reference.run_outputs(network, to_nhwc(network, x))
    span = max(outputs.max(), 0) - min(outputs.min(), 0)
    assert made.tensors[-1].scale == pytest.approx(span / 255, rel=1e-5)
    assert any("--calibration gives a range to" in warning for warning in warnings)


@needs_host_compiler
def test_a_quantized_file_compiles_without_calibration_and_its_c_equals_numpy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(build(conv_of_most_negative_weights), tmp_path)
    words = ("compile", path, "--target", "cortex-m7", "--preprocess", "tf", "-o", tmp_path / "out")
    ended = command(capsys, *words)
    assert (ended.code, ended.err) == (0, "")
    _, made = imported(path)
    made = replace(made, name="model")
    arena_bytes = json.loads((tmp_path / "out" / "report.json").read_text())["ram"]["arena_bytes"]
    inference = Inference(library([tmp_path / "out"], tmp_path), made, arena_bytes)
    assert inference.init() == 0
    for x in random_images(np.random.default_rng(1), made.shape(made.inputs[0]), 8):
        inference.fill(x)
        assert inference.run() == 0
        np.testing.assert_array_equal(inference.output(), int8_reference.run_outputs(made, x[np.newaxis])[0])


def test_calibration_of_a_quantized_file_is_told_to_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(build(layer), tmp_path)
    pictures = tmp_path / "pictures.npy"
    np.save(pictures, np.zeros((2, 7, 9, 3), np.uint8))
    words = ("compile", path, "--preprocess", "tf", "--calibration", pictures, "-o", tmp_path / "out")
    ended = command(capsys, *words)
    assert ended.code == 0
    assert "its own scales and zero points are kept, --calibration changes none of them" in ended.err


def test_inspect_says_that_the_file_is_quantized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quantized(small_model(), tmp_path, Manner())
    ended = command(capsys, "inspect", path)
    assert "QuantizeLinear" in ended.out
    assert "scales and zero points are kept as they are" in ended.out


@pytest.mark.parametrize("name", ["flowers_w010_r96_ortqdq", "flowers_w035_r96_ortqdq"])
def test_a_trained_network_of_onnxruntimes_is_within_one_step_of_it_in_every_layer(
    name: str, shared_data: Path
) -> None:
    """And classifies as it does: the logits of all test pictures are recorded, beside the float network's."""
    path = shared_data / "models" / f"{name}.onnx"
    pixels = np.load(shared_data / "images" / "flowers96_test_calib.npz")["x_test"]
    x = np.ascontiguousarray(((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2))
    worst, _ = steps_apart(path, x[:3])
    assert max(worst.values()) <= 1

    network, made = imported(path)
    recorded = np.load(path.with_name(name.replace("ortqdq", "test_logits") + ".npz"))
    few = slice(0, 60)
    outputs = int8_reference.run_outputs(made, quantize_input(made, to_nhwc(network, x[few])))
    classes = outputs.reshape(len(outputs), -1).argmax(axis=1)
    assert (classes == recorded["logits_ortqdq"][few].argmax(axis=1)).mean() >= 0.95


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(0, 3), head=st.sampled_from(HEADS))
@example(seed=457, blocks=1, head="conv")  # a multiplier above 1 behind a bias that float32 rounds
def test_what_mbv2gen_exports_as_qdq_comes_back_the_same(
    seed: int, blocks: int, head: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network = random_network(np.random.default_rng(seed), size=(9, 7), blocks=blocks, head=head)
    path = tmp_path_factory.mktemp("export") / "exported.onnx"
    path.write_bytes(qdq_file.emit(network))
    _, made = imported(path)
    x = random_images(np.random.default_rng(seed), network.shape(network.inputs[0]), 4)
    np.testing.assert_array_equal(int8_reference.run_outputs(made, x), int8_reference.run_outputs(network, x))


@pytest.mark.parametrize("inputs", [[], [""], ["image"], ["image", ""], ["image", "nothing"], ["image", "empty"]])
@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear", "QLinearSigmoid", "QGemm", "QLinearAdd"])
def test_a_damaged_node_of_onnxruntimes_is_refused_in_one_line(op: str, inputs: list[str], tmp_path: Path) -> None:
    model = build(lambda g, x: g("Relu", x))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "empty"))
    model.graph.node[0].CopyFrom(helper.make_node(op, inputs, ["Relu_0_out0"], name="bad", domain="com.microsoft"))
    with pytest.raises(Mbv2genError, match=r"^model.onnx: "):
        imported(saved(model, tmp_path))
