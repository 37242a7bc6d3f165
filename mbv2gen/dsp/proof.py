# SPDX-License-Identifier: Apache-2.0
"""Proof: a body's requantization equals TFLite's for every accumulator of a range. Shares no code with the solver.

Both sides are monotone in the accumulator, so they are equal on [low, high] exactly if they pass each output value at
the same accumulator. Where the body passes it is guessed in closed form; then both sides are evaluated there and one
below, literally as the processor and TFLite do, so that nothing rests on the guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Function: TypeAlias = Callable[[Ints], Ints]  # of accumulators [n][...], each row its channel's

INT32 = 1 << 31


@dataclass(frozen=True, eq=False)
class Canonical:
    """A weighted operator as the quantized network has it: n rows of k products, and what its accumulators can be."""

    name: str
    weights: Ints  # [n][k]
    bias: Ints
    multiplier: Ints
    shift: Ints  # positive = left
    zero_point: int
    output_zero_point: int
    act_min: int
    act_max: int
    input_low: Ints  # [k] or [n][1], int8
    input_high: Ints
    low: Ints  # [n], of the accumulator
    high: Ints


@dataclass(frozen=True, eq=False)
class ReluBody:
    """[n] each: y = scale * acc + start, q = usat8((y * multiplier >> 32) + addend >> shift)."""

    scale: Ints
    start: Ints
    multiplier: Ints
    addend: Ints
    shift: Ints


@dataclass(frozen=True, eq=False)
class LinearBody:
    """[n] each: v = round(2 * sum * multiplier / 2**32) + addend - (sum < 0), q = v >> shift clamped to least..most;
    sum = scale * acc + start."""

    scale: Ints  # 0 or 1
    start: Ints
    multiplier: Ints
    addend: Ints
    shift: Ints
    least: int
    most: int


def interval(weights: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """[n]: the least and the greatest sum of weights * x, x in [low, high]: the middle, less and plus the radius."""
    middle = (weights * (low + high)).sum(axis=1)
    radius = (np.abs(weights) * (high - low)).sum(axis=1)
    return (middle - radius) // 2, (middle + radius) // 2


def double_rounding(acc: Ints, multiplier: Ints, shift: Ints) -> Ints:
    """TFLite's MultiplyByQuantizedMultiplier, statement by statement; accumulators that stay in int32 when shifted."""
    value = (acc << np.maximum(shift, 0)) * multiplier
    value += (1 << 30) - (value >> 63 & INT32 - 1)  # the nudge: of a negative product 1 - 2**30
    value += value >> 63 & INT32 - 1  # a division rounds towards 0, the shift that does it down
    value >>= 31
    right = np.maximum(-shift, 0)
    mask = (np.int64(1) << right) - 1
    remainder = (value & mask) + (value >> 63)  # compared with half the mask, plus 1 of a negative value
    value >>= right
    value += remainder > mask >> 1
    return np.asarray(value, np.int64)


def wanted(layer: Canonical) -> Function:
    """The int8 output of ``layer`` for accumulators [n][m]."""

    def output(acc: Ints) -> Ints:
        scaled = double_rounding(acc, layer.multiplier[:, np.newaxis], layer.shift[:, np.newaxis])
        return (scaled + layer.output_zero_point).clip(layer.act_min, layer.act_max)

    return output


def in_range(layer: Canonical) -> Bools:
    """[n]: no left shift takes the accumulator out of int32."""
    return np.asarray(np.maximum(-layer.low, layer.high) << np.maximum(layer.shift, 0) < INT32)


def relu_holds(layer: Canonical, body: ReluBody) -> Bools:
    """[n]: the body's uint8 output is TFLite's int8 one + 128 for every accumulator, and nothing leaves int32."""
    scale, start, multiplier, addend, shift = (
        values[:, np.newaxis] for values in (body.scale, body.start, body.multiplier, body.addend, body.shift)
    )

    def value(acc: Ints) -> Ints:
        return ((scale * acc + start) * multiplier >> 32) + addend

    def output(acc: Ints) -> Ints:
        return (value(acc) >> shift).clip(0, 255) - 128

    ends = np.stack([layer.low, layer.high], axis=1)
    fits = (np.abs(scale * ends + start) < INT32) & (np.abs(value(ends)) < INT32)
    fits &= (multiplier >= 0) & (shift >= 0) & (shift < 32) & (scale >= 0)
    t = np.arange(1, 256)
    y = -((-(((t << shift) - addend) << 32)) // np.maximum(multiplier, 1))
    guess = np.ceil((y - start) / np.maximum(scale, 1)).astype(np.int64)
    moves = (multiplier > 0) & (scale > 0)
    return np.asarray(fits.all(axis=1)) & _same(
        layer, output, np.where(moves, guess, _flat(layer, output, t - 128)), t - 128
    )


def linear_holds(layer: Canonical, body: LinearBody) -> Bools:
    """[n]: the body's int8 output is TFLite's for every accumulator, and nothing leaves int32."""
    scale, start, multiplier, addend, shift = (
        values[:, np.newaxis] for values in (body.scale, body.start, body.multiplier, body.addend, body.shift)
    )

    def value(acc: Ints) -> Ints:
        total = scale * acc + start
        return ((2 * total * multiplier + (1 << 31)) >> 32) + addend - (total < 0)

    def output(acc: Ints) -> Ints:
        return (value(acc) >> shift).clip(body.least, body.most)

    ends = np.stack([layer.low, layer.high], axis=1)
    fits = (np.abs(2 * (scale * ends + start)) < INT32) & (np.abs(value(ends)) < INT32)
    fits &= (scale == 0) | ((scale == 1) & (start == 0))
    fits &= (multiplier >= 0) & (multiplier < INT32) & (shift >= 0) & (shift < 32)
    t = np.arange(-127, 128)
    least = (((t << shift) - addend) << 32) - (1 << 31)
    positive, negative = (-((-v) // np.maximum(2 * multiplier, 1)) for v in (least, least + (1 << 32)))
    guess = np.where(positive >= 0, positive, np.minimum(negative, 0))
    return np.asarray(fits.all(axis=1)) & _same(
        layer, output, np.where((multiplier > 0) & (scale > 0), guess, _flat(layer, output, t)), t
    )


def _flat(layer: Canonical, output: Function, t: Ints) -> Ints:
    """Where an output that does not depend on the accumulator (but perhaps on its sign) passes t."""
    low, high = layer.low[:, np.newaxis], layer.high[:, np.newaxis]
    return np.where(output(low) >= t, low, np.where(output(high) >= t, 0, high + 1))


def _same(layer: Canonical, output: Function, guess: Ints, t: Ints) -> Bools:
    """[n]: ``output`` and TFLite's pass every t at the same accumulator of [low, high]; ``guess`` [n][t] is it."""
    low, high = layer.low[:, np.newaxis], layer.high[:, np.newaxis]
    at = guess.clip(low, high + 1)
    target = wanted(layer)
    reached, before = np.minimum(at, high), np.maximum(at - 1, low)
    passes = (at > high) | ((output(reached) >= t) & (target(reached) >= t))
    stays = (at - 1 < low) | ((output(before) < t) & (target(before) < t))
    return np.asarray((passes & stays).all(axis=1) & in_range(layer))
