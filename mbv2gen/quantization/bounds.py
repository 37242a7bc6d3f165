# SPDX-License-Identifier: Apache-2.0
"""Bounds: proof, for every channel and over all int8 inputs, that 32-bit accumulators hold what they must.

Interval arithmetic on the QuantizedNetwork alone. It shares no code with the interpreters, the quantizer or the
arithmetic module: what it proves does not rest on what it checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import CheckFailed
from mbv2gen.quantized_network import (
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

Int64Array: TypeAlias = NDArray[np.int64]
Interval: TypeAlias = tuple[Int64Array, Int64Array]  # [c] least, [c] greatest

INT32_LIMIT = 1 << 31
ADD_SHIFT = 20  # TFLite's ADD shifts its inputs left by so much


@dataclass(frozen=True, eq=False)
class OperatorBound:
    """One operator's accumulator, int64 [c] each: where it ends, and how far from 0 any order of summing takes it.

    The accumulator of a convolution or a fully connected layer is bias + sum w * (x - zero point); of a mean the sum
    of x - zero point over h and w; of an add the sum of both rescaled inputs; of an activation its input.
    """

    name: str
    low: Int64Array
    high: Int64Array
    magnitude: Int64Array


@dataclass(frozen=True)
class Bounds:
    """What :func:`check` proved: one bound an operator, and the int8 values each channel of each tensor can take."""

    operators: tuple[OperatorBound, ...]
    tensors: tuple[tuple[str, Int64Array, Int64Array], ...]

    def operator(self, name: str) -> OperatorBound:
        return next(bound for bound in self.operators if bound.name == name)

    def range(self, name: str) -> Interval:
        """([c] least, [c] greatest) final accumulator of operator ``name``."""
        bound = self.operator(name)
        return bound.low, bound.high

    def magnitude(self, name: str) -> Int64Array:
        """[c]: no partial sum of operator ``name``, in whatever order, is further from 0."""
        return self.operator(name).magnitude

    def reach(self, tensor: str) -> Interval:
        """([c] least, [c] greatest) int8 value in tensor ``tensor``."""
        return next((low, high) for name, low, high in self.tensors if name == tensor)


def check(network: QuantizedNetwork) -> Bounds:
    """Prove that no accumulator leaves int32, before or after its left shift, whatever the int8 input.

    Raises CheckFailed naming the first operator and channel where that is not proved.
    """
    reach: dict[str, Interval] = {}
    for name in network.inputs:
        c = network.shape(name)[2]
        reach[name] = np.full(c, -128, np.int64), np.full(c, 127, np.int64)
    bounds = []
    for operator in network.operators:
        sources = tuple(network.tensor(name) for name in operator.inputs)
        target = network.tensor(operator.outputs[0])
        intervals = tuple(reach[name] for name in operator.inputs)
        bound = _bound(operator, sources, intervals)
        _prove(network, operator, bound)
        bounds.append(bound)
        reach[target.name] = _output(operator, bound, target)
    return Bounds(tuple(bounds), tuple((name, low, high) for name, (low, high) in reach.items()))


def _bound(operator: QOperator, sources: tuple[QTensor, ...], intervals: tuple[Interval, ...]) -> OperatorBound:
    offsets = [(low - t.zero_point, high - t.zero_point) for t, (low, high) in zip(sources, intervals, strict=True)]
    low, high = offsets[0]
    if isinstance(operator, QConv2D):
        if not operator.window.is_pointwise:
            low, high = np.minimum(low, 0), np.maximum(high, 0)  # a padded element is the zero point
        taps = operator.window.kernel_h * operator.window.kernel_w
        weights = operator.weights.reshape(len(operator.weights), -1)
        return _sum_of_products(operator.name, weights, operator.bias, np.tile(low, taps), np.tile(high, taps))
    if isinstance(operator, QDepthwiseConv2D):
        weights = operator.weights.reshape(-1, operator.weights.shape[2]).T
        low, high = np.minimum(low, 0)[:, np.newaxis], np.maximum(high, 0)[:, np.newaxis]
        return _sum_of_products(operator.name, weights, operator.bias, low, high)
    if isinstance(operator, QFullyConnected):
        h, w, _ = sources[0].shape
        return _sum_of_products(
            operator.name, operator.weights, operator.bias, np.tile(low, h * w), np.tile(high, h * w)
        )
    if isinstance(operator, QAdd):
        return _add_bound(operator, offsets)
    if isinstance(operator, QMean):
        pixels = sources[0].shape[0] * sources[0].shape[1]
        low, high = low * pixels, high * pixels
        return OperatorBound(operator.name, low, high, np.maximum(np.abs(low), np.abs(high)))
    low, high = intervals[0]
    return OperatorBound(operator.name, low, high, np.maximum(np.abs(low), np.abs(high)))


def _sum_of_products(
    name: str, weights: NDArray[np.int8], bias: NDArray[np.int32], low: Int64Array, high: Int64Array
) -> OperatorBound:
    """bias + sum over k of weights [c][k] * x with x in [low, high], which broadcast against [c][k]."""
    w = weights.astype(np.int64)
    at_low, at_high = w * low, w * high
    start = bias.astype(np.int64)
    least, greatest = np.minimum(at_low, at_high), np.maximum(at_low, at_high)
    further = np.maximum(np.abs(least), np.abs(greatest))
    return OperatorBound(
        name, start + least.sum(axis=1), start + greatest.sum(axis=1), np.abs(start) + further.sum(axis=1)
    )


def _add_bound(operator: QAdd, offsets: list[Interval]) -> OperatorBound:
    """Each input is shifted left by 20 and multiplied by at most 1; a rounding adds at most 1 to either side."""
    lows, highs, magnitude = [], [], np.int64(0)
    for (low, high), multiplier, shift in zip(offsets, operator.input_multipliers, operator.input_shifts, strict=True):
        factor = float(multiplier) * 2.0 ** (shift - 31) * 2.0**ADD_SHIFT
        lows.append(np.floor(low * factor).astype(np.int64) - 1)
        highs.append(np.ceil(high * factor).astype(np.int64) + 1)
        shifted = np.maximum(np.abs(low), np.abs(high)) << (ADD_SHIFT + max(shift, 0))
        magnitude = np.maximum(magnitude, shifted)
    low, high = lows[0] + lows[1], highs[0] + highs[1]
    worst = np.maximum(np.maximum(np.abs(low), np.abs(high)), magnitude)
    return OperatorBound(operator.name, low, high, worst)


def _rescaling(operator: QOperator) -> tuple[Int64Array, Int64Array] | None:
    """(multiplier, shift), [c] or [1] each, behind the accumulator; None where nothing is rescaled."""
    if isinstance(operator, QActivation):
        return None
    if isinstance(operator, QAdd):
        return np.array([operator.output_multiplier], np.int64), np.array([operator.output_shift], np.int64)
    return np.atleast_1d(operator.multiplier).astype(np.int64), np.atleast_1d(operator.shift).astype(np.int64)


def _prove(network: QuantizedNetwork, operator: QOperator, bound: OperatorBound) -> None:
    worst = bound.magnitude
    rescaling = _rescaling(operator)
    if rescaling is not None:
        multiplier, shift = rescaling
        _require(network, operator, (multiplier >= 0) & (multiplier < INT32_LIMIT), "multiplier is not in Q31")
        _require(network, operator, (shift >= -31) & (shift <= 30), "shift is not in -31..30")
        ends = np.maximum(np.abs(bound.low), np.abs(bound.high)) << np.maximum(shift, 0)
        worst = np.maximum(worst, ends)
    bad = np.flatnonzero(worst >= INT32_LIMIT)
    if bad.size:
        reached = f"accumulator may reach {worst[bad[0]]}, beyond 32 bits"
        _require(network, operator, worst < INT32_LIMIT, reached)


def _require(network: QuantizedNetwork, operator: QOperator, holds: NDArray[np.bool_], what: str) -> None:
    bad = np.flatnonzero(~holds)
    if bad.size:
        raise CheckFailed(f"{network.source.file}: node '{operator.name}': channel {bad[0]}: {what}")


def _output(operator: QOperator, bound: OperatorBound, target: QTensor) -> Interval:
    """The int8 values each output channel can take: the accumulator rescaled, one step of rounding to each side."""
    act_min, act_max = (-128, 127) if isinstance(operator, QMean) else (operator.act_min, operator.act_max)
    low, high = bound.low, bound.high
    rescaling = _rescaling(operator)
    if rescaling is not None:
        multiplier, shift = rescaling
        factor = multiplier * 2.0 ** (shift - 31)
        low = _int64(np.floor(low * factor) - 1) + target.zero_point
        high = _int64(np.ceil(high * factor) + 1) + target.zero_point
    return np.clip(low, act_min, act_max), np.clip(high, act_min, act_max)


def _int64(values: NDArray[np.float64]) -> Int64Array:
    return np.clip(values, -(2.0**40), 2.0**40).astype(np.int64)
