# SPDX-License-Identifier: Apache-2.0
"""Packing for the fully connected body of the ``dsp`` family: eight outputs a turn, two weights a halfword.

The body's sums of packed pairs wrap; they are folded (the odd outputs' accumulators taken out and started anew) often
enough that between two folds no second output of a pair can leave 24 bits, whatever the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbv2gen.dsp import four_bits as four
from mbv2gen.dsp.parameters import LEAST_WEIGHT
from mbv2gen.dsp.ranges import Layer
from mbv2gen.dsp.streams import PACKED_LIMIT, Stream, biases, columns_of, folded_bias, weight_words
from mbv2gen.dsp.tiles import NOTHING

GREATEST_SHIFT = 22  # 2**30 and the addend stay in int32
TURN = 8  # columns that the body takes between two looks for a fold


@dataclass(frozen=True)
class PackedFullyConnected:
    """A fully connected layer: groups of eight outputs, then v = round(2 * acc * multiplier / 2**32) +
    (centre << (shift - 1)) - (acc < 0), q = v >> shift clamped to act_min..act_max. x is int16 pairs of ``columns``
    (values int8 + 128, 0 for NOTHING), a word of -1 behind as many columns as each of ``folds`` says, -2 at the end."""

    columns: tuple[int, ...]
    folds: tuple[int, ...]
    outputs: int
    stream: Stream
    multiplier: tuple[int, ...]
    centre: int
    shift: tuple[int, ...]
    four_bits: bool = False


def refuses_fully_connected(rows: Layer, columns: Sequence[int], *, four_bits: bool = False) -> str | None:
    """Why the fully connected body cannot run ``rows``; None where it can. It has no general body beside it."""
    if (rows.weights < LEAST_WEIGHT).any():
        return "it has weights of -128"
    if ((rows.shift >= 0) & (rows.multiplier > 0)).any() or (rows.shift < -GREATEST_SHIFT).any():
        return f"its right shifts are not all in 1..{GREATEST_SHIFT}"
    if (rows.accumulators.magnitude >= 1 << 30).any():
        return "an accumulator may reach 2**30"
    if _folds(rows, _filled(columns), four_bits=four_bits) is None:
        return "a packed half may reach 2**23 within eight inputs"
    return None


def pack_fully_connected(rows: Layer, columns: Sequence[int], *, four_bits: bool = False) -> PackedFullyConnected:
    """Streams for x in the order of ``columns``: eight biases, then per pair of inputs four packed words, or two where
    weights have ``four_bits``.

    Outputs in canonical order, filled with silent ones to a multiple of eight; columns to one of eight. The packed
    sums are folded as often as every second output (of four bits every first) needs to stay under 2**23 between folds,
    over all inputs.
    """
    assert refuses_fully_connected(rows, columns, four_bits=four_bits) is None, "the caller asks first"
    filled = _filled(columns)
    n = len(rows.bias)
    channels = np.array([*range(n), *(NOTHING,) * (-n % 8)], np.int64)
    first, second = channels[::2], channels[1::2]
    folded = folded_bias(rows, 128)
    starts = columns_of(folded, first, second) if four_bits else biases(folded, first, second)
    start = np.concatenate(starts, axis=1).reshape(-1, 8)
    if four_bits:
        matrix = four.dense_words(rows.weights, channels, filled)
    else:
        pairs = tuple((filled[k], filled[k + 1]) for k in range(0, len(filled), 2))
        matrix = weight_words(rows.weights, first, second, pairs, unpacked=False)
        matrix = matrix.reshape(len(start), 4, -1).transpose(0, 2, 1).reshape(len(start), -1)
    shift = np.where(rows.multiplier == 0, 1, -rows.shift)
    folds = _folds(rows, filled, four_bits=four_bits)
    assert folds is not None
    return PackedFullyConnected(
        filled,
        folds,
        n,
        Stream(np.concatenate([start, matrix], axis=1).astype("<u4").tobytes(), len(channels)),
        tuple(rows.multiplier.tolist()),
        2 * rows.output_zero_point + 1,
        tuple(shift.tolist()),
        four_bits,
    )


def _filled(columns: Sequence[int]) -> tuple[int, ...]:
    return (*(int(c) for c in columns), *(NOTHING,) * (-len(columns) % TURN))


def _folds(rows: Layer, columns: tuple[int, ...], *, four_bits: bool) -> tuple[int, ...] | None:
    """Numbers of columns after which to fold, as few as there can be; None where eight columns are too many.

    Of four bits it is the even outputs that count, and biases are no part of the sums.
    """
    padded = np.concatenate([rows.weights, np.zeros_like(rows.weights[:, :1])], axis=1)
    weights = padded[0 if four_bits else 1 :: 2][:, list(columns)]
    ends = [np.append(end + 128, 0)[list(columns)] for end in (rows.inputs.low, rows.inputs.high)]
    products = [(weights * end).reshape(len(weights), len(columns) // TURN, TURN) for end in ends]
    low, high = np.minimum(*products).sum(axis=2), np.maximum(*products).sum(axis=2)
    folds: list[int] = []
    least = most = np.zeros(len(weights), np.int64) if four_bits else folded_bias(rows, 128)[1::2]
    for block in range(low.shape[1]):
        least, most = least + low[:, block], most + high[:, block]
        if np.maximum(np.abs(least), np.abs(most)).max(initial=0) >= PACKED_LIMIT:
            least, most = low[:, block], high[:, block]
            if not block:
                return None
            folds.append(block * TURN)
    return tuple(folds)
