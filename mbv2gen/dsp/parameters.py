# SPDX-License-Identifier: Apache-2.0
"""Parameters: for each channel of a layer, how the ``dsp`` bodies requantize it, or why only the general body can.

A channel is *constant* (its output cannot change), *general* (left to the general body, which knows any zero point,
clamp, shift and bound) or runs in a fast body. Constant and general channels are *silent* there: zero weights, and a
bias that makes the constant, or 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from mbv2gen.dsp.ranges import Int64Array, Layer, Reach
from mbv2gen.dsp.requantization import BoolArray, solve
from mbv2gen.dsp.shifts import DEPTHWISE_SHIFT, END_BIAS_SHIFT, PACKED_SHIFT, UNPACKED_SHIFT

PACKED_SCALE = 8  # y = acc << 8: what the difference of a packed pair gives
UNPACKED_SCALE = 7  # y = acc << 7: put in by the tile of the body that does not pack
DEPTHWISE_SCALE = 8  # y = acc << 8: the body takes the weights so
LEAST_WEIGHT = -127  # -128 would make an END word of a weight word
CONSTANT_MULTIPLIER = 1 << 30  # of a channel whose output is its bias's

_kept = lru_cache(maxsize=128)  # the choice of kernels asks as well as packing: solved once


@dataclass(frozen=True, eq=False)
class CommonParameters:
    """[n] each, of a body with the common shift: q = usat8((y * multiplier >> 32) >> common), where
    y = (acc << scale) + step, of a silent channel y = step."""

    solved: BoolArray
    multiplier: Int64Array
    step: Int64Array


@dataclass(frozen=True, eq=False)
class ReluParameters:
    """[n] each; ``common`` solves all active channels but those of ``own``. In the body with shifts of its own
    v = (y * own_multiplier >> 32) + own_addend, q = usat8(v >> own_shift), y = acc << scale."""

    constant: Int64Array  # the uint8 output of a constant channel, else -1
    general: BoolArray
    common: CommonParameters
    own_multiplier: Int64Array
    own_addend: Int64Array
    own_shift: Int64Array

    @cached_property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant >= 0))


@dataclass(frozen=True, eq=False)
class DepthwiseParameters:
    """[n] each."""

    constant: Int64Array
    general: BoolArray
    common: CommonParameters

    @cached_property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant >= 0))


@dataclass(frozen=True, eq=False)
class LinearParameters:
    """[n] each. v = round(2 * acc * multiplier / 2**32) + ((2 * zero point + 1) << (shift - 1)) - (acc < 0),
    q = ssat8(v >> shift); of a silent channel acc = bias."""

    constant: Int64Array  # the int8 output of a constant channel, else NO_CONSTANT
    general: BoolArray
    multiplier: Int64Array
    bias: Int64Array  # of silent channels
    shift: Int64Array

    @cached_property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant != NO_CONSTANT))


NO_CONSTANT = 1 << 10


@_kept
def relu_parameters(rows: Layer, *, unpacked: bool, solver: bool) -> ReluParameters:
    """Parameters of the ReLU bodies, packed or ``unpacked``.

    Without ``solver`` every channel that is neither constant nor general takes a shift of its own.
    """
    scale, common_shift = (UNPACKED_SCALE, UNPACKED_SHIFT) if unpacked else (PACKED_SCALE, PACKED_SHIFT)
    acc = rows.accumulators
    constant = _constant_uint8(rows)
    own_shift, own_addend, possible = _own_shift(rows, acc, scale)
    fast = possible & _fits_uint8(rows) & (acc.magnitude < 1 << (31 - scale))
    fast &= rows.weights.min(axis=1) >= LEAST_WEIGHT
    general = ~fast & (constant < 0)
    active = fast & (constant < 0)
    return ReluParameters(
        constant,
        general,
        _common_parameters(
            rows, acc, active & solver, constant, scale, common_shift, unit=1 if unpacked else 1 << END_BIAS_SHIFT
        ),
        np.where(active, rows.multiplier, 0),
        np.where(active, own_addend, np.maximum(constant, 0) << 1),
        np.where(active, own_shift, 1),
    )


@_kept
def depthwise_parameters(rows: Layer, *, solver: bool) -> DepthwiseParameters:
    """Parameters of the depthwise bodies; without ``solver`` all channels that can change are general."""
    acc, constant = rows.accumulators, _constant_uint8(rows)
    usable = (constant < 0) & _fits_uint8(rows) & solver
    common = _common_parameters(rows, acc, usable, constant, DEPTHWISE_SCALE, DEPTHWISE_SHIFT)
    return DepthwiseParameters(constant, ~common.solved & (constant < 0), common)


def depthwise_possible(rows: Layer) -> BoolArray:
    """[n]: whether the depthwise bodies may hold a channel, before it is solved."""
    within = (rows.shift <= DEPTHWISE_SCALE - 1 - DEPTHWISE_SHIFT) & _fits_uint8(rows)
    return np.asarray(within | (_constant_uint8(rows) >= 0))


def _common_parameters(
    rows: Layer, acc: Reach, active: BoolArray, constant: Int64Array, scale: int, common_shift: int, unit: int = 1
) -> CommonParameters:
    """Of ``active`` channels by the solver, steps of ``unit`` where it can; constant ones have their output as step,
    others 0."""
    multiplier = np.where(active, rows.multiplier, 0)
    found = solve(multiplier, -rows.shift, scale, acc, common_shift=common_shift, unit=unit)
    step = np.maximum(constant, 0) << (common_shift + 2)  # * CONSTANT_MULTIPLIER >> 32 >> common_shift
    return CommonParameters(
        found.solved,
        np.where(found.solved, found.multiplier, np.where(constant > 0, CONSTANT_MULTIPLIER, 0)),
        np.where(found.solved, found.bias_step, step),
    )


@_kept
def linear_parameters(rows: Layer) -> LinearParameters:
    """Parameters of the linear bodies: any output zero point, right shifts from 1, |2 * acc| < 2**31.

    TFLite's first rounding is SMMLAR's; the second, half away from zero, is a floor of the value plus half, less one
    where it is negative. Where the first rounding brings a negative accumulator to 0, taking off 1 changes nothing.
    """
    acc, right = rows.accumulators, -rows.shift
    reach, scaled = rows.outputs, rows.scaled
    constant = np.where(reach.low == reach.high, reach.low, NO_CONSTANT)
    usable = right.clip(1, 30)
    addend = (np.int64(1) << (usable - 1)) + (rows.output_zero_point << usable)
    largest = (acc.magnitude * rows.multiplier >> 31) + 2 + np.abs(addend)
    clamped = ((rows.act_min == -128) | (scaled.low >= rows.act_min)) & (
        (rows.act_max == 127) | (scaled.high <= rows.act_max)
    )
    fast = clamped & (right == usable) & (acc.magnitude < 1 << 30) & (largest < 1 << 31)
    fast &= rows.weights.min(axis=1) >= LEAST_WEIGHT
    general = ~fast & (constant == NO_CONSTANT)
    silent = general | (constant != NO_CONSTANT)
    value = np.where(constant != NO_CONSTANT, constant, 0)
    return LinearParameters(
        constant,
        general,
        np.where(general, 0, np.where(silent, CONSTANT_MULTIPLIER, rows.multiplier)),
        np.where(general, 0, 4 * (value - rows.output_zero_point)),  # * 2 * CONSTANT_MULTIPLIER >> 32 >> 1
        np.where(silent, 1, usable),
    )


def _constant_uint8(rows: Layer) -> Int64Array:
    """[n]: the output + 128 where it cannot change, else -1."""
    reach = rows.outputs
    return np.where(reach.low == reach.high, reach.low + 128, -1)


def _fits_uint8(rows: Layer) -> BoolArray:
    """[n]: the clamp is a uint8's saturation: it ends at 127, or no accumulator takes the channel above act_max."""
    return (rows.act_max == 127) | (rows.scaled.high <= rows.act_max)


def _own_shift(rows: Layer, acc: Reach, scale: int) -> tuple[Int64Array, Int64Array, BoolArray]:
    """(shift, addend, whether they exist), [n] each, of the body with shifts by register: exact as they stand.

    q = (acc * M + 2**30 + 2**(r + 30)) >> (31 + r) for a right shift r >= 1, without the last term (there is no
    second rounding) for r <= 0; with y = acc << scale the shift is scale - 1 + r, C both terms over 2**(32 - scale).
    """
    right = -rows.shift
    shift = scale - 1 + right
    second = np.where(right >= 1, np.int64(1) << (shift - 1).clip(0, 40), 0)
    first = np.int64(1) << (scale - 2 + np.minimum(right, 0)).clip(0, 40)
    addend = np.where(right >= 1, 1 << (scale - 2), first) + second
    largest = ((acc.magnitude << scale).clip(max=1 << 31) * rows.multiplier >> 32) + 1 + addend
    possible = (shift >= 1) & (shift <= 30) & (largest < 1 << 31)
    possible &= acc.magnitude << np.maximum(rows.shift, 0) < 1 << 31
    return shift, addend, possible
