# SPDX-License-Identifier: Apache-2.0
"""Streams: the words that the ``dsp`` bodies read, from weights and parameters already decided.

Rows of pointwise layers go in pairs (first, second), columns in the tile's pairs; NOTHING stands for zeros.
Everything is modulo 2**32, little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.dsp.ranges import Int64Array, Layer
from mbv2gen.dsp.requantization import BoolArray
from mbv2gen.dsp.shifts import END_BIAS_SHIFT
from mbv2gen.dsp.tiles import NOTHING, Pairs

END_WORD = 0x80000000  # plus 23 bits of payload: behind the weights of a pair of output channels
END_BIAS_LIMIT = 1 << 22 + END_BIAS_SHIFT  # of a bias that stands there
PACKED_LIMIT = 1 << 23  # of an accumulator that is the upper half of a packed pair
TURN = 4  # pairs of input channels a turn of the pointwise bodies

WordArray = NDArray[np.uint32]


@dataclass(frozen=True)
class Stream:
    """What one call of a body reads, and how many channels it writes."""

    data: bytes
    channels: int


@dataclass(frozen=True)
class General:
    """Records of the general body: int32 position, folded bias, multiplier, shift (positive = left), then the weights
    as int8 in the tile's order (depthwise: kernel_h x kernel_w), filled to a word. Pointwise records multiply the
    tile's int16 values; ``tile_shift`` says by how many bits the sum is to be shifted right (exact) before the bias."""

    data: bytes
    positions: tuple[int, ...]
    tile_shift: int = 0


def pad_pairs(pairs: Pairs, head: int = TURN) -> Pairs:
    """``pairs`` and as many of NOTHING as a pointwise body's loop needs: head + 4n in all."""
    missing = max(head - len(pairs), -(len(pairs) - head) % TURN)
    return (*pairs, *((NOTHING, NOTHING),) * missing)


def position_pairs(order: Sequence[int]) -> Pairs:
    """Neighbouring positions of ``order`` as pairs: the depthwise tile's."""
    filled = [*order, NOTHING] if len(order) % 2 else order
    return tuple((filled[k], filled[k + 1]) for k in range(0, len(filled), 2))


def with_zero(values: Int64Array) -> Int64Array:
    """One more row, of zeros: what NOTHING and a missing partner find, as index -1 or n."""
    return np.concatenate([values, np.zeros_like(values[:1])])


def words(values: Int64Array) -> WordArray:
    """The low 32 bits."""
    return (values & 0xFFFFFFFF).astype(np.uint32)


def stream(parts: Sequence[WordArray], channels: int) -> Stream:
    """Pairs of channels of these words, each part [pairs][words]."""
    return Stream(np.concatenate(parts, axis=1).astype("<u4").tobytes(), channels)


def columns_of(values: Int64Array, first: Int64Array, second: Int64Array) -> tuple[WordArray, WordArray]:
    """[pairs][1] each: the values of both channels of the pairs."""
    padded = with_zero(values)
    return words(padded[first])[:, np.newaxis], words(padded[second])[:, np.newaxis]


def biases(bias: Int64Array, first: Int64Array, second: Int64Array) -> tuple[WordArray, WordArray]:
    """[pairs][1] each: what a packed pair's accumulators start from, acc0 and 256 * acc1 + acc0."""
    padded = with_zero(bias)
    return words(padded[first])[:, np.newaxis], words((padded[second] << 8) + padded[first])[:, np.newaxis]


def weight_words(weights: Int64Array, first: Int64Array, second: Int64Array, pairs: Pairs, unpacked: bool) -> WordArray:
    """[pairs of rows][pairs of columns]: halfwords 256 * w1 + w0 of two columns, or bytes w0, w1, w0', w1'."""
    padded = with_zero(np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1))
    columns = np.array(pairs, np.int64).reshape(-1)
    w0, w1 = padded[first][:, columns], padded[second][:, columns]
    if unpacked:
        both = np.ascontiguousarray(np.stack([w0, w1], axis=2), np.int8).reshape(len(first), 2 * len(columns))
        return both.view("<u4").astype(np.uint32)
    return np.ascontiguousarray(256 * w1 + w0, "<i2").view("<u4").astype(np.uint32)


def end_words(payload: Int64Array) -> WordArray:
    """[pairs][1]: the low 23 bits of ``payload``."""
    return words(END_WORD | payload & 0x7FFFFF)[:, np.newaxis]


def depthwise_words(start: Int64Array, multiplier: Int64Array, weights: Int64Array) -> WordArray:
    """[n][5]: bias, M, and of each row of the window the bytes w0 w1 w1 w2."""
    rows = weights.reshape(-1, 3, 3)[:, :, [0, 1, 1, 2]].astype(np.int8)
    packed = np.ascontiguousarray(rows).reshape(-1, 12).view("<u4")
    return np.concatenate([words(np.stack([start, multiplier], axis=1)), packed], axis=1).astype("<u4")


def general_records(
    rows: Layer,
    bias: Int64Array,
    order: Sequence[int],
    positions: list[int],
    pairs: Pairs | None,
    *,
    tile_shift: int = 0,
) -> General:
    """Records for the channels at ``positions``; ``pairs`` None: all columns in their own order."""
    channels = np.array([order[p] for p in positions], np.int64)
    padded = np.concatenate([rows.weights, np.zeros_like(rows.weights[:, :1])], axis=1)
    columns = np.arange(rows.weights.shape[1]) if pairs is None else np.array(pairs, np.int64).reshape(-1)
    weights = padded[channels][:, columns].astype(np.int8)
    filled = np.pad(weights, ((0, 0), (0, -weights.shape[1] % 4)))
    head = (np.array(positions, np.int64), bias[channels], rows.multiplier[channels], rows.shift[channels])
    data = np.concatenate([words(np.stack(head, axis=1)).astype("<u4").view(np.uint8), filled.view(np.uint8)], axis=1)
    return General(data.tobytes(), tuple(positions), tile_shift)


def folded_bias(rows: Layer, offset: int) -> Int64Array:
    """The bias for a tile of x + offset instead of x - zero point."""
    return np.asarray(rows.bias - (rows.zero_point + offset) * rows.weights.sum(axis=1))


def silenced(weights: Int64Array, bias: Int64Array, silent: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Zeros where a channel is silent."""
    return np.where(silent[:, np.newaxis], 0, weights), np.where(silent, 0, bias)
