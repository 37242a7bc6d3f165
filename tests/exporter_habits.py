# SPDX-License-Identifier: Apache-2.0
"""Networks written as exporters write them, each with the operators one would draw for it by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto
from onnx_models import Builder

Body = Callable[[Builder, str], str]
UINT8_IMAGE = {"shape": (1, 6, 8, 3), "dtype": TensorProto.UINT8}
NHWC_IMAGE = {"shape": (1, 6, 8, 3)}
MEAN, STD = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])


def to_nchw(g: Builder, x: str) -> str:
    return g("Transpose", x, perm=[0, 3, 1, 2])


def to_nhwc(g: Builder, x: str) -> str:
    return g("Transpose", x, perm=[0, 2, 3, 1])


def padded_conv(g: Builder, x: str, c_in: int = 3, **attributes: object) -> str:
    return g.conv(x, c_in, 4, kernel=3, pads=[1, 1, 1, 1], **attributes)


def pooled(g: Builder, x: str) -> str:
    return g("GlobalAveragePool", g.relu6(padded_conv(g, x)))


def batch_norm_after_transpose(g: Builder, x: str) -> str:
    y = to_nhwc(g, padded_conv(g, x, bias=False))
    return g("Mul", g("Add", y, g.random(4)), g.random(1, 1, 1, 4))


def pad_through_activations(g: Builder, x: str) -> str:
    y = to_nhwc(g, g.relu6(padded_conv(g, x)))
    y = g.relu6(g("Pad", y, np.int64([0, 0, 0, 0, 0, 1, 1, 0])))
    return g.conv(to_nchw(g, y), 4, 4, kernel=3, group=4, strides=[2, 2])


def residual(g: Builder, x: str) -> str:
    y = g.conv(x, 3, 4)
    return g("Add", padded_conv(g, g("Relu", g.conv(y, 4, 3))), y)


def residual_of_three(g: Builder, x: str) -> str:
    y = g.conv(x, 3, 4)
    return g("Relu", g("Sum", y, padded_conv(g, x), y))


def two_readers_of_one_activation(g: Builder, x: str) -> str:
    y = padded_conv(g, x)
    return g("Add", padded_conv(g, g("Relu", y), 4), padded_conv(g, g("Relu", y), 4))


def flatten_head(g: Builder, x: str) -> str:
    y = g("Relu", g.conv(x, 3, 4, kernel=3, strides=[3, 3]))
    return g("Gemm", g("Flatten", y), g.random(5, 24, scale=0.2), g.random(5), transB=1, alpha=0.5, beta=2.0)


def flatten_head_nhwc(g: Builder, x: str) -> str:
    y = to_nhwc(g, g("Relu", g.conv(x, 3, 4, kernel=3, strides=[3, 3])))
    return g("Add", g("MatMul", g("Reshape", y, np.int64([1, -1])), g.random(24, 5, scale=0.2)), g.random(5))


def dense_per_pixel(g: Builder, x: str) -> str:
    y = g("Reshape", to_nhwc(g, g("Relu", g.conv(x, 3, 4, kernel=3, strides=[3, 3]))), np.int64([6, 4]))
    y = g("Add", g("MatMul", g.relu6(y), g.random(4, 2)), g.random(2))
    return g("Gemm", g("Reshape", y, np.int64([1, 12])), g.random(12, 3), g.random(3))


def mean_over_width_then_height(g: Builder, x: str) -> str:
    y = g("ReduceMean", g("Relu", padded_conv(g, x)), axes=[3], keepdims=0)
    return g("Gemm", g("ReduceMean", y, axes=[2], keepdims=0), g.random(4, 5), g.random(5))


def convolutional_head(g: Builder, x: str) -> str:
    return g("Flatten", g.conv(g.relu6(g.conv(pooled(g, x), 4, 6)), 6, 5))


def batch_norm_before_dense(g: Builder, x: str) -> str:
    y = g.batch_norm(g("Flatten", pooled(g, x)), 4)
    return g("Gemm", y, g.random(4, 5))


def shapes_computed_in_the_graph(g: Builder, x: str) -> str:
    y = pooled(g, x)
    batch = g("Gather", g("Shape", y), np.int64(0), axis=0)
    target = g("Concat", g("Unsqueeze", batch, np.int64([0])), np.int64([-1]), axis=0)
    return g("Gemm", g("Reshape", y, target), g.random(4, 5), g.random(5))


def batch_norm_of_expanded_constants(g: Builder, x: str) -> str:
    """As unoptimised dynamo exports write it: every parameter cast like the value and expanded by its shape."""
    y = padded_conv(g, x, bias=False)
    channels = g("Slice", g("Shape", y), np.int64([1]), np.int64([2]))
    scale = g("Expand", g("CastLike", np.float64(1.5), y), channels)
    y = g("Mul", y, g("Unsqueeze", scale, np.int64([1, 2])))
    low = g("CastLike", np.int64(0), y)
    return g("Clip", g("BatchNormalization", y, scale, scale, scale, scale), low, g("CastLike", np.int64(6), y))


def normalised(g: Builder, x: str) -> str:
    y = g("Div", g("Sub", g("Cast", x, to=1), MEAN), STD)
    return padded_conv(g, to_nchw(g, y))


def normalised_by_scale_and_offset(g: Builder, x: str) -> str:
    y = g("Add", g("Mul", g("Cast", to_nchw(g, x), to=1), np.float32(1 / 127.5)), np.float32(-1))
    return padded_conv(g, y)


def float_image_normalised(g: Builder, x: str) -> str:
    return padded_conv(g, g("Div", g("Sub", x, np.float32(0.5)), np.float32(0.25)))


# name: (body, the operators it must become, build's arguments)
HABITS: dict[str, tuple[Body, str, dict[str, object]]] = {
    "a convolution without bias": (lambda g, x: padded_conv(g, x, bias=False), "conv", {}),
    "bias and scale as Add and Mul": (batch_norm_after_transpose, "conv", {}),
    "batch norm behind a convolution": (lambda g, x: g.batch_norm(padded_conv(g, x), 4), "conv", {}),
    "two batch norms in a row": (lambda g, x: g.batch_norm(g.batch_norm(padded_conv(g, x), 4), 4), "conv", {}),
    "batch norm behind a depthwise": (lambda g, x: g.batch_norm(g.conv(x, 3, 3, 3, group=3), 3), "depthwise", {}),
    "batch norm before an unpadded convolution": (
        lambda g, x: g.conv(g.batch_norm(g("Relu", padded_conv(g, x)), 4), 4, 5),
        "conv pointwise",
        {},
    ),
    "batch norm before a padded convolution": (
        lambda g, x: padded_conv(g, g.batch_norm(g("Relu", padded_conv(g, x)), 4), 4),
        "conv depthwise conv",
        {},
    ),
    "batch norm behind a padding": (
        lambda g, x: g.conv(g.batch_norm(g("Pad", x, np.int64([0, 0, 1, 1, 0, 0, 1, 1])), 3), 3, 4, 3),
        "conv",
        {},
    ),
    "batch norm before a dense layer": (batch_norm_before_dense, "conv mean fully_connected", {}),
    "Clip as attributes": (lambda g, x: g.relu6(padded_conv(g, x)), "conv", {"opset": 9}),
    "Clip without a minimum": (lambda g, x: g("Clip", padded_conv(g, x), "", np.float32(0.5)), "conv", {}),
    "Clip without a maximum": (lambda g, x: g("Clip", padded_conv(g, x), np.float32(-0.5)), "conv", {}),
    "Clip without bounds": (lambda g, x: g("Clip", padded_conv(g, x)), "conv", {}),
    "Min and Max": (
        lambda g, x: g("Min", np.float32(0.7), g("Max", padded_conv(g, x), np.zeros((1, 1, 1, 1), np.float32))),
        "conv",
        {},
    ),
    "Relu behind Clip": (lambda g, x: g("Relu", g.relu6(padded_conv(g, x))), "conv", {}),
    "Clip behind Relu": (lambda g, x: g.relu6(g("Relu", padded_conv(g, x))), "conv", {}),
    "an activation of the image": (lambda g, x: padded_conv(g, g("Relu", x)), "activation conv", {}),
    "padding and activation of the image": (
        lambda g, x: g.conv(g("Relu", g("Pad", x, np.int64([0, 0, 0, 1, 0, 0, 2, 0]))), 3, 4, 3, strides=[2, 2]),
        "activation conv",
        {},
    ),
    "padding through Transpose and Clip": (pad_through_activations, "conv depthwise", {}),
    "padding as attributes": (
        lambda g, x: g.conv(g("Pad", x, pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.0), 3, 4, 3),
        "conv",
        {"opset": 10},
    ),
    "padding with axes": (
        lambda g, x: g.conv(g("Pad", x, np.int64([1, 2, 0, 1]), "", np.int64([-1, 2])), 3, 4, 3),
        "conv",
        {"opset": 18},
    ),
    "two paddings in a row": (
        lambda g, x: padded_conv(
            g, g("Pad", g("Pad", x, np.int64([0, 0, 1, 0, 0, 0, 0, 0])), np.int64([0, 0, 0, 1, 0, 0, 2, 0]))
        ),
        "conv",
        {},
    ),
    "SAME_UPPER": (lambda g, x: g.conv(x, 3, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2]), "conv", {}),
    "SAME_UPPER on even sizes": (
        lambda g, x: g.conv(x, 3, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
        "conv",
        {"shape": (1, 3, 8, 6)},
    ),
    "SAME_LOWER on even sizes": (
        lambda g, x: g.conv(x, 3, 4, 3, auto_pad="SAME_LOWER", strides=[2, 2]),
        "conv",
        {"shape": (1, 3, 8, 6)},
    ),
    "VALID": (lambda g, x: g.conv(x, 3, 4, 3, auto_pad="VALID"), "conv", {}),
    "a residual": (residual, "pointwise pointwise conv add", {}),
    "a sum of three and a Relu": (residual_of_three, "pointwise conv add add", {}),
    "one activation twice": (two_readers_of_one_activation, "conv conv conv add", {}),
    "an NHWC image": (lambda g, x: to_nhwc(g, padded_conv(g, to_nchw(g, x))), "conv", NHWC_IMAGE),
    "an NHWC image, NCHW result": (lambda g, x: padded_conv(g, to_nchw(g, x)), "conv", NHWC_IMAGE),
    "a grey NHWC image by Reshape": (
        lambda g, x: padded_conv(g, g("Reshape", x, np.int64([1, 1, 6, 8])), 1),
        "conv",
        {"shape": (1, 6, 8, 1)},
    ),
    "Flatten and Gemm": (flatten_head, "conv fully_connected", {}),
    "Flatten of NHWC and MatMul": (flatten_head_nhwc, "conv fully_connected", {}),
    "a dense layer on each pixel": (dense_per_pixel, "conv pointwise fully_connected", {}),
    "Gemm with a transposed vector": (
        lambda g, x: g("Gemm", g("Transpose", g("Flatten", pooled(g, x)), perm=[1, 0]), g.random(4, 5), transA=1),
        "conv mean fully_connected",
        {},
    ),
    "ReduceMean over NCHW": (
        lambda g, x: g("ReduceMean", padded_conv(g, x), axes=[2, 3], keepdims=0),
        "conv mean",
        {},
    ),
    "ReduceMean over NHWC by input": (
        lambda g, x: g("ReduceMean", to_nhwc(g, padded_conv(g, x)), np.int64([1, 2])),
        "conv mean",
        {"opset": 18},
    ),
    "ReduceMean in two steps": (mean_over_width_then_height, "conv mean fully_connected", {}),
    "AveragePool over the plane": (
        lambda g, x: g("AveragePool", padded_conv(g, x), kernel_shape=[7, 9]),
        "conv mean",
        {},
    ),
    "a convolutional head": (convolutional_head, "conv mean fully_connected fully_connected", {}),
    "Squeeze, Dropout and Identity": (
        lambda g, x: g("Identity", g("Dropout", g("Squeeze", pooled(g, x), np.int64([2, 3])), outputs=2)),
        "conv mean",
        {},
    ),
    "shapes computed in the graph": (
        shapes_computed_in_the_graph,
        "conv mean fully_connected",
        {"shape": ("n", 3, 7, 9)},
    ),
    "expanded constants": (batch_norm_of_expanded_constants, "conv", {"shape": ("n", 3, 7, 9), "opset": 18}),
    "Softmax": (lambda g, x: g("Softmax", g("Flatten", pooled(g, x))), "conv mean", {}),
    "Softmax of opset 9": (lambda g, x: g("Softmax", g("Flatten", pooled(g, x))), "conv mean", {"opset": 9}),
    "Softmax a pixel": (lambda g, x: to_nhwc(g, g("Softmax", padded_conv(g, x), axis=1)), "conv", {}),
    "Softmax a pixel, last axis": (lambda g, x: g("Softmax", to_nhwc(g, padded_conv(g, x))), "conv", {}),
    "Sigmoid": (lambda g, x: g("Sigmoid", padded_conv(g, x)), "conv", {}),
    "uint8 image, mean and std": (normalised, "conv", UINT8_IMAGE),
    "uint8 image, scale and offset": (normalised_by_scale_and_offset, "conv", UINT8_IMAGE),
    "uint8 image as it is": (lambda g, x: padded_conv(g, g("Cast", to_nchw(g, x), to=1)), "conv", UINT8_IMAGE),
    "Relu on uint8 pixels": (
        lambda g, x: padded_conv(g, g("Relu", g("Cast", to_nchw(g, x), to=1))),
        "conv",
        UINT8_IMAGE,
    ),
    "float image normalised": (float_image_normalised, "conv", {}),
    "float image scaled": (lambda g, x: padded_conv(g, g("Mul", x, np.float32(1 / 255))), "conv", {}),
    "a constant less the image": (lambda g, x: padded_conv(g, g("Sub", np.float32(1), x)), "depthwise conv", {}),
    "a full-plane depthwise": (
        lambda g, x: g("Conv", g.conv(x, 3, 4), g.random(4, 1, 7, 9, scale=0.1), group=4),
        "pointwise depthwise",
        {},
    ),
}
