"""Requantization with one shift for all channels: the search for its parameters, at compile time.

TFLite's double rounding, clamped below at its zero point, is one floor for a right shift r >= 1:

    q = (acc * M + 2**30 + 2**(r + 30)) >> (31 + r)                     floor((floor(a) + n) / m) = floor((a + n) / m)

and the bodies of the ``dsp`` family compute, with y = acc * 2**scale + bias_step and one shift of 11 for every
channel, in one SMMLA and one USAT:

    q' = usat8(((y * M' >> 32) + C) >> 11)                                             M' about M >> (scale + r - 12)

Both are monotone in acc, so they are equal for every acc in [low, high] exactly if they pass each t = 1..255 at the
same acc. For integer C, (y * M' >> 32) + C >= T is the linear y * M' + 2**32 * C >= 2**32 * T: each threshold bounds C
from below at the least acc that must reach t, and from above at the greatest that must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.arithmetic import ADD_LEFT_SHIFT
from mbv2gen.dsp_ranges import Int64Array, Reach, add_table
from mbv2gen.quantized_network import QAdd, QuantizedNetwork

BoolArray: TypeAlias = NDArray[np.bool_]

COMMON_SHIFT = 11  # of every channel that is solved: an immediate in the bodies
GREATEST_RIGHT_SHIFT = 23  # for the 64-bit numbers here; beyond it accumulators under 2**23 give a constant
ADD_SHIFT = 21  # of the residual add: an immediate in its body
ADD_RADIUS = 40  # how far from the real-valued coefficients the add's are searched

_STEPS = (1, 12, 400)  # multipliers tried to each side of M >> j, in turn
_CHUNK = 1 << 20  # channels * multipliers * thresholds worked on at once
_NONE = 1 << 45  # a bound that does not bind


@dataclass(frozen=True, eq=False)
class Solution:
    """[n] each: whether there are parameters, and M', C and bias_step where there are (0 elsewhere)."""

    solved: BoolArray
    multiplier: Int64Array
    addend: Int64Array
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
    multiplier: Int64Array,
    right: Int64Array,
    scale: Int64Array,
    accumulators: Reach,
    *,
    bias_steps: bool,
) -> Solution:
    """Parameters for n channels of y = acc << scale (+ bias_step, where ``bias_steps`` lets it be other than 0).

    Exact for every accumulator in ``accumulators``; channels without such parameters, or out of the reach of the
    bodies (|y| < 2**31, M' < 2**31, a right shift of at least 12 - scale), come back unsolved.
    """
    dropped = scale + right - (COMMON_SHIFT + 1)
    possible = (multiplier > 0) & (dropped >= 0) & (dropped <= 30) & (right >= 1) & (right <= GREATEST_RIGHT_SHIFT)
    possible &= accumulators.magnitude << scale < 1 << 31
    result = Solution(np.zeros(len(right), bool), *(np.zeros(len(right), np.int64) for _ in range(3)))
    for steps in _STEPS:
        left = np.flatnonzero(possible & ~result.solved)
        size = max(1, _CHUNK // (255 * (2 * steps - 1)))
        for start in range(0, len(left), size):
            rows = left[start : start + size]
            reach = Reach(accumulators.low[rows], accumulators.high[rows])
            for field, values in zip(
                (result.solved, result.multiplier, result.addend, result.bias_step),
                _try(multiplier[rows], right[rows], scale[rows], reach, steps, bias_steps),
                strict=True,
            ):
                field[rows] = values
    return result


def _try(
    multiplier: Int64Array, right: Int64Array, scale: Int64Array, reach: Reach, steps: int, bias_steps: bool
) -> tuple[BoolArray, Int64Array, Int64Array, Int64Array]:
    """(solved, M', C, bias_step), [n] each, among 2 * steps - 1 multipliers a channel, the nearest to M >> j first."""
    cross = thresholds(multiplier, right)
    must, must_not = cross <= reach.high[:, np.newaxis], cross - 1 >= reach.low[:, np.newaxis]
    shift = scale[:, np.newaxis]
    reached = np.maximum(cross, reach.low[:, np.newaxis]).clip(max=reach.high[:, np.newaxis]) << shift
    missed = np.minimum(cross - 1, reach.high[:, np.newaxis]).clip(min=reach.low[:, np.newaxis]) << shift

    dropped = scale + right - (COMMON_SHIFT + 1)
    base = (multiplier + ((np.int64(1) << dropped) >> 1)) >> dropped
    top = np.where(must, reached, 1).max(axis=1).clip(min=1)
    step = np.maximum(1, base // (top * 8))[:, np.newaxis]  # moves the largest product by a sixteenth of v's unit
    offsets = np.arange(2 * steps - 1)
    offsets = np.where(offsets % 2 == 1, (offsets + 1) // 2, -(offsets // 2))
    tried = base[:, np.newaxis] + offsets * step  # [n][m]
    valid = (tried > 0) & (tried < 1 << 31)

    wanted = np.arange(1, 256) << COMMON_SHIFT
    half = np.full(len(base), 1 << (COMMON_SHIFT - 1), np.int64)
    fraction = scale - dropped - 2  # of 2**30 in C: an integer where it is at least 0
    nominal = half + np.where(fraction >= 0, np.int64(1) << fraction.clip(0), 0)
    if not bias_steps:
        low, high = _bounds(wanted, tried, reached, must, missed, must_not)
        found, index = _first((low <= high) & valid)
        chosen = tuple(np.take_along_axis(v, index[:, np.newaxis], axis=1)[:, 0] for v in (tried, low, high))
        return _where(found, chosen[0], nominal.clip(chosen[1], chosen[2]), np.zeros_like(base))
    answer = _where(np.zeros(len(base), bool), base, base, base)
    for addend in (half, half + 1):
        cross_y = -((-((wanted - addend[0]) << 32)) // tried.clip(1)[:, :, np.newaxis])  # least y that reaches t
        low = np.where(must[:, np.newaxis], cross_y - reached[:, np.newaxis], -_NONE).max(axis=2)
        high = np.where(must_not[:, np.newaxis], cross_y - 1 - missed[:, np.newaxis], _NONE).min(axis=2)
        found, index = _first((low <= high) & valid)
        m, least, most = (np.take_along_axis(v, index[:, np.newaxis], axis=1)[:, 0] for v in (tried, low, high))
        bias = np.clip(0, least, most)
        fits = np.maximum(np.abs((reach.low << scale) + bias), np.abs((reach.high << scale) + bias)) < 1 << 31
        fresh = found & fits & ~answer[0]
        new = _where(fresh, m, addend, bias)
        answer = (answer[0] | fresh, *(old + more for old, more in zip(answer[1:], new[1:], strict=True)))
    return answer


def _bounds(
    wanted: Int64Array,
    tried: Int64Array,
    reached: Int64Array,
    must: BoolArray,
    missed: Int64Array,
    must_not: BoolArray,
) -> tuple[Int64Array, Int64Array]:
    """[n][m]: the least and the greatest C that each multiplier allows; ``wanted`` is t << 11, [255]."""
    m = tried[:, :, np.newaxis]
    low = np.where(must[:, np.newaxis], wanted - (reached[:, np.newaxis] * m >> 32), -_NONE).max(axis=2)
    high = np.where(must_not[:, np.newaxis], wanted - 1 - (missed[:, np.newaxis] * m >> 32), _NONE).min(axis=2)
    return low, high


def _first(good: BoolArray) -> tuple[BoolArray, NDArray[np.intp]]:
    return good.any(axis=1), good.argmax(axis=1)


def _where(
    found: BoolArray, multiplier: Int64Array, addend: Int64Array, bias_step: Int64Array
) -> tuple[BoolArray, Int64Array, Int64Array, Int64Array]:
    return found, np.where(found, multiplier, 0), np.where(found, addend, 0), np.where(found, bias_step, 0)


def solve_add(network: QuantizedNetwork, operator: QAdd) -> AddCoefficients | None:
    """Coefficients with which the two-MLA body equals TFLite's ADD on all 65,536 pairs of inputs; None: none found.

    Coefficients within ADD_RADIUS of the real-valued ones are compared, the nearest first. For each, every pair bounds
    c; a pair whose bound is looser than the tightest by more than all of them can move it binds for none.
    """
    table = add_table(network, operator)
    output = operator.output_multiplier * 2.0 ** (operator.output_shift - 31 + ADD_LEFT_SHIFT)
    a0, b0 = (
        round(output * multiplier * 2.0 ** (shift - 31 + ADD_SHIFT))
        for multiplier, shift in zip(operator.input_multipliers, operator.input_shifts, strict=True)
    )
    x, y = (v.reshape(-1) for v in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij"))
    q, product = table.reshape(-1), a0 * x + b0 * y
    slack = 2 * ADD_RADIUS * 256
    least = np.where(q > -128, (q << ADD_SHIFT) - product, -_NONE)
    most = np.where(q < 127, ((q + 1) << ADD_SHIFT) - 1 - product, _NONE)
    lower, upper = least >= least.max() - slack, most <= most.min() + slack

    steps = np.arange(-ADD_RADIUS, ADD_RADIUS + 1)
    da, db = (v.reshape(-1) for v in np.meshgrid(steps, steps, indexing="ij"))
    order = np.lexsort((db, da, np.maximum(np.abs(da), np.abs(db))))
    da, db = da[order], db[order]
    low = _tightest(least[lower], x[lower], y[lower], da, db)
    high = -_tightest(-most[upper], -x[upper], -y[upper], da, db)
    largest = 128 * (np.abs(a0 + da) + np.abs(b0 + db)) + np.maximum(np.abs(low), np.abs(high))
    good = np.flatnonzero((low <= high) & (largest < 1 << 31))
    if not good.size:
        return None
    k = good[0]
    return AddCoefficients(int(a0 + da[k]), int(b0 + db[k]), int(low[k] + high[k]) // 2)


def _tightest(bound: Int64Array, x: Int64Array, y: Int64Array, da: Int64Array, db: Int64Array) -> Int64Array:
    """[m]: the greatest of bound - da * x - db * y over the pairs, for each of m steps; some pairs at a time."""
    result = np.full(len(da), -_NONE, np.int64)
    for start in range(0, len(bound), 128):
        part = slice(start, start + 128)
        moved = bound[part] - da[:, np.newaxis] * x[part] - db[:, np.newaxis] * y[part]
        np.maximum(result, moved.max(axis=1), out=result)
    return result
