"""Parameters: for each channel of a layer, how the ``dsp`` bodies requantize it, or why only the general body can.

A channel is *constant* (its output cannot change), *general* (left to the general body, which knows any zero point,
clamp, shift and bound) or runs in a fast body. Constant and general channels are *silent* there: zero weights, zero
bias, multiplier 0, and an addend that makes the constant, or 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mbv2gen.dsp.ranges import Int64Array, Layer, Reach
from mbv2gen.dsp.requantization import BoolArray, solve
from mbv2gen.dsp.shifts import DEPTHWISE_SHIFT, PACKED_SHIFT, UNPACKED_SHIFT

PACKED_SCALE = 8  # y = acc << 8: what the difference of a packed pair gives
UNPACKED_SCALE = 7  # y = acc << 7: put in by the tile of the body that does not pack
DEPTHWISE_SCALE = 8  # at most, for weights of the full range in int16
LEAST_WEIGHT = -127  # -128 would make an END word of a weight word


@dataclass(frozen=True, eq=False)
class ReluParameters:
    """[n] each. In the common-shift body v = (y * multiplier >> 32) + addend, q = usat8(v >> common); in the body with
    shifts of its own v = (y * own_multiplier >> 32) + own_addend, q = usat8(v >> own_shift). y = acc << scale, plus
    ``bias_step`` in the common-shift body, which only its slots with a bias of full resolution take."""

    constant: Int64Array  # the uint8 output of a constant channel, else -1
    general: BoolArray
    plain: BoolArray  # solved with bias_step 0, or silent: goes to any slot
    stepped: BoolArray  # solved, but with a bias_step
    multiplier: Int64Array
    addend: Int64Array
    bias_step: Int64Array
    own_multiplier: Int64Array
    own_addend: Int64Array
    own_shift: Int64Array

    @property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant >= 0))


@dataclass(frozen=True, eq=False)
class DepthwiseParameters:
    """[n] each. y = sum of (weight << scale) * x + (bias << scale) + bias_step, then as in the common-shift body."""

    constant: Int64Array
    general: BoolArray
    scale: Int64Array
    multiplier: Int64Array
    addend: Int64Array
    bias_step: Int64Array

    @property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant >= 0))


@dataclass(frozen=True, eq=False)
class LinearParameters:
    """[n] each. v = round(2 * acc * multiplier / 2**32) + addend - (acc < 0), q = ssat8(v >> shift)."""

    constant: Int64Array  # the int8 output of a constant channel, else NO_CONSTANT
    general: BoolArray
    multiplier: Int64Array
    addend: Int64Array
    shift: Int64Array

    @property
    def silent(self) -> BoolArray:
        return np.asarray(self.general | (self.constant != NO_CONSTANT))


NO_CONSTANT = 1 << 10


def relu_parameters(rows: Layer, *, unpacked: bool, solver: bool) -> ReluParameters:
    """Parameters of the ReLU bodies, packed or ``unpacked``.

    Without ``solver`` every channel that is neither constant nor general takes a shift of its own. In a packed pair
    only one of the two slots takes a bias_step, so there a channel is ``stepped`` only where it must be.
    """
    scale, common_shift = (UNPACKED_SCALE, UNPACKED_SHIFT) if unpacked else (PACKED_SCALE, PACKED_SHIFT)
    acc = rows.accumulators
    constant = _constant_uint8(rows)
    own_shift, own_addend, possible = _own_shift(rows, acc, scale)
    fast = possible & _fits_uint8(rows) & (acc.magnitude < 1 << (31 - scale))
    fast &= rows.weights.min(axis=1) >= LEAST_WEIGHT
    general = ~fast & (constant < 0)
    active = fast & (constant < 0)
    scales = np.full(len(constant), scale, np.int64)
    multiplier = np.where(active & solver, rows.multiplier, 0)
    first = solve(multiplier, -rows.shift, scales, acc, bias_steps=False, common_shift=common_shift)
    second = solve(
        np.where(first.solved, 0, multiplier), -rows.shift, scales, acc, bias_steps=True, common_shift=common_shift
    )
    value = np.maximum(constant, 0)
    return ReluParameters(
        constant,
        general,
        first.solved | ~active | (second.solved & unpacked),
        second.solved & (not unpacked),
        first.multiplier + second.multiplier,
        np.where(active, first.addend + second.addend, value << common_shift),
        second.bias_step,
        np.where(active, rows.multiplier, 0),
        np.where(active, own_addend, value << 1),
        np.where(active, own_shift, 1),
    )


def depthwise_parameters(rows: Layer, *, solver: bool) -> DepthwiseParameters:
    """Parameters of the depthwise bodies.

    Right shifts of 1..8 are exact as they stand, with scale = DEPTHWISE_SHIFT + 1 - right; for larger ones the
    ``solver`` searches at the greatest scale, then at the one that drops no bits.
    """
    acc, right = rows.accumulators, -rows.shift
    constant = _constant_uint8(rows)
    usable = (constant < 0) & _fits_uint8(rows)
    found = _exact_depthwise(rows, acc, usable)
    whole = (DEPTHWISE_SHIFT + 1 - right).clip(0, DEPTHWISE_SCALE)
    most = np.full(len(right), DEPTHWISE_SCALE, np.int64)
    for scale, bias_steps in ((most, False), (most, True), (whole, True)) if solver else ():
        possible = usable & _holds_int16(rows, scale) & (right >= DEPTHWISE_SHIFT) & ~found.solved
        multiplier = np.where(possible, rows.multiplier, 0)
        more = solve(multiplier, right, scale, acc, bias_steps=bias_steps, common_shift=DEPTHWISE_SHIFT)
        found = _Found(
            found.solved | more.solved,
            np.where(more.solved, scale, found.scale),
            found.multiplier + more.multiplier,
            found.addend + more.addend,
            found.bias_step + more.bias_step,
        )
    addend = np.where(found.solved, found.addend, np.maximum(constant, 0) << DEPTHWISE_SHIFT)
    general = ~found.solved & (constant < 0)
    return DepthwiseParameters(constant, general, found.scale, found.multiplier, addend, found.bias_step)


@dataclass(frozen=True, eq=False)
class _Found:
    solved: BoolArray
    scale: Int64Array
    multiplier: Int64Array
    addend: Int64Array
    bias_step: Int64Array


def _exact_depthwise(rows: Layer, acc: Reach, usable: BoolArray) -> _Found:
    """Channels of a right shift r of 1..8: with y = acc << (10 - r), ((y * M >> 32) + 2**8 + 2**(8 - r)) >> 9 is
    TFLite's (acc * M + 2**30 + 2**(r + 30)) >> (31 + r) for every acc."""
    right = -rows.shift
    scale = DEPTHWISE_SHIFT + 1 - right.clip(1, DEPTHWISE_SHIFT - 1)
    solved = usable & (right >= 1) & (right < DEPTHWISE_SHIFT) & (rows.multiplier > 0)
    solved &= _holds_int16(rows, scale) & (acc.magnitude << scale < 1 << 31)
    addend = (1 << DEPTHWISE_SHIFT - 1) + (np.int64(1) << scale - 2)
    nothing = np.zeros_like(right)
    return _Found(
        solved, np.where(solved, scale, 0), np.where(solved, rows.multiplier, 0), np.where(solved, addend, 0), nothing
    )


def _holds_int16(rows: Layer, scale: Int64Array) -> BoolArray:
    """[n]: the scaled weights are int16."""
    return np.asarray(np.abs(rows.weights).max(axis=1) << scale < 1 << 15)


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
        np.where(silent, 0, rows.multiplier),
        np.where(silent, value * 2, addend),
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
