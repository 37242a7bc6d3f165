# SPDX-License-Identifier: Apache-2.0
"""Builds int8 networks operator by operator, with scales under which the outputs are alive.

A few random images pass through in plain float arithmetic, which shares nothing with the reference under test, and
choose each layer's multipliers: neither all saturated nor all equal. Every accumulator keeps to the bound checker's
rule, sum |w| * max |x - zero point| + |bias| < 2**30, left shifts included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbv2gen import arithmetic
from mbv2gen.network import Block, Clamp, ModelInput, ModelOutput, Shape, Source, Window, frozen
from mbv2gen.quantized_network import (
    PixelInput,
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QTensor,
    QuantizedNetwork,
)

Floats = NDArray[np.float64]

IMAGES = 3  # that choose the scales
LIVE_STEPS = 45.0  # root mean square, in steps of the output, that a channel is scaled to
NONE, RELU, RELU6 = Clamp(), Clamp(0.0), Clamp(0.0, 6.0)
POINTWISE = Window()


@dataclass
class NetworkBuilder:
    """Appends operators; each method takes tensors by name and returns the name of the one it made (the operator's).

    ``fixed`` overrides what is drawn: weights, bias, multiplier (real, one a channel or one for all), scale and
    zero_point of the output.
    """

    rng: np.random.Generator
    tensors: dict[str, QTensor] = field(default_factory=dict)
    operators: list[QOperator] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    values: dict[str, Floats] = field(default_factory=dict)  # roughly q, [IMAGES][h][w][c]
    macs: int = 0

    def input(self, shape: Shape, zero_point: int | None = None, scale: float | None = None) -> str:
        if zero_point is None:
            zero_point = int(self.rng.choice([-128, -1, 0, 127, self.rng.integers(-128, 128)]))
        scale = float(np.float32(scale or np.exp(self.rng.normal(-4, 1))))
        self.values["input"] = random_images(self.rng, shape, IMAGES).astype(np.float64)
        self.tensors["input"] = QTensor("input", shape, scale, zero_point)
        return "input"

    def conv(self, x: str, name: str, c: int, window: Window, clamp: Clamp = NONE, **fixed: Any) -> str:
        c_in = self.tensors[x].shape[2]
        weights = self._weights((c, window.kernel_h, window.kernel_w, c_in), 0, fixed)
        acc = convolve(self._centred(x), weights.astype(np.float64), window)
        out = {"name": name, "clamp": clamp, "fixed": fixed}
        parts = self._requantized(x, acc, weights.reshape(c, -1), arithmetic.conv_multiplier, out)
        self.macs += acc[0].size * window.kernel_h * window.kernel_w * c_in
        self.operators.append(QConv2D(name, (x,), (name,), weights=weights, window=window, **parts))
        return name

    def depthwise(self, x: str, name: str, window: Window, clamp: Clamp = NONE, **fixed: Any) -> str:
        c = self.tensors[x].shape[2]
        weights = self._weights((window.kernel_h, window.kernel_w, c), 2, fixed)
        dense = np.einsum("hwc,co->ohwc", weights.astype(np.float64), np.eye(c))
        acc = convolve(self._centred(x), dense, window)
        rows = weights.reshape(-1, c).T
        out = {"name": name, "clamp": clamp, "fixed": fixed}
        parts = self._requantized(x, acc, rows, arithmetic.conv_multiplier, out)
        self.macs += acc[0].size * window.kernel_h * window.kernel_w
        self.operators.append(QDepthwiseConv2D(name, (x,), (name,), weights=weights, window=window, **parts))
        return name

    def fully_connected(self, x: str, name: str, c: int, clamp: Clamp = NONE, **fixed: Any) -> str:
        flat = self._centred(x).reshape(IMAGES, -1)
        weights = self._weights((c, flat.shape[1]), 0, fixed)
        acc = (flat @ weights.T.astype(np.float64)).reshape(IMAGES, 1, 1, c)
        out = {"name": name, "clamp": clamp, "fixed": fixed}
        parts = self._requantized(x, acc, weights, arithmetic.fully_connected_multiplier, out)
        self.macs += weights.size
        self.operators.append(QFullyConnected(name, (x,), (name,), weights=weights, **parts))
        return name

    def add(self, x0: str, x1: str, name: str, clamp: Clamp = NONE, **fixed: Any) -> str:
        scale0, scale1 = self.tensors[x0].scale, self.tensors[x1].scale
        out = self._output(name, self._centred(x0) * scale0 + self._centred(x1) * scale1, clamp, fixed)
        parameters = arithmetic.add_parameters(scale0, scale1, out.scale)
        bounds = arithmetic.activation_range(clamp, out.scale, out.zero_point)
        self.operators.append(QAdd(name, (x0, x1), (name,), *parameters, *bounds))
        return name

    def mean(self, x: str, name: str, **fixed: Any) -> str:
        source = self.tensors[x]
        real = self._centred(x).mean(axis=(1, 2), keepdims=True) * source.scale
        out = self._output(name, real, NONE, fixed)
        parameters = arithmetic.mean_parameters(source.scale, out.scale, source.shape[0] * source.shape[1])
        self.operators.append(QMean(name, (x,), (name,), *parameters))
        return name

    def activation(self, x: str, name: str, act_min: int, act_max: int) -> str:
        source = self.tensors[x]
        self.tensors[name] = QTensor(name, source.shape, source.scale, source.zero_point)
        self.values[name] = self.values[x].clip(act_min, act_max)
        self.operators.append(QActivation(name, (x,), (name,), act_min, act_max))
        return name

    def block(self, name: str, kind: str, *roles: str) -> None:
        """Names the last ``len(roles)`` operators as one block."""
        operators = self.operators[-len(roles) :]
        self.blocks.append(Block(name, kind, tuple((r, o.name) for r, o in zip(roles, operators, strict=True))))

    def network(self, name: str, *outputs: str, tail: str = "none") -> QuantizedNetwork:
        h, w, c = self.tensors[outputs[0]].shape
        return QuantizedNetwork(
            name=name,
            tensors=tuple(self.tensors.values()),
            inputs=("input",),
            outputs=outputs,
            operators=tuple(self.operators),
            blocks=tuple(self.blocks),
            model_input=ModelInput("input", "NHWC", "float32"),
            model_output=ModelOutput("output", tail, (1, c) if h * w == 1 else (1, h, w, c)),
            pixel_input=pixel_input(self.rng, self.tensors["input"]),
            source=Source(f"{name}.onnx", "0" * 64),
            macs=self.macs,
        )

    def _centred(self, x: str) -> Floats:
        return self.values[x] - self.tensors[x].zero_point

    def _weights(self, shape: tuple[int, ...], axis: int, fixed: dict[str, Any]) -> NDArray[np.int8]:
        """Mostly full-range weights; in larger layers also channels (along ``axis``) of zeros, of +-1, of one sign."""
        if "weights" in fixed:
            return frozen(np.broadcast_to(np.asarray(fixed["weights"]), shape), np.int8)
        weights = np.moveaxis(self.rng.integers(-127, 128, shape), axis, 0).copy()
        kind = self.rng.choice(4, size=weights.shape[0], p=[0.85, 0.05, 0.05, 0.05]) * (weights.shape[0] > 3)
        weights[kind == 1] = 0
        weights[kind == 2] = np.sign(weights[kind == 2])
        weights[kind == 3] = np.abs(weights[kind == 3])
        return frozen(np.moveaxis(weights, 0, axis), np.int8)

    def _requantized(
        self, x: str, acc: Floats, rows: NDArray[np.int8], solve: Callable[..., Any], out: dict[str, Any]
    ) -> dict[str, Any]:
        """The fields that conv, depthwise and fully connected share; ``rows`` is the weights, one row a channel."""
        name, clamp, fixed = out["name"], out["clamp"], out["fixed"]
        size = np.sqrt(np.maximum((acc**2).mean(axis=(0, 1, 2)), 1.0))
        bound = np.abs(rows.astype(np.float64)).sum(axis=1) * 255
        drawn = np.clip(self.rng.normal(0, 0.5, size.shape) * size, bound - 2**29, 2**29 - bound)
        bias = np.broadcast_to(fixed.get("bias", drawn), size.shape).astype(np.int32)
        real = np.broadcast_to(fixed.get("multiplier", self._multipliers(size, bound + np.abs(bias))), size.shape)
        made = self._output(name, (acc + bias) * real, clamp, fixed, is_steps=True)
        weight_scale = (real * made.scale / self.tensors[x].scale).astype(np.float32)
        multiplier, shift = solve(self.tensors[x].scale, weight_scale, made.scale)
        low, high = arithmetic.activation_range(clamp, made.scale, made.zero_point)
        return {
            "bias": frozen(bias, np.int32),
            "weight_scale": frozen(weight_scale, np.float32),
            "multiplier": frozen(multiplier, np.int32),
            "shift": frozen(shift, np.int32),
            "act_min": low,
            "act_max": high,
        }

    def _multipliers(self, size: Floats, bound: Floats) -> Floats:
        """One a channel: most keep it alive, some are about 1e-7, or 1 to 245 where they can (XNNPACK takes < 256)."""
        kind = self.rng.choice(3, size=size.shape, p=[0.9, 0.05, 0.05]) * (size.size > 3)
        live = LIVE_STEPS / size * np.exp(self.rng.normal(0, 0.4, size.shape))
        tiny = 1e-7 * np.exp(self.rng.normal(size=size.shape))
        large = np.minimum(np.exp(self.rng.uniform(0, 5.5, size.shape)), 2.0**28 / np.maximum(bound, 1.0))
        return np.choose(kind, [live, tiny, large])

    def _output(
        self, name: str, real: Floats, clamp: Clamp, fixed: dict[str, Any], *, is_steps: bool = False
    ) -> QTensor:
        """Chooses the output's scale and zero point and notes its values; ``real`` may be in steps of that scale."""
        rng = self.rng
        scale = float(np.exp(rng.normal(-3, 1)))
        if not is_steps:
            scale = float(np.sqrt((real**2).mean()) / LIVE_STEPS) or 1.0
        zero_point = int(rng.choice([-128, 127, rng.integers(-60, 60)], p=[0.1, 0.1, 0.8]))
        if abs(zero_point) > 126:  # all of one sign: that of most values
            zero_point = 127 if np.median(real) < 0 else -128
        if clamp.low == 0.0:
            zero_point = int(rng.choice([-128, rng.integers(-128, 20)], p=[0.7, 0.3]))
        if clamp == RELU6 and is_steps:
            scale = 6 / float(rng.choice([255, rng.uniform(60, 400)]))
        scale = float(np.float32(fixed.get("scale", scale)))
        zero_point = fixed.get("zero_point", zero_point)
        low, high = arithmetic.activation_range(clamp, scale, zero_point)
        steps = np.rint(real if is_steps else real / scale)
        self.values[name] = (steps + zero_point).clip(low, high)
        self.tensors[name] = QTensor(name, (real.shape[1], real.shape[2], real.shape[3]), scale, zero_point)
        return self.tensors[name]


def random_images(rng: np.random.Generator, shape: Shape, n: int) -> NDArray[np.int8]:
    """int8 [n][h][w][c]: noise about levels that differ from image to image and channel to channel."""
    levels = rng.uniform(-110, 110, (n, 1, 1, shape[2]))
    return (levels + rng.normal(0, 40, (n, *shape))).clip(-128, 127).astype(np.int8)


def convolve(x: Floats, weights: Floats, window: Window) -> Floats:
    """[n][h][w][ci] with [co][kh][kw][ci] -> [n][h'][w'][co], zero padded."""
    out_h, out_w = window.output_size(x.shape[1], x.shape[2])
    pads = ((0, 0), (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0))
    padded = np.pad(x, pads)
    total = np.zeros((x.shape[0], out_h, out_w, weights.shape[0]))
    for kh in range(window.kernel_h):
        for kw in range(window.kernel_w):
            taps = padded[:, kh :: window.stride_h, kw :: window.stride_w][:, :out_h, :out_w]
            total += taps @ weights[:, kh, kw].T
    return total


def pixel_input(rng: np.random.Generator, tensor: QTensor) -> PixelInput | None:
    """None, the XOR table (mean 128 + zero point, std 1 / scale) or that of a random mean and standard deviation."""
    kind, c = rng.integers(3), tensor.shape[2]
    if kind == 0:
        return None
    mean, std = rng.uniform(0, 255, c), rng.uniform(20, 200, c)
    if kind == 1:
        mean, std = np.full(c, 128.0 + tensor.zero_point), np.full(c, 1 / tensor.scale)
    steps = (np.arange(256) - mean[:, None]) / std[:, None] / tensor.scale
    table = np.rint(steps + tensor.zero_point).clip(-128, 127)
    return PixelInput(frozen(table, np.int8), tuple(mean.tolist()), tuple(std.tolist()))
