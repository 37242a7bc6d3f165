# SPDX-License-Identifier: Apache-2.0
"""Decoding: streams of the ``dsp`` bodies read back as the bodies read them. Shares no code with packing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.dsp.proof import Bools, Canonical, Ints
from mbv2gen.dsp.streams import General
from mbv2gen.errors import CheckFailed

Words = NDArray[np.uint32]

END = 0x80000000


@dataclass(frozen=True, eq=False)
class Decoded:
    """Channels in the order of a stream: weights [n][columns], the others [n]. ``start`` is what y (of linear streams
    the sum) is where all inputs are 0, modulo 2**32; ``ends``: the structure around them is sound."""

    weights: Ints
    start: Ints
    multiplier: Ints
    addend: Ints
    shift: Ints
    ends: Bools


def decode_common(data: bytes, pairs: int, *, unpacked: bool, shift: int) -> Decoded:
    """A ReLU stream of the common ``shift``. Per two channels, unpacked: two biases, ``pairs`` weight words, END, M0,
    M1; packed: the second's bias, weights, END with half of the first's in its low 23 bits, M0, M1."""
    lead = 2 if unpacked else 1
    words = np.frombuffer(data, "<u4").reshape(-1, lead + pairs + 3)
    weights, end, sound = _pairs(words, lead, pairs, unpacked)
    start = words[:, :lead].astype(np.int64)
    if not unpacked:
        start = np.stack([end << 41 >> 40, start[:, 0]], axis=1)
    else:
        sound &= end == END
    return Decoded(
        weights,
        start.reshape(-1),
        _parameters(words[:, lead + pairs + 1 :]),
        np.zeros(2 * len(words), np.int64),
        np.full(2 * len(words), shift),
        np.repeat(sound, 2),
    )


def decode_own(data: bytes, pairs: int) -> Decoded:
    """A ReLU stream with shifts of its own, packed: per two channels two biases, ``pairs`` weight words, END with
    shifts, M0, C0, M1, C1. Sums stand for 256 * acc."""
    words = np.frombuffer(data, "<u4").reshape(-1, pairs + 7)
    weights, end, sound = _pairs(words, 2, pairs, unpacked=False)
    start = words[:, :2].astype(np.int64)
    start = np.stack([start[:, 0] << 8, start[:, 1] - start[:, 0]], axis=1)
    parameters = words[:, pairs + 3 :]
    return Decoded(
        weights,
        start.reshape(-1),
        _parameters(parameters[:, 0::2]),
        _parameters(parameters[:, 1::2]),
        _shifts(end),
        np.repeat(sound, 2),
    )


def decode_linear(data: bytes, pairs: int, *, unpacked: bool) -> tuple[Decoded, int]:
    """(a linear stream, its first word): then per two channels two biases, ``pairs`` weight words, END with shifts less
    1, M0, M1. ``start`` of a packed pair's second is 256 times its sum's."""
    stream = np.frombuffer(data, "<u4")
    words = stream[1:].reshape(-1, pairs + 5)
    weights, end, sound = _pairs(words, 2, pairs, unpacked)
    start = words[:, :2].astype(np.int64)
    if not unpacked:
        start[:, 1] -= start[:, 0]
    centre, shift = int(stream[:1].view("<i4")[0]), _shifts(end)
    addend = centre << shift
    decoded = Decoded(
        weights, start.reshape(-1), _parameters(words[:, pairs + 3 :]), addend, shift + 1, np.repeat(sound, 2)
    )
    return decoded, centre


def decode_partial(data: bytes, pairs: int) -> Decoded:
    """A stream of one group of a layer's columns, packed: per two channels two biases, ``pairs`` weight words, END.
    ``start`` as of linear streams; there are no parameters."""
    words = np.frombuffer(data, "<u4").reshape(-1, pairs + 3)
    weights, end, sound = _pairs(words, 2, pairs, unpacked=False)
    start = words[:, :2].astype(np.int64)
    start[:, 1] -= start[:, 0]
    none = np.zeros(2 * len(words), np.int64)
    return Decoded(weights, start.reshape(-1), none, none, none, np.repeat(sound & (end == END), 2))


def _pairs(words: Words, lead: int, pairs: int, unpacked: bool) -> tuple[Ints, Ints, Bools]:
    """(weights of both channels of each pair, END words, whether nothing before END looks like it)."""
    block = np.ascontiguousarray(words[:, lead : lead + pairs])
    if unpacked:
        quads = block.view("i1").reshape(len(block), pairs, 2, 2).astype(np.int64)
        first, second = quads[..., 0], quads[..., 1]
    else:
        halves = block.view("<i2").reshape(len(block), pairs, 2).astype(np.int64)
        first = ((halves + 128) & 255) - 128
        second = (halves - first) >> 8
    end = words[:, lead + pairs].astype(np.int64)
    sound = (block.view("<i4") >= -0x7F800000).all(axis=1) & (np.abs(second) <= 127).all(axis=(1, 2))
    weights = np.stack([first, second], axis=1).reshape(2 * len(words), 2 * pairs)
    return weights, end, sound & (end >> 23 == END >> 23)


def _parameters(words: Words) -> Ints:
    return np.ascontiguousarray(words).view("<i4").astype(np.int64).reshape(-1)


def _shifts(end: Ints) -> Ints:
    return np.stack([end & 0xFF, end >> 8 & 0xFF], axis=1).reshape(-1)


def decode_depthwise(data: bytes, shift: int) -> Decoded:
    """20 bytes a channel: bias, M, three rows of the bytes w0, w1, w1, w2, weights [n][9]."""
    words = np.frombuffer(data, "<u4").reshape(-1, 5)
    rows = np.ascontiguousarray(words[:, 2:]).view("i1").reshape(-1, 3, 4).astype(np.int64)
    head = np.ascontiguousarray(words[:, :2]).view("<i4").astype(np.int64)
    sound = (rows[:, :, 1] == rows[:, :, 2]).all(axis=1)
    none = np.zeros(len(words), np.int64)
    weights = rows[:, :, [0, 1, 3]].reshape(-1, 9)
    return Decoded(weights, head[:, 0], head[:, 1], none, none + shift, sound)


def decode_fully_connected(data: bytes, columns: int) -> tuple[Ints, Ints]:
    """(weights [n][columns], what the accumulators start from [n]; of every second the difference B - A)."""
    words = np.frombuffer(data, "<u4").reshape(-1, 8 + 2 * columns)
    start = words[:, :8].astype(np.int64)
    start[:, 1::2] -= start[:, 0::2]
    halves = np.ascontiguousarray(words[:, 8:]).view("<i2").reshape(len(words), columns // 2, 4, 2).astype(np.int64)
    first = ((halves + 128) & 255) - 128
    second = (halves - first) >> 8
    both = np.stack([first, second], axis=3)  # [groups][pairs of inputs][pairs of outputs][output][input]
    return both.transpose(0, 2, 3, 1, 4).reshape(-1, columns), start.reshape(-1)


def decode_general(
    layer: Canonical, general: General, order: Ints, columns: Ints, *, offset: int, tile_shift: int = 0
) -> None:
    """Raises CheckFailed where the records are not those of ``general.positions`` for a tile of int8 + ``offset``."""
    width = len(columns) + -len(columns) % 4
    records = np.frombuffer(general.data, np.uint8).reshape(-1, 16 + width)
    head = np.ascontiguousarray(records[:, :16]).view("<i4").astype(np.int64)
    weights = records[:, 16:].view(np.int8).astype(np.int64)
    channels = order[list(general.positions)]
    padded = np.concatenate([layer.weights, np.zeros_like(layer.weights[:, :1])], axis=1)
    bias = layer.bias - (layer.zero_point + offset) * layer.weights.sum(axis=1)
    wanted: list[tuple[str, NDArray[np.bool_]]] = [
        ("position", head[:, 0] == list(general.positions)),
        ("bias", (head[:, 1] - bias[channels]) % (1 << 32) == 0),
        ("multiplier", head[:, 2] == layer.multiplier[channels]),
        ("shift", head[:, 3] == layer.shift[channels]),
        ("weights", (weights[:, : len(columns)] == padded[channels][:, columns]).all(axis=1)),
        ("fill", (weights[:, len(columns) :] == 0).all(axis=1)),
    ]
    for what, holds in wanted:
        if len(holds) != len(channels) or not holds.all():
            raise CheckFailed(f"packing check: {layer.name}: wrong {what} in a record of the general body")
    if general.tile_shift != tile_shift:
        raise CheckFailed(f"packing check: {layer.name}: wrong tile shift of the general body")
