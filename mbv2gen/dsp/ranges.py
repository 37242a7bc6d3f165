# SPDX-License-Identifier: Apache-2.0
"""Ranges: what each accumulator and each channel of each tensor can be, over all int8 inputs of the network.

Exact ends of exact intervals: products are summed at the ends of their inputs' ranges, and requantization, which is
monotone, is applied to the ends. A channel whose output cannot change is the extreme case; it makes the channels
that read it alone constant in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.arithmetic import ADD_LEFT_SHIFT, multiply_by_quantized_multiplier
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QuantizedNetwork,
)

Int64Array: TypeAlias = NDArray[np.int64]
Weighted: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected


@dataclass(frozen=True, eq=False)
class Reach:
    """Least and greatest value, both taken or at least not passed; int64 arrays of one shape."""

    low: Int64Array
    high: Int64Array

    @property
    def magnitude(self) -> Int64Array:
        return np.maximum(np.abs(self.low), np.abs(self.high))


@dataclass(frozen=True, eq=False)
class Layer:
    """A weighted operator as n rows of k products: acc = bias + sum of weights * (x - zero_point).

    The output is requantize(acc) + output_zero_point, clamped to act_min..act_max. ``inputs`` is what each of the k
    int8 inputs can be, padding included: [k], or [n][1] where every row has inputs of its own (depthwise).
    """

    name: str
    weights: Int64Array  # [n][k]; k is (kernel_h, kernel_w, c_in) in NHWC order
    bias: Int64Array  # [n]
    multiplier: Int64Array  # [n], Q31
    shift: Int64Array  # [n], positive = left
    zero_point: int
    output_zero_point: int
    act_min: int
    act_max: int
    inputs: Reach

    @cached_property
    def accumulators(self) -> Reach:
        """[n]: what the accumulators can be."""
        low, high = self.inputs.low - self.zero_point, self.inputs.high - self.zero_point
        ends = self.weights * low, self.weights * high
        return Reach(self.bias + np.minimum(*ends).sum(axis=1), self.bias + np.maximum(*ends).sum(axis=1))

    @cached_property
    def scaled(self) -> Reach:
        """[n]: what the requantized accumulators plus the output's zero point can be, before the clamp.

        A left shift that might leave int32 tells nothing: then every int8 value and one beyond to each side.
        """
        acc = self.accumulators
        known = acc.magnitude << np.maximum(self.shift, 0) < 1 << 31
        low, high = (
            multiply_by_quantized_multiplier(end, self.multiplier, self.shift) + self.output_zero_point
            for end in (acc.low, acc.high)
        )
        return Reach(np.where(known, low, -129), np.where(known, high, 128))

    @cached_property
    def outputs(self) -> Reach:
        """[n]: the int8 values that the outputs can have."""
        low, high = (end.clip(self.act_min, self.act_max) for end in (self.scaled.low, self.scaled.high))
        return Reach(low, high)


@dataclass(frozen=True, eq=False)
class Ranges:
    """The reach of each tensor's channels, int8 values [c], and the weighted operators as Layers, both by name."""

    tensors: tuple[tuple[str, Reach], ...]
    layers: dict[str, Layer]

    def tensor(self, name: str) -> Reach:
        return next(reach for tensor, reach in self.tensors if tensor == name)

    def layer(self, operator: Weighted) -> Layer:
        """``operator`` as a Layer over its inputs' reach."""
        return self.layers[operator.name]


def ranges(network: QuantizedNetwork) -> Ranges:
    """Ranges of every tensor of ``network``, from inputs of -128..127."""
    reaches: dict[str, Reach] = {}
    layers: dict[str, Layer] = {}
    for name in network.inputs:
        c = network.shape(name)[2]
        reaches[name] = Reach(np.full(c, -128, np.int64), np.full(c, 127, np.int64))
    for operator in network.operators:
        sources = [reaches[name] for name in operator.inputs]
        if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
            layers[operator.name] = _layer(network, operator, sources[0])
            reaches[operator.outputs[0]] = layers[operator.name].outputs
        else:
            reaches[operator.outputs[0]] = _reach(network, operator, sources)
    return Ranges(tuple(reaches.items()), layers)


def add_table(network: QuantizedNetwork, operator: QAdd) -> Int64Array:
    """The int8 output for every pair of int8 inputs: [256][256], both from -128. Source: TFLite's ADD."""
    parts = []
    for i, name in enumerate(operator.inputs):
        centred = (np.arange(-128, 128) - network.tensor(name).zero_point) << ADD_LEFT_SHIFT
        parts.append(multiply_by_quantized_multiplier(centred, operator.input_multipliers[i], operator.input_shifts[i]))
    total = parts[0][:, np.newaxis] + parts[1]
    scaled = multiply_by_quantized_multiplier(total, operator.output_multiplier, operator.output_shift)
    zero_point = network.tensor(operator.outputs[0]).zero_point
    return np.clip(scaled + zero_point, operator.act_min, operator.act_max)


def _layer(network: QuantizedNetwork, operator: Weighted, source: Reach) -> Layer:
    tensor = network.tensor(operator.inputs[0])
    weights = operator.weights.astype(np.int64)
    low, high = source.low, source.high
    if not isinstance(operator, QFullyConnected):
        w = operator.window
        if w.pad_top or w.pad_left or w.pad_bottom or w.pad_right:
            low, high = np.minimum(low, tensor.zero_point), np.maximum(high, tensor.zero_point)
    if isinstance(operator, QDepthwiseConv2D):
        weights = weights.reshape(-1, weights.shape[2]).T
        inputs = Reach(low[:, np.newaxis], high[:, np.newaxis])
    else:
        weights = weights.reshape(len(weights), -1)
        copies = weights.shape[1] // len(low)
        inputs = Reach(np.tile(low, copies), np.tile(high, copies))
    return Layer(
        operator.name,
        weights,
        operator.bias.astype(np.int64),
        operator.multiplier.astype(np.int64),
        operator.shift.astype(np.int64),
        tensor.zero_point,
        network.tensor(operator.outputs[0]).zero_point,
        operator.act_min,
        operator.act_max,
        inputs,
    )


def _reach(network: QuantizedNetwork, operator: QAdd | QMean | QActivation, sources: list[Reach]) -> Reach:
    if isinstance(operator, QAdd):
        table = add_table(network, operator)
        a, b = sources
        return Reach(table[a.low + 128, b.low + 128], table[a.high + 128, b.high + 128])
    if isinstance(operator, QMean):
        h, w, _ = network.shape(operator.inputs[0])
        zero_point = network.tensor(operator.inputs[0]).zero_point
        target = network.tensor(operator.outputs[0]).zero_point
        ends = (
            multiply_by_quantized_multiplier((end - zero_point) * h * w, operator.multiplier, operator.shift)
            for end in (sources[0].low, sources[0].high)
        )
        low, high = ((end + target).clip(-128, 127) for end in ends)
        return Reach(low, high)
    return Reach(
        sources[0].low.clip(operator.act_min, operator.act_max),
        sources[0].high.clip(operator.act_min, operator.act_max),
    )
