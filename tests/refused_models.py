# SPDX-License-Identifier: Apache-2.0
"""Models that the network's operators cannot express, each with what the refusal must say."""

from __future__ import annotations

import numpy as np
from exporter_habits import Body, padded_conv, pooled, to_nhwc
from onnx import TensorProto
from onnx_models import Builder


def not_constant_weights(g: Builder, x: str) -> str:
    y = g("Reshape", x, np.int64([3, 63]))
    return g("MatMul", y, g("Transpose", y))


# name: (body, build's arguments, what the message must say)
REFUSALS: dict[str, tuple[Body, dict[str, object], str]] = {
    "an unknown op": (
        lambda g, x: g("HardSwish", g.conv(x, 3, 4)),
        {},
        "node 'HardSwish_1': op HardSwish is not supported",
    ),
    "dilations": (lambda g, x: g.conv(x, 3, 4, 3, dilations=[2, 2]), {}, "dilations [2, 2]"),
    "groups": (lambda g, x: g.conv(g.conv(x, 3, 4), 4, 8, 3, group=2), {}, "grouped convolution"),
    "a depth multiplier": (lambda g, x: g.conv(x, 3, 6, 3, group=3), {}, "depth multiplier"),
    "reflected padding": (
        lambda g, x: g.conv(g("Pad", x, np.int64([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), 3, 4, 3),
        {},
        "padding with reflect",
    ),
    "padding with ones": (
        lambda g, x: g.conv(g("Pad", x, np.int64([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(1)), 3, 4, 3),
        {},
        "padding with the value 1",
    ),
    "padded channels": (
        lambda g, x: g("Pad", g.conv(x, 3, 4), np.int64([0, 0, 0, 0, 0, 2, 0, 0])),
        {},
        "only height and width may be padded (got axis 1 padded)",
    ),
    "cropping": (
        lambda g, x: g("Pad", g.conv(x, 3, 4), np.int64([0, 0, -1, 0, 0, 0, 0, 0])),
        {},
        "negative",
    ),
    "padding nothing can take": (
        lambda g, x: g("GlobalAveragePool", g("Pad", g.conv(x, 3, 4), np.int64([0, 0, 1, 0, 0, 0, 0, 0]))),
        {},
        "node 'Pad_1'",
    ),
    "a partial pool": (
        lambda g, x: g("AveragePool", g.conv(x, 3, 4), kernel_shape=[2, 2]),
        {},
        "the whole plane, without padding",
    ),
    "a mean over channels": (lambda g, x: g("ReduceMean", g.conv(x, 3, 4), axes=[1]), {}, "over the channels"),
    "a mean over rows only": (lambda g, x: g("Relu", g("ReduceMean", x, axes=[2])), {}, "over both height and width"),
    "two branches multiplied": (lambda g, x: g("Mul", g.conv(x, 3, 4), g.conv(x, 3, 4)), {}, "two computed values"),
    "a broadcast addition": (lambda g, x: g("Add", g.conv(x, 3, 4), pooled(g, x)), {}, "broadcasting is not supported"),
    "a constant a pixel": (lambda g, x: g("Add", g.conv(x, 3, 4), g.random(7, 9)), {}, "one value, or one a channel"),
    "softmax over the plane": (lambda g, x: g("Softmax", g.conv(x, 3, 4), axis=3), {}, "which are not the channels"),
    "softmax in the middle": (
        lambda g, x: g("Relu", g("Softmax", g.conv(x, 3, 4), axis=1)),
        {},
        "may only end the model",
    ),
    "an arg max": (
        lambda g, x: g("Cast", g("ArgMax", g.conv(x, 3, 4), axis=1), to=1),
        {},
        "op ArgMax is not supported",
    ),
    "weights that are computed": (not_constant_weights, {}, "must be constants of the model (got 'Transpose_1_out0'"),
    "a reshape through the channels": (
        lambda g, x: g("Reshape", g.conv(x, 3, 4), np.int64([1, 2, 2, 63])),
        {},
        "cuts the height, width or channels",
    ),
    "division by the image": (
        lambda g, x: g("Div", np.float32(1), g.conv(x, 3, 4)),
        {},
        "by a constant that is not zero (got a comp",
    ),
    "division by zero": (lambda g, x: g("Div", g.conv(x, 3, 4), np.float32([0.0])), {}, "not zero"),
    "a batch of eight": (lambda g, x: g.conv(x, 3, 4), {"shape": (8, 3, 7, 9)}, "a batch of 8"),
    "an int32 image": (
        lambda g, x: g.conv(g("Cast", x, to=1), 3, 4),
        {"dtype": TensorProto.INT32},
        "int32 is not supported",
    ),
    "a volume": (
        lambda g, x: g("Conv", x, g.random(4, 3, 1, 1, 1)),
        {"shape": (1, 3, 4, 5, 6)},
        "shape (1, 3, 4, 5, 6)",
    ),
    "nothing to compute": (lambda g, x: g("Identity", x), {}, "computes nothing"),
    "bounds that cross": (lambda g, x: g("Clip", x, np.float32(2), np.float32(1)), {}, "exceeds the upper bound"),
    "a negative variance": (
        lambda g, x: g("BatchNormalization", x, *(np.float32([1, 1, -1]),) * 4),
        {},
        "variances must be positive (got -0.99999",
    ),
    "a convolution across NHWC": (
        lambda g, x: g.conv(to_nhwc(g, padded_conv(g, x)), 7, 4),
        {},
        "must be batch, channels, height, width (got others: 1, h, w, c)",
    ),
}
