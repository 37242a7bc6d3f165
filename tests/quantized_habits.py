# SPDX-License-Identifier: Apache-2.0
"""Quantized graphs as tools other than onnxruntime's quantizer write them, and some that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from exporter_habits import Body, to_nchw, to_nhwc
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_models import Builder

Zero = np.int8 | np.uint8 | int


def quantize(g: Builder, x: str, scale: float, zero_point: Zero = 0, **attributes: Any) -> str:
    point = np.int8(zero_point) if isinstance(zero_point, int) else zero_point
    return g("QuantizeLinear", x, np.float32(scale), point, **attributes)


def dequantize(g: Builder, q: str, scale: float, zero_point: Zero = 0) -> str:
    point = np.int8(zero_point) if isinstance(zero_point, int) else zero_point
    return g("DequantizeLinear", q, np.float32(scale), point)


def qdq(g: Builder, x: str, scale: float, zero_point: Zero = 0) -> str:
    return dequantize(g, quantize(g, x, scale, zero_point), scale, zero_point)


def integer_weights(g: Builder, *shape: int, axis: int = 0, low: int = -127) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """Random int8 weights, and a scale for each entry of ``axis`` that keeps the outputs of about the inputs' size."""
    scale = np.exp(g.rng.normal(0, 0.3, shape[axis])) / 64 / np.sqrt(np.prod(shape) / shape[axis])
    return g.rng.integers(low, 128, shape).astype(np.int8), scale.astype(np.float32)


def weights(g: Builder, *shape: int, axis: int = 0, low: int = -127) -> str:
    """Weights stored as int8, behind a DequantizeLinear of their own."""
    integers, scale = integer_weights(g, *shape, axis=axis, low=low)
    if g.opset < 13:  # no axis there: one scale for all
        return g("DequantizeLinear", integers, scale[0], np.int8(0))
    return g("DequantizeLinear", integers, scale, np.zeros(len(scale), np.int8), axis=axis)


def conv(g: Builder, x: str, c_in: int, c_out: int, kernel: int = 3, low: int = -127, **attributes: Any) -> str:
    group = attributes.get("group", 1)
    return g("Conv", x, weights(g, c_out, c_in // group, kernel, kernel, low=low), g.random(c_out), **attributes)


def entered(g: Builder, x: str) -> str:
    return qdq(g, x, 0.03, -3)


def layer(g: Builder, x: str, scale: float = 0.02, zero_point: Zero = 5, **attributes: Any) -> str:
    return qdq(g, conv(g, entered(g, x), 3, 4, **attributes), scale, zero_point)


def batch_norm(g: Builder, x: str) -> str:
    """Trained with batch norm, whose negative factors turn weights around."""
    return qdq(g, g.relu6(g.batch_norm(conv(g, entered(g, x), 3, 4), 4)), 0.02, -128)


def relu_between_grids(g: Builder, x: str) -> str:
    return qdq(g, g("Relu", layer(g, x, 0.03, 0)), 0.02, -128)


def relu_on_one_grid(g: Builder, x: str) -> str:
    return qdq(g, g("Relu", layer(g, x, 0.03, 0)), 0.03, 0)


def relu_without_rounding(g: Builder, x: str) -> str:
    return qdq(g, conv(g, g("Relu", layer(g, x, 0.03, 0)), 4, 3), 0.02)


def input_activation(g: Builder, x: str) -> str:
    return qdq(g, conv(g, qdq(g, g("Relu", entered(g, x)), 0.03, -3), 3, 4), 0.02)


def padding_on_integers(g: Builder, x: str) -> str:
    q = g("Pad", quantize(g, x, 0.03, np.uint8(7)), np.int64([0, 0, 1, 0, 0, 0, 2, 1]), np.uint8(7))
    return qdq(g, conv(g, dequantize(g, q, 0.03, np.uint8(7)), 3, 4), 0.02, np.uint8(128))


def rounding_behind_padding(g: Builder, x: str) -> str:
    y = g("Pad", layer(g, x), np.int64([0, 0, 0, 1, 0, 0, 2, 1]))
    return qdq(g, conv(g, qdq(g, y, 0.02, 5), 4, 3), 0.02)


def nhwc_integers(g: Builder, x: str) -> str:
    q = to_nchw(g, quantize(g, to_nhwc(g, x), 0.03, 9))
    return qdq(g, conv(g, dequantize(g, q, 0.03, 9), 3, 4), 0.02)


def weights_through_transpose(g: Builder, x: str) -> str:
    """As tf2onnx writes it: HWIO weights, transposed behind their DequantizeLinear."""
    moved = g("Transpose", weights(g, 3, 3, 3, 4, axis=3), perm=[3, 2, 0, 1])
    return qdq(g, g("Conv", entered(g, x), moved, g.random(4)), 0.02)


def float_weights_behind_a_pair(g: Builder, x: str) -> str:
    scale, point = g.random(4, scale=0.001) ** 2 + np.float32(0.01), np.zeros(4, np.int8)
    q = g("QuantizeLinear", g.random(4, 3, 3, 3, scale=0.3), scale, point, axis=0)
    w = g("DequantizeLinear", q, scale, point, axis=0)
    return qdq(g, g("Conv", entered(g, x), w, g.random(4)), 0.02)


def weights_of_128_zero_point(g: Builder, x: str) -> str:
    integers, scale = integer_weights(g, 4, 3, 3, 3)
    unsigned = (integers.astype(np.int32) + 128).astype(np.uint8)
    w = g("DequantizeLinear", unsigned, scale[0], np.uint8(128))
    return qdq(g, g("Conv", entered(g, x), w), 0.02)


def bias_as_int32(g: Builder, x: str) -> str:
    integers, scale = integer_weights(g, 4, 3, 3, 3)
    w = g("DequantizeLinear", integers, scale, np.zeros(4, np.int8), axis=0)
    bias = g("DequantizeLinear", np.int32([500, -500, 12345, 0]), scale * np.float32(0.03), axis=0)
    return qdq(g, g("Conv", entered(g, x), w, bias), 0.02)


def dense(g: Builder, x: str) -> str:
    """Pool, MatMul and an addition with roundings behind each, as Keras heads get them."""
    y = g("GlobalAveragePool", layer(g, x))
    y = qdq(g, g("Flatten", qdq(g, y, 0.01, 3)), 0.01, 3)
    y = qdq(g, g("MatMul", y, weights(g, 4, 6, axis=1)), 0.02, 1)
    bias = g("DequantizeLinear", np.int8([1, -100, 3, 50, 0, 127]), np.float32(0.01), np.int8(0))
    return qdq(g, g("Add", y, bias), 0.03, -9)


def residual_with_other_grids(g: Builder, x: str) -> str:
    y = layer(g, x, 0.02, 5)
    z = qdq(g, conv(g, y, 4, 4, 1), 0.07, -128)
    return qdq(g, g("Add", z, y), 0.05, 127)


def two_pairs_of_one_tensor(g: Builder, x: str) -> str:
    y = conv(g, entered(g, x), 3, 4)
    return qdq(g, g("Add", qdq(g, y, 0.02, 5), qdq(g, conv(g, qdq(g, y, 0.02, 5), 4, 4, 1), 0.03)), 0.05)


def uint8_input(g: Builder, x: str) -> str:
    y = dequantize(g, to_nchw(g, x), 0.02, np.uint8(120))
    return qdq(g, conv(g, y, 3, 4), 0.02)


def conv_of_most_negative_weights(g: Builder, x: str) -> str:
    """An inverted residual with weights down to -128, which leave no room for an END word in a stream."""
    y = qdq(g, conv(g, layer(g, x, pads=[1, 1, 1, 1]), 4, 12, 1, low=-128), 0.02, -128)
    y = qdq(g, conv(g, y, 12, 12, low=-128, group=12, pads=[1, 1, 1, 1]), 0.02, -128)
    return qdq(g, conv(g, y, 12, 4, 1, low=-128), 0.03)


# name: (body, the operators it must become, build's arguments)
HABITS: Mapping[str, tuple[Body, str, dict[str, Any]]] = {
    "batch norm behind quantized weights": (batch_norm, "conv", {}),
    "Relu between two grids": (relu_between_grids, "conv depthwise", {}),
    "Relu between equal grids": (relu_on_one_grid, "conv", {}),
    "Relu without a rounding behind it": (relu_without_rounding, "conv activation conv", {}),
    "Relu on the quantized image": (input_activation, "activation conv", {}),
    "Pad on integers": (padding_on_integers, "conv", {}),
    "a rounding behind Pad": (rounding_behind_padding, "conv conv", {}),
    "integers in NHWC": (nhwc_integers, "conv", {}),
    "weights transposed behind their scale": (weights_through_transpose, "conv", {}),
    "float weights behind Q and DQ": (float_weights_behind_a_pair, "conv", {}),
    "uint8 weights around 128": (weights_of_128_zero_point, "conv", {}),
    "weights of -128": (lambda g, x: layer(g, x, low=-128), "conv", {}),
    "a bias of int32": (bias_as_int32, "conv", {}),
    "a bias of its own rounding": (dense, "conv mean fully_connected depthwise", {}),
    "zero points at the ends": (residual_with_other_grids, "conv pointwise add", {}),
    "a change of grid": (lambda g, x: qdq(g, layer(g, x), 0.05, -10), "conv depthwise", {}),
    "one tensor quantized for each reader": (two_pairs_of_one_tensor, "conv pointwise add", {}),
    "an image of uint8": (uint8_input, "conv", {"shape": (1, 7, 9, 3), "dtype": TensorProto.UINT8}),
    "opset 10": (lambda g, x: layer(g, x, 0.02, np.uint8(100)), "conv", {"opset": 10}),
    "opset 21": (layer, "conv", {"opset": 21}),
}


def wide_weights(g: Builder, x: str) -> str:
    w = g("DequantizeLinear", g.rng.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8), np.float32(0.01), np.uint8(100))
    return qdq(g, g("Conv", entered(g, x), w), 0.02)


def scaled(scale: float) -> Callable[[Builder, str], str]:
    return lambda g, x: layer(g, x, scale)


def coarse_bias(g: Builder, x: str) -> str:
    w = g("DequantizeLinear", np.ones((4, 3, 1, 1), np.int8), np.float32(1), np.int8(0))
    return qdq(g, g("Conv", entered(g, x), w, np.float32([0.03 * 0.4, 0, 0, 0])), 0.01)


def huge_bias(g: Builder, x: str) -> str:
    w = g("DequantizeLinear", np.ones((4, 3, 1, 1), np.int8), np.float32(1e-12), np.int8(0))
    return qdq(g, g("Conv", entered(g, x), w, np.float32([1, 0, 0, 0])), 0.01)


def dynamic(g: Builder, x: str) -> str:
    return g("DequantizeLinear", g("DynamicQuantizeLinear", g.conv(x, 3, 4), outputs=3), np.float32(1))


def convolution_of_integers(g: Builder, x: str) -> str:
    return g("Cast", g("ConvInteger", quantize(g, x, 0.03), np.ones((4, 3, 3, 3), np.int8)), to=1)


def read_as_float_too(g: Builder, x: str) -> str:
    y = conv(g, entered(g, x), 3, 4)
    return qdq(g, g("Add", qdq(g, y, 0.02), g("Relu", y)), 0.02)


# name: (body, what the message must say)
REFUSALS: Mapping[str, tuple[Body, str]] = {
    "weights of nine bits": (
        wide_weights,
        "weights less their zero point must fit int8: quantize them as int8, symmetrically (got -1",
    ),
    "a scale of 0": (scaled(0.0), "scales must be finite and positive (got 0)"),
    "a scale below 0": (scaled(-0.5), "scales must be finite and positive"),
    "an infinite scale": (scaled(np.inf), "scales must be finite and positive (got inf)"),
    "a scale of NaN": (scaled(np.nan), "scales must be finite and positive (got nan)"),
    "a bias too fine": (coarse_bias, "node 'Conv_3': a bias must be an integer of input scale times weight scale"),
    "a bias too large": (
        huge_bias,
        "node 'Conv_3': a bias must fit int32 in units of input scale times weight scale",
    ),
    "float weights": (
        lambda g, x: qdq(g, g.conv(entered(g, x), 3, 4), 0.02),
        "node 'Conv_2': weights must be quantized where activations are",
    ),
    "a float layer in between": (
        lambda g, x: qdq(g, g.conv(conv(g, entered(g, x), 3, 4), 4, 4), 0.02),
        "node 'Conv_3': its output is not quantized in the file, as the rest is",
    ),
    "a float end": (lambda g, x: conv(g, entered(g, x), 3, 4), "node 'Conv_3': its output is not quantized"),
    "a float beginning": (lambda g, x: qdq(g, conv(g, x, 3, 4), 0.02), "input 'image': it is not quantized"),
    "a tensor in two precisions": (read_as_float_too, "its input is read elsewhere too"),
    "other scales on the way back": (
        lambda g, x: dequantize(g, quantize(g, g.conv(x, 3, 4), 0.1), 0.2),
        "with the scale and zero point that it was quantized with (got scale 0.2, zero point 0 and scale 0.1",
    ),
    "activations of int16": (
        lambda g, x: dequantize(g, quantize(g, x, 0.1, np.int16(0)), 0.1, np.int16(0)),
        "activations must be quantized to int8 or uint8 (got int16)",
    ),
    "a scale for each channel of activations": (
        lambda g, x: g("QuantizeLinear", x, np.float32([0.1, 0.2, 0.3]), np.zeros(3, np.int8)),
        "activations must have one scale and one zero point for all elements (got 3 of them)",
    ),
    "a scale that is computed": (
        lambda g, x: g("QuantizeLinear", x, g("Squeeze", g("ReduceMean", x, axes=[1, 2, 3])), np.int8(0)),
        "scale and zero point must be constants",
    ),
    "dynamic quantization": (dynamic, "node 'DynamicQuantizeLinear_1': op DynamicQuantizeLinear is not supported"),
    "ConvInteger": (convolution_of_integers, "node 'ConvInteger_1': op ConvInteger is not supported"),
    "arithmetic on integers": (
        lambda g, x: dequantize(g, g("Relu", quantize(g, x, 0.1)), 0.1),
        "node 'Relu_1': Relu: it must work on float values; behind integers put a Cast (pixels) or DequantizeLinear",
    ),
}
