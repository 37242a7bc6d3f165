# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_networks import random_network, single_layer_networks

from mbv2gen import int8_reference
from mbv2gen.errors import CheckFailed
from mbv2gen.network import ModelInput, ModelOutput, Source, Window
from mbv2gen.quantization import bounds
from mbv2gen.quantized_network import (
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QOperator,
    QTensor,
    QuantizedNetwork,
)


def one_conv(weights: list[list[int]], bias: list[int], shift: int = -8, zero_point: int = -128) -> QuantizedNetwork:
    """A pointwise convolution on (1, 1, c) with the given rows of weights."""
    matrix = np.array(weights, np.int8)
    n = len(matrix)
    conv = QConv2D(
        "conv", ("x",), ("y",), matrix[:, None, None, :], np.array(bias, np.int32), np.ones(n, np.float32),
        np.full(n, 1 << 30, np.int32), np.full(n, shift, np.int32), Window(), -128, 127,
    )  # fmt: skip
    return QuantizedNetwork(
        name="net",
        tensors=(QTensor("x", (1, 1, matrix.shape[1]), 1.0, zero_point), QTensor("y", (1, 1, n), 1.0, 0)),
        inputs=("x",),
        outputs=("y",),
        operators=(conv,),
        blocks=(),
        model_input=ModelInput("x", "NCHW", "float32"),
        model_output=ModelOutput("y", "none", (1, n)),
        pixel_input=None,
        source=Source("net.onnx", "0" * 64),
        macs=0,
    )


def test_range_is_reached_by_the_worst_input_and_not_exceeded() -> None:
    net = one_conv([[3, -5, 0], [-128 + 1, -127, -1]], [7, -9], zero_point=10)
    low, high = bounds.check(net).range("conv")
    assert low.tolist() == [7 + 3 * (-138) - 5 * 117, -9 - 127 * 117 - 127 * 117 - 117]
    assert high.tolist() == [7 + 3 * 117 + 5 * 138, -9 + 127 * 138 + 127 * 138 + 138]


def test_magnitude_bounds_partial_sums_that_cancel_in_the_end() -> None:
    net = one_conv([[127, -127]], [-1000], zero_point=-128)
    assert bounds.check(net).magnitude("conv").tolist() == [1000 + 2 * 127 * 255]


def test_padding_may_replace_any_element_by_the_zero_point() -> None:
    net = one_conv([[1]], [0], zero_point=-128)
    conv = net.operators[0]
    assert isinstance(conv, QConv2D)
    tight = replace(net, tensors=(replace(net.tensors[0], zero_point=127), net.tensors[1]))
    assert bounds.check(tight).range("conv")[1].tolist() == [0]
    raised = replace(conv, name="a", outputs=("x2",), act_min=50, act_max=100)
    parts = conv.bias, conv.weight_scale, conv.multiplier, conv.shift, Window(1, 1, 1, 1, 1, 0, 0, 0), -128, 127
    depthwise = QDepthwiseConv2D("b", ("x2",), ("y",), np.ones((1, 1, 1), np.int8), *parts)
    full = QConv2D("b", ("x2",), ("y",), np.ones((1, 1, 1, 1), np.int8), *parts)
    tensors = (*net.tensors, QTensor("x2", (1, 1, 1), 1.0, 0))
    for padded in (depthwise, full):
        assert bounds.check(replace(net, tensors=tensors, operators=(raised, padded))).range("b")[0].tolist() == [0]


@pytest.mark.parametrize(
    ("net", "channel"),
    [
        (one_conv([[1], [1]], [0, 2**31 - 100]), 1),
        (one_conv([[1], [127]], [0, 0], shift=17), 1),
        (one_conv([[1]], [-(2**31)]), 0),
    ],
)
def test_an_accumulator_that_may_leave_32_bits_is_refused_by_name(net: QuantizedNetwork, channel: int) -> None:
    with pytest.raises(CheckFailed, match=rf"net\.onnx: node 'conv': channel {channel}: .*32 bits"):
        bounds.check(net)


def test_the_widest_accumulator_that_fits_is_accepted() -> None:
    widest = 2**31 - 1 - 255
    assert bounds.check(one_conv([[1]], [widest])).magnitude("conv").tolist() == [2**31 - 1]
    with pytest.raises(CheckFailed):
        bounds.check(one_conv([[1]], [widest + 1]))


def assert_holds(net: QuantizedNetwork, images: np.ndarray) -> None:
    """No image takes a tensor or an accumulator out of its bounds."""
    found, values = bounds.check(net), int8_reference.run(net, images)
    for name, value in values.items():
        low, high = found.reach(name)
        assert (value >= low).all(), name
        assert (value <= high).all(), name
    for operator in net.operators:
        if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
            source = operator.inputs[0]
            acc = int8_reference.accumulators(operator, values[source], net.tensor(source).zero_point)
            low, high = found.range(operator.name)
            assert (acc >= low).all(), operator.name
            assert (acc <= high).all(), operator.name


def extreme_images(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    noise = rng.integers(-128, 128, (2, *shape))
    ends = rng.choice([-128, 127], (3, *shape))
    flat = np.stack([np.full(shape, value) for value in (-128, 0, 127)])
    return np.concatenate([noise, ends, flat]).astype(np.int8)


@given(seed=st.integers(0, 2**32 - 1))
def test_no_image_leaves_the_bounds_of_a_random_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = random_network(rng, blocks=2, max_channels=8)
    assert_holds(net, extreme_images(rng, net.shape(net.inputs[0])))


def test_no_image_leaves_the_bounds_at_the_edges_of_the_arithmetic() -> None:
    for net in single_layer_networks():
        assert_holds(net, extreme_images(np.random.default_rng(0), net.shape(net.inputs[0])))


def test_a_channel_that_relu_always_silences_is_known_to_be_constant() -> None:
    net = one_conv([[1], [1]], [-(10**6), 0])
    silent = tuple(replace(operator, act_min=0) for operator in net.operators if isinstance(operator, QConv2D))
    operators: tuple[QOperator, ...] = silent
    low, high = bounds.check(replace(net, operators=operators)).reach("y")
    assert low.tolist() == [0, 0]
    assert high[0] == 0
    assert high[1] > 0
