"""Layouts: how the rows of a tensor stand in the arena. A layout belongs to an edge of the network, not to a target;
an edge is legal where its producer and all its consumers name the same one.

Each layout states how many rows it has, the bytes of one, and how its bytes become a canonical row, int8 [w][c].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Shape

Int8Array: TypeAlias = NDArray[np.int8]
Order: TypeAlias = tuple[int, ...]  # position in a layout -> channel; -1 where none stands


@dataclass(frozen=True)
class RowNHWC:
    """[w][c] int8: the row as canonical NHWC has it; whole tensors are canonical NHWC."""

    def rows(self, shape: Shape) -> int:
        """Rows that stand in the arena, for a tensor of ``shape``."""
        return shape[0]

    def row_bytes(self, shape: Shape) -> int:
        return shape[1] * shape[2]

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """Which row of the tensor a row of the layout is; None where it is padding."""
        return row

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]."""
        return data.reshape(shape[1], shape[2])

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [w][c] -> int8 [row_bytes]."""
        return row.reshape(-1)


@dataclass(frozen=True)
class PlanarLines:
    """[c][pad_left + w + pad_right] int8: one line a channel. The padding around the plane is stored with it, its rows
    above and below too, and holds the zero point, so that a depthwise kernel never asks where it is."""

    pad_top: int
    pad_left: int
    pad_bottom: int
    pad_right: int

    def rows(self, shape: Shape) -> int:
        return self.pad_top + shape[0] + self.pad_bottom

    def line_bytes(self, shape: Shape) -> int:
        return self.pad_left + shape[1] + self.pad_right

    def row_bytes(self, shape: Shape) -> int:
        return shape[2] * self.line_bytes(shape)

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """Which row of the tensor a row of the layout is; None where it is padding."""
        return row - self.pad_top if 0 <= row - self.pad_top < shape[0] else None

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]; the padding is left out."""
        lines = data.reshape(shape[2], self.line_bytes(shape))
        return lines[:, self.pad_left : self.pad_left + shape[1]].T


@dataclass(frozen=True)
class UInt8Lines:
    """uint8 (int8 + 128) lines of the dsp kernels: a word of padding, then a line a channel: words of the pixels p0 p2
    p1 p3, one word more than whole words, which holds the rest of the pixels or padding. Padding is 0. Rows of padding
    above and below are stored too. Channels stand in an order of their own, filled up to an even number.

    A slot of a ring is cleared once and stays clear where no pixel stands, so nothing else may use it in between.
    """

    pad_top: int
    pad_bottom: int

    LEAD = 4  # bytes in front of the first line
    TAIL = 8  # bytes behind the last line that a depthwise body may read

    def rows(self, shape: Shape) -> int:
        return self.pad_top + shape[0] + self.pad_bottom

    def line_bytes(self, shape: Shape) -> int:
        return shape[1] // 4 * 4 + 4

    def row_bytes(self, shape: Shape) -> int:
        return self.LEAD + even(shape[2]) * self.line_bytes(shape) + self.TAIL

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """Which row of the tensor a row of the layout is; None where it is padding."""
        return row - self.pad_top if 0 <= row - self.pad_top < shape[0] else None

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]; position k of the layout holds channel order[k]."""
        lines = data[self.LEAD : -self.TAIL].view(np.uint8).reshape(even(shape[2]), -1, 4)[:, :, [0, 2, 1, 3]]
        pixels = lines.reshape(even(shape[2]), -1)[:, : shape[1]]
        return canonical((pixels ^ 0x80).view(np.int8).T, shape[2], order)

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [w][c] -> int8 [row_bytes]."""
        lines = np.zeros((even(shape[2]), self.line_bytes(shape)), np.uint8)
        lines[:, : shape[1]] = stored(row, order).T.view(np.uint8) ^ 0x80
        words = lines.reshape(even(shape[2]), -1, 4)[:, :, [0, 2, 1, 3]].reshape(-1)
        return np.pad(words, (self.LEAD, self.TAIL)).view(np.int8)


@dataclass(frozen=True)
class Tile16:
    """int16 (int8 + 128) tiles of the dsp kernels: [four pixels][pair of channels][4][2], 16 bytes a pair.

    Bodies read pairs in turns of four: behind the last tile is room for what is missing to a turn.
    """

    def rows(self, shape: Shape) -> int:
        return shape[0]

    def tile_bytes(self, shape: Shape) -> int:
        return even(shape[2]) * 8

    def row_bytes(self, shape: Shape) -> int:
        missing = -(even(shape[2]) // 2) % 4
        return -(-shape[1] // 4) * self.tile_bytes(shape) + 16 * missing

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """Which row of the tensor a row of the layout is."""
        return row

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]; position k of the layout holds channel order[k]."""
        tiles = data[: -(-shape[1] // 4) * self.tile_bytes(shape)].view(np.int16).reshape(-1, even(shape[2]) // 2, 4, 2)
        pixels = tiles.transpose(0, 2, 1, 3).reshape(-1, even(shape[2]))[: shape[1]]
        return canonical((pixels - 128).astype(np.int8), shape[2], order)

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [w][c] -> int8 [row_bytes]; what fills up the last four pixels is 0."""
        pixels = np.zeros((-(-shape[1] // 4) * 4, even(shape[2])), np.int16)
        pixels[: shape[1]] = stored(row, order).astype(np.int16) + 128
        tiles = pixels.reshape(-1, 4, even(shape[2]) // 2, 2).transpose(0, 2, 1, 3)
        flat = np.ascontiguousarray(tiles).reshape(-1).view(np.int8)
        return np.pad(flat, (0, self.row_bytes(shape) - len(flat)))


@dataclass(frozen=True)
class Sums:
    """int32 pool sums of a plane's uint8 (int8 + 128) values, a channel each in an order of their own. They stand for a
    tensor of which nobody ever sees a row."""

    def rows(self, shape: Shape) -> int:
        return 1

    def row_bytes(self, shape: Shape) -> int:
        return 4 * even(shape[2])

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        return None

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """There is no row to see."""
        raise TypeError("sums are not rows")

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [w][c] -> what the row adds, int32 [position] as int8 [row_bytes]."""
        return (stored(row, order).astype(np.int32) + 128).sum(axis=0, dtype=np.int32).view(np.int8)


@dataclass(frozen=True)
class Vector:
    """int8 [position] of a (1, 1, c) tensor whose channels stand in an order of their own."""

    def rows(self, shape: Shape) -> int:
        return 1

    def row_bytes(self, shape: Shape) -> int:
        return even(shape[2])

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """The only row."""
        return row

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [1][c]."""
        return canonical(data.reshape(1, -1), shape[2], order)

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [1][c] -> int8 [row_bytes]."""
        return stored(row, order).reshape(-1)


def even(channels: int) -> int:
    """Channels filled up to pairs."""
    return channels + channels % 2


def canonical(pixels: Int8Array, channels: int, order: Order | None) -> Int8Array:
    """int8 [w][position] -> int8 [w][channels]."""
    result = np.zeros((len(pixels), channels), np.int8)
    for position, channel in enumerate(order if order is not None else range(channels)):
        if channel >= 0:
            result[:, channel] = pixels[:, position]
    return result


def stored(row: Int8Array, order: Order | None) -> Int8Array:
    """int8 [w][channels] -> int8 [w][position]; a position that no channel has holds -128, the zero of ReLU."""
    filled = np.concatenate([row, np.full((len(row), 1), -128, np.int8)], axis=1)
    if order is None:
        return filled if row.shape[1] % 2 else row
    return filled[:, [channel if channel >= 0 else row.shape[1] for channel in order]]


Layout: TypeAlias = RowNHWC | PlanarLines | UInt8Lines | Tile16 | Sums | Vector
