"""Decoding: streams of the ``dsp`` bodies read back as the bodies read them. Shares no code with packing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.dsp.proof import Bools, Canonical, Ints
from mbv2gen.dsp.streams import General
from mbv2gen.errors import CheckFailed


@dataclass(frozen=True, eq=False)
class Decoded:
    """Channels in the order of a stream: weights [n][columns], the others [n]. ``start`` is the accumulator's first
    value (of a packed pair's second: of the difference B - A); ``ends``: the structure around them is sound."""

    weights: Ints
    start: Ints
    multiplier: Ints
    addend: Ints
    shift: Ints
    ends: Bools


def decode_pairs(data: bytes, pairs: int, *, unpacked: bool) -> Decoded:
    """A pointwise stream: per two channels two biases, ``pairs`` weight words, END with shifts, M0, C0, M1, C1."""
    words = np.frombuffer(data, "<u4").reshape(-1, pairs + 7)
    block = np.ascontiguousarray(words[:, 2 : 2 + pairs])
    if unpacked:
        quads = block.view("i1").reshape(len(block), pairs, 2, 2).astype(np.int64)
        first, second = quads[..., 0], quads[..., 1]
    else:
        halves = block.view("<i2").reshape(len(block), pairs, 2).astype(np.int64)
        first = ((halves + 128) & 255) - 128
        second = (halves - first) >> 8
    start = words[:, :2].astype(np.int64)
    if not unpacked:
        start = np.stack([start[:, 0], start[:, 1] - start[:, 0]], axis=1)
    end, parameters = words[:, 2 + pairs], words[:, 3 + pairs :].view("<i4").astype(np.int64)
    no_end_before = (block.view("<i4") >= -0x7F800000).all(axis=1) & (np.abs(second) <= 127).all(axis=(1, 2))
    sound = no_end_before & (end >> 23 == 0x100)
    return Decoded(
        np.stack([first, second], axis=1).reshape(2 * len(words), 2 * pairs),
        start.reshape(-1),
        parameters[:, 0::2].reshape(-1),
        parameters[:, 1::2].reshape(-1),
        np.stack([end & 0xFF, end >> 8 & 0xFF], axis=1).reshape(-1).astype(np.int64),
        np.repeat(sound, 2),
    )


def decode_depthwise(data: bytes) -> tuple[Ints, Decoded]:
    """(scaled weights [n][9], the rest): 36 bytes a channel, three rows of w0, w1, w1, w2, then M, C, bias."""
    words = np.frombuffer(data, "<u4").reshape(-1, 9)
    rows = np.ascontiguousarray(words[:, :6]).view("<i2").reshape(-1, 3, 4).astype(np.int64)
    tail = np.ascontiguousarray(words[:, 6:]).view("<i4").astype(np.int64)
    weights = np.stack([rows[:, :, 0], rows[:, :, 1], rows[:, :, 3]], axis=2).reshape(-1, 9)
    sound = (rows[:, :, 1] == rows[:, :, 2]).all(axis=1)
    return weights, Decoded(weights, tail[:, 2], tail[:, 0], tail[:, 1], np.zeros(len(words), np.int64), sound)


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
