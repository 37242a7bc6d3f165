# SPDX-License-Identifier: Apache-2.0
"""Requantization with one shift for all channels: the search for its parameters, at compile time.

TFLite's double rounding, clamped below at its zero point, is one floor for a right shift r >= 1:

    q = (acc * M + 2**30 + 2**(r + 30)) >> (31 + r)                     floor((floor(a) + n) / m) = floor((a + n) / m)

and the bodies of the ``dsp`` family compute, with y = acc * 2**scale + bias, in one SMMUL and one USAT with one shift s
(of dsp_shifts, an immediate) for every channel:

    q' = usat8((y * M' >> 32) >> s)                                                M' about M >> (scale + r - s - 1)

Both are monotone in acc, so they are equal for every acc in [low, high] exactly if they pass each t = 1..255 at the
same acc. q' >= t is the linear y * M' >= t * 2**(32 + s): for a given M' each threshold bounds the bias from below at
the least acc that must reach t, and from above at the greatest that must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.arithmetic import ADD_LEFT_SHIFT
from mbv2gen.dsp.ranges import Int64Array, Reach, add_table
from mbv2gen.dsp.shifts import ADD_SHIFT
from mbv2gen.quantized_network import QAdd, QuantizedNetwork

BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]

GREATEST_RIGHT_SHIFT = 23  # for the 64-bit numbers here; beyond it accumulators under 2**23 give a constant

_ADD_RADII = (2, 8, 40)  # how far from the real-valued coefficients the add's are searched, in turn
_STEPS = (1, 12, 60)  # multipliers tried to each side of M >> j, in turn
_CHUNK = 1 << 17  # channels * multipliers * thresholds worked on at once: what a cache holds
_NONE = 1 << 45  # a bound that does not bind


@dataclass(frozen=True, eq=False)
class Solution:
    """[n] each: whether there are parameters, and M' and the bias step where there are (0 elsewhere)."""

    solved: BoolArray
    multiplier: Int64Array
    bias_step: Int64Array


@dataclass(frozen=True)
class AddCoefficients:
    """The residual add: q = ssat8((a * q0 + b * q1 + c) >> ADD_SHIFT) for int8 q0, q1."""

    a: int
    b: int
    c: int


def thresholds(multiplier: Int64Array, right: Int64Array) -> Int64Array:
    """[n][255]: the least accumulator whose output is at least zero point + t, t = 1..255; M > 0, 1 <= right <= 23."""
    t = np.arange(1, 256)
    floor = (t << (31 + right[:, np.newaxis])) - (1 << 30) - (np.int64(1) << (right[:, np.newaxis] + 30))
    return -(-floor // multiplier[:, np.newaxis])


def solve(
    multiplier: Int64Array, right: Int64Array, scale: int, accumulators: Reach, *, common_shift: int, unit: int = 1
) -> Solution:
    """Parameters for n channels of y = (acc << scale) + bias_step, q = usat8((y * M' >> 32) >> common_shift).

    Exact for every accumulator in ``accumulators``; channels without such parameters, or out of the reach of the
    bodies (|y| < 2**31, M' < 2**31, a right shift of at least common_shift + 1 - scale), come back unsolved.
    ``common_shift`` is 13 at most. Steps are multiples of ``unit`` where one of the multipliers that are tried together
    allows it.
    """
    dropped = scale + right - (common_shift + 1)
    possible = (multiplier > 0) & (dropped >= 0) & (dropped <= 30) & (right >= 1) & (right <= GREATEST_RIGHT_SHIFT)
    possible &= accumulators.magnitude << scale < 1 << 31
    result = Solution(np.zeros(len(right), bool), *(np.zeros(len(right), np.int64) for _ in range(2)))
    for steps in _STEPS:
        left = np.flatnonzero(possible & ~result.solved)
        size = max(1, _CHUNK // (255 * (2 * steps - 1)))
        for start in range(0, len(left), size):
            rows = left[start : start + size]
            reach = Reach(accumulators.low[rows], accumulators.high[rows])
            problem = _problem(multiplier[rows], right[rows], scale, reach, common_shift)
            tried = _candidates(problem, multiplier[rows], dropped[rows], steps)
            found = _first(problem, tried, reach, scale, unit)
            for field, values in zip((result.solved, result.multiplier, result.bias_step), found, strict=True):
                field[rows] = values
    return result


@dataclass(frozen=True, eq=False)
class _Problem:
    """[n][255] each: the least acc << scale that must have ``reached`` t, and the greatest that must still have
    ``missed`` it, infinite where none does. ``wanted`` [255]: the y * M' that reaches t.

    Integers as float64, which divides ten times as fast. The ceilings of quotients are exact: of wanted < 2**53 by M',
    one that is no integer is at least 1 / M' away from the next, and is rounded by less.
    """

    reached: FloatArray
    missed: FloatArray
    wanted: FloatArray


def _problem(multiplier: Int64Array, right: Int64Array, scale: int, reach: Reach, common_shift: int) -> _Problem:
    """A threshold beyond the range must stay unreached at its end; one below it must be passed at its start."""
    cross = thresholds(multiplier, right)
    low, high = reach.low[:, np.newaxis], reach.high[:, np.newaxis]
    return _Problem(
        np.where(cross <= high, np.maximum(cross, low) << scale, np.inf),
        np.where(cross > low, np.minimum(cross - 1, high) << scale, -np.inf),
        np.arange(1, 256, dtype=np.float64) * (1 << 32 + common_shift),
    )


def _candidates(problem: _Problem, multiplier: Int64Array, dropped: Int64Array, steps: int) -> Int64Array:
    """[n][m]: M >> dropped, rounded, and its neighbours, the nearest first.

    A step moves the last threshold by an eighth of y's unit at most.
    """
    base = (multiplier + ((np.int64(1) << dropped) >> 1)) >> dropped
    top = np.where(problem.reached < np.inf, problem.reached, 1).max(axis=1).clip(min=1)
    step = np.maximum(1, base // (top.astype(np.int64) * 8))
    k = np.arange(2 * steps - 1)
    tried: Int64Array = base[:, np.newaxis] + np.where(k % 2 == 1, (k + 1) // 2, -(k // 2)) * step[:, np.newaxis]
    return tried


def _first(
    problem: _Problem, tried: Int64Array, reach: Reach, scale: int, unit: int
) -> tuple[BoolArray, Int64Array, Int64Array]:
    """[n] each: whether one of the multipliers ``tried`` allows a bias step, the first such, and its step nearest 0;
    rather a multiple of ``unit``."""
    cross = np.ceil(problem.wanted / tried.clip(1)[:, :, np.newaxis])  # least y that reaches t
    low = (cross - problem.reached[:, np.newaxis]).max(axis=2)
    high = (cross - problem.missed[:, np.newaxis]).min(axis=2) - 1
    coarse_low, coarse_high = np.ceil(low / unit) * unit, np.floor(high / unit) * unit
    coarse = coarse_low <= coarse_high
    step = np.where(coarse, np.clip(0, coarse_low, coarse_high), np.clip(0, low, high))
    ends = ((end << scale)[:, np.newaxis] + step for end in (reach.low, reach.high))
    fits = np.maximum(*(np.abs(end) for end in ends)) < 1 << 31
    good = (low <= high) & (tried > 0) & (tried < 1 << 31) & fits
    index = np.where((good & coarse).any(axis=1), (good & coarse).argmax(axis=1), good.argmax(axis=1))[:, np.newaxis]
    found = good.any(axis=1)
    multiplier, least = (np.take_along_axis(values, index, axis=1)[:, 0] for values in (tried, step))
    return np.asarray(found), np.where(found, multiplier, 0), np.where(found, least, 0).astype(np.int64)


def solve_add(network: QuantizedNetwork, operator: QAdd) -> AddCoefficients | None:
    """Coefficients with which the two-MLA body equals TFLite's ADD on all 65,536 pairs of inputs; None: none found.

    For given a and b every pair bounds c: from below by what its output needs, from above by what it must not reach.
    """
    table = add_table(network, operator)
    output = operator.output_multiplier * 2.0 ** (operator.output_shift - 31 + ADD_LEFT_SHIFT)
    a, b = (
        round(output * multiplier * 2.0 ** (exponent - 31 + ADD_SHIFT))
        for multiplier, exponent in zip(operator.input_multipliers, operator.input_shifts, strict=True)
    )
    x, y = (v.reshape(-1) for v in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij"))
    q, product = table.reshape(-1), a * x + b * y
    least = np.where(q > -128, (q << ADD_SHIFT) - product, -_NONE)
    most = np.where(q < 127, ((q + 1) << ADD_SHIFT) - 1 - product, _NONE)
    for radius in _ADD_RADII:
        da, db = _around(radius)
        low, high = _tightest(least, x, y, da, db), -_tightest(-most, -x, -y, da, db)
        largest = 128 * (np.abs(a + da) + np.abs(b + db)) + np.maximum(np.abs(low), np.abs(high))
        good = np.flatnonzero((low <= high) & (largest < 1 << 31))
        if good.size:
            k = good[0]
            return AddCoefficients(int(a + da[k]), int(b + db[k]), int(low[k] + high[k]) // 2)
    return None


def _around(radius: int) -> tuple[Int64Array, Int64Array]:
    """Every step (da, db) of at most ``radius``, the smallest first."""
    steps = np.arange(-radius, radius + 1)
    da, db = (v.reshape(-1) for v in np.meshgrid(steps, steps, indexing="ij"))
    order = np.lexsort((db, da, np.maximum(np.abs(da), np.abs(db))))
    return da[order], db[order]


def _tightest(bound: Int64Array, x: Int64Array, y: Int64Array, da: Int64Array, db: Int64Array) -> Int64Array:
    """[m]: the greatest of bound - da * x - db * y over the pairs, for each of m steps.

    A step moves a bound by at most radius * (|x| + |y|): pairs looser than the tightest by twice that bind for none.
    """
    near = bound >= bound.max() - 2 * 256 * np.abs(da).max(initial=0)
    bound, x, y = bound[near], x[near], y[near]
    result = np.full(len(da), -_NONE, np.int64)
    for start in range(0, len(bound), 128):
        part = slice(start, start + 128)
        moved = bound[part] - da[:, np.newaxis] * x[part] - db[:, np.newaxis] * y[part]
        np.maximum(result, moved.max(axis=1), out=result)
    return result
