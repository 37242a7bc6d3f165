# SPDX-License-Identifier: Apache-2.0
"""Four-bit streams read back as the bodies read them. Shares no code with packing."""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp.decoding import END, Decoded, Words
from mbv2gen.dsp.proof import Bools, Ints

LINEAR_UNIT = (256, 1)  # of what the first and the second channel of a pair start from, in accumulators; unpacked 1, 1


def decode_common(data: bytes, pairs: int, shift: int) -> Decoded:
    """A ReLU stream of the common ``shift``. Per two channels: what A and B start from, a word for two of ``pairs``,
    END with the 256ths of the second's start, M0, M1."""
    words = np.frombuffer(data, "<u4").reshape(-1, pairs // 2 + 5)
    weights, end, sound = _weights(words, pairs)
    y0, acc1 = _starts(words)
    start = np.stack([y0, 256 * acc1 + (end & 0xFF)], axis=1)
    none = np.zeros(2 * len(words), np.int64)
    multiplier = _signed(words[:, -2:]).reshape(-1)
    return Decoded(weights, start.reshape(-1), multiplier, none, none + shift, np.repeat(sound, 2))


def decode_own(data: bytes, pairs: int) -> Decoded:
    """A ReLU stream with shifts of its own: END with both, then M0, C0, M1, C1."""
    words = np.frombuffer(data, "<u4").reshape(-1, pairs // 2 + 7)
    weights, end, sound = _weights(words, pairs)
    y0, acc1 = _starts(words)
    parameters = _signed(words[:, -4:]).reshape(-1, 2)
    return Decoded(
        weights,
        np.stack([y0, 256 * acc1], axis=1).reshape(-1),
        parameters[:, 0],
        parameters[:, 1],
        _shifts(end),
        np.repeat(sound, 2),
    )


def decode_linear(data: bytes, pairs: int, *, unpacked: bool) -> tuple[Decoded, int]:
    """(a linear stream, its first word): then as of the common shift, END with both shifts less 1. ``start`` is in
    LINEAR_UNIT, ``unpacked`` in accumulators."""
    stream = np.frombuffer(data, "<u4")
    words = stream[1:].reshape(-1, pairs // 2 + 5)
    weights, end, sound = _weights(words, pairs)
    y0, acc1 = _starts(words, 4 if unpacked else 12)
    centre, shift = int(stream[:1].view("<i4")[0]), _shifts(end)
    multiplier = _signed(words[:, -2:]).reshape(-1)
    start = np.stack([y0, acc1], axis=1).reshape(-1)
    return Decoded(weights, start, multiplier, centre << shift, shift + 1, np.repeat(sound, 2)), centre


def decode_fully_connected(data: bytes, columns: int) -> tuple[Ints, Ints]:
    """(canonical weights [n][columns], what the accumulators start from [n])."""
    words = np.frombuffer(data, "<u4").reshape(-1, 8 + columns)
    start = _signed(words[:, :8]).reshape(-1)
    value = np.ascontiguousarray(words[:, 8:]).view("i1").astype(np.int64).reshape(len(words), columns // 2, 2, 2, 2)
    low = ((value + 8) & 15) - 8  # [group][pair of columns][word][column][byte]
    both = 16 * np.stack([low, (value - low) >> 4], axis=5)
    return both.transpose(0, 2, 4, 5, 1, 3).reshape(-1, columns), start


def _weights(words: Words, pairs: int) -> tuple[Ints, Ints, Bools]:
    """(canonical weights of both channels of each pair, END words, whether all before is a weight)."""
    block = np.ascontiguousarray(words[:, 2 : 2 + pairs // 2])
    value = (
        block.view("i1").astype(np.int64).reshape(len(words), pairs // 2, 2, 2).transpose(0, 1, 3, 2)
    )  # [word][pair][column]
    low = ((value + 8) & 15) - 8
    high = (value - low) >> 4
    end = words[:, 2 + pairs // 2].astype(np.int64)
    sound = ((np.abs(low) <= 7) & (np.abs(high) <= 7)).all(axis=(1, 2, 3)) & (end >> 23 == END >> 23)
    both = 16 * np.stack([low, high], axis=1)
    return both.reshape(2 * len(words), 2 * pairs), end, sound


def _starts(words: Words, shift: int = 12) -> tuple[Ints, Ints]:
    """y0 (unpacked: acc0), and acc1 = B - (A >> shift), where all inputs are 0."""
    y0, b = _signed(words[:, :1])[:, 0], _signed(words[:, 1:2])[:, 0]
    return y0, b - (y0 >> shift)


def _signed(words: Words) -> Ints:
    return np.ascontiguousarray(words).view("<i4").astype(np.int64)


def _shifts(end: Ints) -> Ints:
    return np.stack([end & 0xFF, end >> 8 & 0xFF], axis=1).reshape(-1)
