# SPDX-License-Identifier: Apache-2.0
"""SeededMobileNet: MobileNetV2 of any width, resolution and number of classes as a QuantizedNetwork: random weights,
plausible scales.

Made at once (no picture passes through): for plans, sizes and benchmarks, where shapes matter and values hardly do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from mbv2gen import arithmetic
from mbv2gen.network import Block, Clamp, ModelInput, ModelOutput, Shape, Source, Window, frozen
from mbv2gen.quantized_network import (
    Int8Array,
    PixelInput,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QTensor,
    QuantizedNetwork,
)

# The paper's table 2: expansion, channels, repeats, stride.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
RELU6, LINEAR = Clamp(0.0, 6.0), Clamp()
IntArray: TypeAlias = NDArray[np.int64]


def mobilenet_v2(
    width: float, resolution: int, classes: int = 1000, *, padding: str = "torch", seed: int = 0
) -> QuantizedNetwork:
    """torchvision's MobileNetV2; ``padding``: torch (all sides) or same (TensorFlow's, bottom and right first)."""
    b = Builder(np.random.default_rng(seed), padding)
    b.tensors["input"] = QTensor("input", (resolution, resolution, 3), float(np.float32(1 / 64)), 0)
    x = b.conv("input", "stem_conv", divisible(32 * width), b.window((resolution, resolution), 2), RELU6)
    b.block("stem", "Stem", "conv")
    index = 0
    for expansion, channels, repeats, first_stride in BOTTLENECKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = inverted_residual(
                b, x, f"block{index}", expansion=expansion, channels=divisible(channels * width), stride=stride
            )
            index += 1
    x = b.conv(x, "head_conv", divisible(1280 * max(1.0, width)), Window(), RELU6)
    x = b.mean(x, "pool")
    x = b.fully_connected(x, "classifier", classes)
    b.block("head", "Head", "pointwise", "pool", "classifier")
    return b.network(f"mobilenet_v2_{round(100 * width):03d}_{resolution}_{padding}")


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of ``by``, at least ``by`` and not below 0.9 of ``channels`` (torchvision's rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by


def _int8(values: IntArray) -> Int8Array:
    return cast("Int8Array", frozen(values, np.int8))


def inverted_residual(b: Builder, x: str, name: str, *, expansion: int, channels: int, stride: int) -> str:
    """Expand (where ``expansion`` > 1), depthwise, project, and the addition where shapes allow it -> its output."""
    source, roles = x, ["depthwise", "project"]
    h, w, c = b.tensors[x].shape
    if expansion > 1:
        x = b.conv(x, f"{name}_expand", c * expansion, Window(), RELU6)
        roles.insert(0, "expand")
    x = b.depthwise(x, f"{name}_depthwise", b.window((h, w), stride))
    x = b.conv(x, f"{name}_project", channels, Window(), LINEAR)
    if stride == 1 and c == channels:
        x = b.add(source, x, f"{name}_add")
        roles.append("residual")
    b.block(name, "InvertedResidual", *roles)
    return x


@dataclass
class Builder:
    """A network that grows operator by operator; ``padding`` is torch or same."""

    rng: np.random.Generator
    padding: str
    tensors: dict[str, QTensor] = field(default_factory=dict)
    operators: list[QOperator] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    macs: int = 0

    def window(self, size: tuple[int, int], stride: int) -> Window:
        """3x3 on a plane of ``size`` = (h, w)."""
        pads = [1, 1, 1, 1]
        if self.padding == "same":
            totals = [max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in size]
            pads = [totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2]
        return Window(3, 3, stride, stride, *pads)

    def conv(self, x: str, name: str, c: int, window: Window, clamp: Clamp) -> str:
        h, w, c_in = self.tensors[x].shape
        weights = self.rng.integers(-127, 128, (c, window.kernel_h, window.kernel_w, c_in))
        parts = self._requantized(x, name, (*window.output_size(h, w), c), weights.reshape(c, -1), clamp)
        self.operators.append(QConv2D(name, (x,), (name,), weights=_int8(weights), window=window, **parts))
        return name

    def depthwise(self, x: str, name: str, window: Window) -> str:
        h, w, c = self.tensors[x].shape
        weights = self.rng.integers(-127, 128, (window.kernel_h, window.kernel_w, c))
        parts = self._requantized(x, name, (*window.output_size(h, w), c), weights.reshape(-1, c).T, RELU6)
        weights_int8 = _int8(weights)
        self.operators.append(QDepthwiseConv2D(name, (x,), (name,), weights=weights_int8, window=window, **parts))
        return name

    def fully_connected(self, x: str, name: str, c: int) -> str:
        h, w, c_in = self.tensors[x].shape
        weights = self.rng.integers(-127, 128, (c, h * w * c_in))
        parts = self._requantized(x, name, (1, 1, c), weights, LINEAR)
        self.operators.append(QFullyConnected(name, (x,), (name,), weights=_int8(weights), **parts))
        return name

    def add(self, x0: str, x1: str, name: str) -> str:
        tensors = self.tensors[x0], self.tensors[x1]
        scale = float(np.float32(self.rng.uniform(1.1, 1.4) * tensors[1].scale))
        out = self.tensors[name] = QTensor(name, tensors[0].shape, scale, 3)
        parameters = arithmetic.add_parameters(tensors[0].scale, tensors[1].scale, out.scale)
        self.operators.append(QAdd(name, (x0, x1), (name,), *parameters, -128, 127))
        return name

    def mean(self, x: str, name: str) -> str:
        source = self.tensors[x]
        h, w, c = source.shape
        self.tensors[name] = QTensor(name, (1, 1, c), source.scale, source.zero_point)
        self.operators.append(
            QMean(name, (x,), (name,), *arithmetic.mean_parameters(source.scale, source.scale, h * w))
        )
        return name

    def block(self, name: str, kind: str, *roles: str) -> None:
        names = [operator.name for operator in self.operators[-len(roles) :]]
        self.blocks.append(Block(name, kind, tuple(zip(roles, names, strict=True))))

    def _requantized(self, x: str, name: str, shape: Shape, rows: IntArray, clamp: Clamp) -> dict[str, Any]:
        """Scales under which an accumulator of random inputs (about 50 steps each) becomes about 40 steps."""
        scale, zero_point = (6 / 255, -128) if clamp == RELU6 else (0.05, int(self.rng.integers(-20, 20)))
        out = self.tensors[name] = QTensor(name, shape, float(np.float32(scale)), zero_point)
        source = self.tensors[x]
        real = 40 / (50 * np.linalg.norm(rows, axis=1) + 1) * np.exp(self.rng.normal(0, 0.3, len(rows)))
        weight_scale = (real * out.scale / source.scale).astype(np.float32)
        multiplier, shift = arithmetic.conv_multiplier(source.scale, weight_scale, out.scale)
        low, high = arithmetic.activation_range(clamp, out.scale, out.zero_point)
        self.macs += shape[0] * shape[1] * rows.size
        return {
            "bias": frozen(self.rng.normal(0, 20 / real), np.int32),
            "weight_scale": frozen(weight_scale, np.float32),
            "multiplier": frozen(multiplier, np.int32),
            "shift": frozen(shift, np.int32),
            "act_min": low,
            "act_max": high,
        }

    def network(self, name: str) -> QuantizedNetwork:
        channels = self.tensors["input"].shape[2]
        table = _int8(np.tile(np.arange(256) - 128, (channels, 1)))
        output = self.operators[-1].outputs[0]
        return QuantizedNetwork(
            name=name,
            tensors=tuple(self.tensors.values()),
            inputs=("input",),
            outputs=(output,),
            operators=tuple(self.operators),
            blocks=tuple(self.blocks),
            model_input=ModelInput("input", "NCHW", "float32"),
            model_output=ModelOutput("output", "none", (1, self.tensors[output].shape[2])),
            pixel_input=PixelInput(table, (128.0,) * channels, (64.0,) * channels),
            source=Source(f"{name}.onnx", "0" * 64),
            macs=self.macs,
        )
