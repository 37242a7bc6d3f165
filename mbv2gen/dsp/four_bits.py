# SPDX-License-Identifier: Apache-2.0
"""Four bits: the words of pointwise streams whose weights have 4 bits, two output channels a byte.

A byte is 16 * w1 + w0, weights -7..7, so that it says -119..119 and no word looks like END. Of a word's bytes 0 and 2
go with one pair of inputs, 1 and 3 with the next pair. Canonical weights are 16 times those (quantized_network.py); a
body's sums are, of the canonical accumulators acc0 and acc1 of a pair of channels,

    A = 256 * acc0 = y0        from the low halves, shifted to the top of halfwords
    B = acc1 + acc0 / 16       from whole bytes; what is not the bias of acc0 is a multiple of 16

and acc1 = B - (A >> 12). Start values are given in y = 256 * acc, and may be any integers. Where |acc0| may reach
2**23, linear bodies unpack so that A = acc0 and acc1 = B - (A >> 4); the stream differs in its start values alone.
"""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp.ranges import Int64Array
from mbv2gen.dsp.streams import WordArray, with_zero, words
from mbv2gen.dsp.tiles import Pairs

SCALE = 8  # y = acc << 8


def weight_words(weights: Int64Array, first: Int64Array, second: Int64Array, pairs: Pairs) -> WordArray:
    """[pairs of rows][pairs of columns / 2] of canonical ``weights`` [n][k]; pairs of columns are even in number."""
    padded = with_zero(np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1))
    columns = np.array(pairs, np.int64).reshape(-1, 2, 2)  # [word][pair][column]
    both = padded[second][:, columns] + (padded[first][:, columns] >> 4)
    in_bytes = np.ascontiguousarray(both.transpose(0, 1, 3, 2), np.int8)  # byte 2 * column + pair
    return in_bytes.reshape(len(first), 2 * len(pairs)).view("<u4").astype(np.uint32)


def start_words(
    y: Int64Array, first: Int64Array, second: Int64Array, scale: int = SCALE
) -> tuple[WordArray, WordArray]:
    """[pairs][1] each: what A and B start from, for sums that start from ``y`` [n] = acc << ``scale``; what acc1 has
    below its unit is left out."""
    padded = with_zero(y)
    y0, y1 = padded[first], padded[second]
    return words(y0)[:, np.newaxis], words((y1 >> scale) + (y0 >> scale + 4))[:, np.newaxis]


def rest_of_start(y: Int64Array, second: Int64Array) -> Int64Array:
    """[pairs]: the 256ths, for END."""
    return with_zero(y)[second] & 0xFF


def dense_words(weights: Int64Array, channels: Int64Array, columns: tuple[int, ...]) -> WordArray:
    """[groups of eight ``channels``][words] of a fully connected layer: per pair of columns a word of the outputs 0 to
    3, bytes of (0, 1) and (2, 3) for the first column, then for the second, and a word of the outputs 4 to 7."""
    padded = with_zero(np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1))
    rows = padded[channels][:, list(columns)].reshape(-1, 2, 2, 2, len(columns) // 2, 2)  # group, word, byte, half
    both = rows[:, :, :, 1] + (rows[:, :, :, 0] >> 4)  # [group][word][byte][pair][column]
    in_bytes = np.ascontiguousarray(both.transpose(0, 3, 1, 4, 2), np.int8)
    return in_bytes.reshape(len(in_bytes), 4 * len(columns)).view("<u4").astype(np.uint32)
