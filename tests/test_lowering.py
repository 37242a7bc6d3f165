# SPDX-License-Identifier: Apache-2.0
"""Habits of exporters: the network computes what onnxruntime computes, from the operators one would draw by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporter_habits import (
    HABITS,
    UINT8_IMAGE,
    Body,
    flatten_head,
    float_image_normalised,
    normalised,
    pad_through_activations,
    padded_conv,
    residual,
    residual_of_three,
    to_nchw,
    to_nhwc,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto
from onnx.reference import ReferenceEvaluator
from onnx_models import Builder, assert_computes_the_same, build, lowered, random_input
from refused_models import REFUSALS

from mbv2gen.errors import Mbv2genError
from mbv2gen.float_reference import run, run_outputs, to_model_output
from mbv2gen.float_reference import to_nhwc as float_input
from mbv2gen.network import Clamp, Conv2D, DepthwiseConv2D

STEPS: dict[str, Body] = {
    "batch norm": lambda g, x: g.batch_norm(x, 4),
    "clip": lambda g, x: g("Clip", x, np.float32(-0.5), np.float32(2)),
    "relu": lambda g, x: g("Relu", x),
    "scaled in NHWC": lambda g, x: to_nchw(g, g("Mul", to_nhwc(g, x), g.random(4))),
    "shifted": lambda g, x: g("Sub", x, g.random(4, 1, 1)),
    "padded pointwise": lambda g, x: g.conv(x, 4, 4, pads=[1, 0, 0, 1]),
    "depthwise": lambda g, x: g.conv(x, 4, 4, 3, group=4, pads=[1, 1, 1, 1]),
    "strided": lambda g, x: g.conv(x, 4, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
    "pad and convolve": lambda g, x: g.conv(g("Relu", g("Pad", x, np.int64([0, 0, 0, 1, 0, 0, 2, 1]))), 4, 4, 2),
    "residual": lambda g, x: g("Add", g.conv(g("Relu", g.conv(x, 4, 6)), 6, 4), x),
}
HEADS: dict[str, Body] = {
    "plane": lambda g, x: x,
    "softmax of a plane": lambda g, x: g("Softmax", to_nhwc(g, x)),
    "pooled": lambda g, x: g("Gemm", g("Flatten", g("GlobalAveragePool", x)), g.random(4, 3), g.random(3)),
    "normalised pool": lambda g, x: g.batch_norm(g("Squeeze", g("GlobalAveragePool", x), np.int64([2, 3])), 4),
    "per pixel": lambda g, x: g("MatMul", to_nhwc(g, x), g.random(4, 2)),
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_computes_what_onnxruntime_computes_with_the_operators_drawn_by_hand(
    habit: str, tmp_path: Path
) -> None:
    body, kinds, arguments = HABITS[habit]
    network = assert_computes_the_same(build(body, **arguments), tmp_path)
    assert [operator.kind for operator in network.operators] == kinds.split()


@pytest.mark.parametrize("opset", [9, 11, 13, 16, 18, 21])
def test_one_network_of_every_opset_computes_what_onnxruntime_computes(opset: int, tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = g.relu6(g.batch_norm(padded_conv(g, x, bias=False), 4))
        y = g("Add", y, g.conv(g.relu6(g.conv(y, 4, 4, 3, group=4, pads=[1, 1, 1, 1])), 4, 4))
        return g("Softmax", g("Gemm", g("Flatten", g("GlobalAveragePool", y)), g.random(4, 5), g.random(5)), axis=1)

    network = assert_computes_the_same(build(body, opset=opset), tmp_path)
    kinds = ["conv", "depthwise", "pointwise", "add", "mean", "fully_connected"]
    assert [item.kind for item in network.operators] == kinds


@pytest.mark.parametrize(("dtype", "code"), [(np.float16, TensorProto.FLOAT16), (np.float64, TensorProto.DOUBLE)])
def test_half_and_double_precision_become_single(dtype: type[np.generic], code: int, tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = g("Conv", x, g.random(4, 3, 3, 3, scale=0.2).astype(dtype), g.random(4).astype(dtype))
        return g(
            "Cast", g("Clip", g("BatchNormalization", y, *g.random(3, 4).astype(dtype), np.ones(4, dtype)), ""), to=1
        )

    model = build(body, dtype=code)
    network, x = lowered(model, tmp_path), random_input(model)
    (expected,) = ReferenceEvaluator(model).run(None, {"image": x})
    assert all(item.weights.dtype == np.float32 for item in network.operators if isinstance(item, Conv2D))
    got = to_model_output(network, run_outputs(network, float_input(network, x)))
    np.testing.assert_allclose(got, expected, atol=0.02 if dtype == np.float16 else 1e-5)


def test_mean_and_std_are_the_files_own_numbers(tmp_path: Path) -> None:
    entry = lowered(build(normalised, **UINT8_IMAGE), tmp_path).model_input
    assert entry.mean == (123.675, 116.28, 103.53)
    assert entry.std == (58.395, 57.12, 57.375)
    assert lowered(build(float_image_normalised), tmp_path).model_input.mean == (0.5, 0.5, 0.5)


def test_activations_in_a_row_become_one_clamp(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return g("Clip", g.relu6(g("Relu", padded_conv(g, x))), np.float32(-1), np.float32(4))

    (operator,) = lowered(build(body), tmp_path).operators
    assert isinstance(operator, Conv2D)
    assert operator.clamp == Clamp(0, 4)


def test_asymmetric_padding_lands_on_its_sides(tmp_path: Path) -> None:
    operator = lowered(build(pad_through_activations), tmp_path).operators[1]
    assert isinstance(operator, DepthwiseConv2D)
    sides = operator.window.pad_top, operator.window.pad_left, operator.window.pad_bottom, operator.window.pad_right
    assert sides == (0, 0, 1, 1)


def test_equal_names_and_no_names_become_unique_ones(tmp_path: Path) -> None:
    model = build(residual_of_three)
    for index, node in enumerate(model.graph.node):
        node.name = "" if index % 2 else 'a/"b"*/;StatefulPartitionedCall/c'
    network = lowered(model, tmp_path)
    names = [operator.name for operator in network.operators]
    assert len(set(names)) == len(names) == 4
    assert all(names)
    assert network.tensors[0].name == "image"


def test_lowering_twice_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (lowered(build(flatten_head), tmp_path) for _ in range(2))
    assert repr(first) == repr(second)
    for one, other in zip(first.operators, second.operators, strict=True):
        if hasattr(one, "weights") and hasattr(other, "weights"):
            assert one.weights.tobytes() == other.weights.tobytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_chains_of_habits_compute_what_onnxruntime_computes(data: st.DataObject, tmp_path: Path) -> None:
    steps = data.draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=8))
    head = data.draw(st.sampled_from(sorted(HEADS)))
    channels = data.draw(st.integers(1, 5))
    shape = (1, channels, data.draw(st.integers(3, 9)), data.draw(st.integers(3, 9)))

    def body(g: Builder, x: str) -> str:
        y = g.conv(x, channels, 4)
        for step in steps:
            y = STEPS[step](g, y)
        return HEADS[head](g, y)

    assert_computes_the_same(build(body, shape=shape, seed=data.draw(st.integers(0, 99))), tmp_path, tolerance=1e-4)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_network_cannot_express_is_refused_in_one_line_with_the_reason(case: str, tmp_path: Path) -> None:
    body, arguments, reason = REFUSALS[case]
    with pytest.raises(Mbv2genError) as caught:
        lowered(build(body, **arguments), tmp_path)
    message = str(caught.value)
    assert message.startswith("model.onnx: ")
    assert reason in message
    assert "\n" not in message


def test_weights_that_overflow_when_folded_are_refused(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return g("Mul", g("Mul", g.conv(x, 3, 4), np.float32(3e38)), np.float32(3e38))

    with pytest.raises(Mbv2genError, match=r"model.onnx: node 'Conv_0': its weights exceed float32"):
        lowered(build(body), tmp_path)


def test_tensors_keep_the_values_they_have_in_the_model(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        return g.conv(g.batch_norm(g.conv(x, 3, 4, bias=False), 4), 4, 5)

    model = build(body)
    x = random_input(model)
    inner = ModelProto()
    inner.CopyFrom(model)
    inner.graph.output[0].name = "BatchNormalization_1_out0"
    inner.graph.output[0].type.tensor_type.ClearField("shape")
    inner.graph.output[0].type.tensor_type.shape.SetInParent()
    network = lowered(model, tmp_path)
    values = run(network, float_input(network, x))
    expected = ReferenceEvaluator(inner).run(None, {"image": x})[0]
    np.testing.assert_allclose(values["BatchNormalization_1_out0"], expected.transpose(0, 2, 3, 1), atol=1e-5)


def test_two_outputs_are_refused(tmp_path: Path) -> None:
    model: ModelProto = build(residual)
    extra = model.graph.output.add()
    extra.CopyFrom(model.graph.output[0])
    extra.name = "Conv_0_out0"
    with pytest.raises(Mbv2genError, match="exactly one output"):
        lowered(model, tmp_path)
