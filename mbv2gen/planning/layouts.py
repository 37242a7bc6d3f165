# SPDX-License-Identifier: Apache-2.0
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
from mbv2gen.planning.channel_order import ChannelGroups, Int8Array, Order, canonical, even, stored
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4


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
        """int8 [row_bytes] -> int8 [w][c]; of a column its pixels."""
        return data.reshape(-1, shape[2])

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

    Bodies read pairs in turns of four: behind the last tile is room for what is missing to a turn. Where units are
    columns, a row of this layout is one tile, and a row of the tensor ``columns`` of them.
    """

    columns: int = 1

    def rows(self, shape: Shape) -> int:
        return shape[0] * self.columns

    def tile_bytes(self, shape: Shape) -> int:
        return even(shape[2]) * 8

    def row_bytes(self, shape: Shape) -> int:
        missing = -(even(shape[2]) // 2) % 4
        return -(-self.width(shape) // 4) * self.tile_bytes(shape) + 16 * missing

    def width(self, shape: Shape) -> int:
        """Pixels in a row of this layout."""
        return shape[1] // self.columns

    def canonical_row(self, row: int, shape: Shape) -> int | None:
        """Which row of the tensor a row of the layout is."""
        return row

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [width][c]; position k of the layout holds channel order[k]."""
        width, channels = self.width(shape), even(shape[2])
        tiles = data[: -(-width // 4) * self.tile_bytes(shape)].view(np.int16).reshape(-1, channels // 2, 4, 2)
        pixels = tiles.transpose(0, 2, 1, 3).reshape(-1, channels)[:width]
        return canonical((pixels - 128).astype(np.int8), shape[2], order)

    def encode(self, row: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [width][c] -> int8 [row_bytes]; what fills up the last four pixels is 0."""
        width = self.width(shape)
        pixels = np.zeros((-(-width // 4) * 4, even(shape[2])), np.int16)
        pixels[:width] = stored(row, order).astype(np.int16) + 128
        tiles = pixels.reshape(-1, 4, even(shape[2]) // 2, 2).transpose(0, 2, 1, 3)
        flat = np.ascontiguousarray(tiles).reshape(-1).view(np.int8)
        return np.pad(flat, (0, self.row_bytes(shape) - len(flat)))


@dataclass(frozen=True)
class Planes:
    """uint8 (int8 + 128) planes of 6x6 or 3x3 pixels, one a channel: pixels in linear order, in words p0 p2 p1 p3; 6x6
    with 8 zero bytes in front of the first and behind each. The planes of a group of channels are one row of this
    layout."""

    groups: int = 1

    def rows(self, shape: Shape) -> int:
        return self.groups

    def channels(self, shape: Shape) -> ChannelGroups:
        return ChannelGroups(shape[2], self.groups)

    def lead(self, shape: Shape) -> int:
        """Bytes in front of the first plane."""
        return 8 if shape[0] == 6 else 0

    def plane_bytes(self, shape: Shape) -> int:
        return 44 if shape[0] == 6 else 12

    def row_bytes(self, shape: Shape) -> int:
        return self.lead(shape) + self.channels(shape).size * self.plane_bytes(shape)

    def band(self, shape: Shape) -> int:
        """Rows of the tensor in one of the layout."""
        return shape[0]

    def decode_band(self, data: Int8Array, shape: Shape, order: Order) -> Int8Array:
        """int8 [row_bytes] -> int8 [h][w][c] of a group's channels, which are ``order``; others are 0."""
        h, w, c = shape
        end = self.lead(shape) + len(order) * self.plane_bytes(shape)
        words = data[self.lead(shape) : end].view(np.uint8).reshape(len(order), -1, 4)[:, :, [0, 2, 1, 3]]
        pixels = words.reshape(len(order), -1)[:, : h * w]
        return canonical((pixels ^ 0x80).view(np.int8).T, c, order).reshape(h, w, c)

    def encode_band(self, rows: Int8Array, shape: Shape, order: Order) -> Int8Array:
        """int8 [h][w][c] -> int8 [row_bytes] of a group's channels, which are ``order``."""
        h, w, c = shape
        planes = np.zeros((self.channels(shape).size, self.plane_bytes(shape)), np.uint8)
        planes[: len(order), : h * w] = stored(rows.reshape(h * w, c), order).T.view(np.uint8) ^ 0x80
        words = planes.reshape(len(planes), -1, 4)[:, :, [0, 2, 1, 3]].reshape(-1)
        return np.pad(words, (self.lead(shape), 0)).view(np.int8)


@dataclass(frozen=True)
class PlaneTiles:
    """Tiles as Tile16, but pixels in linear order over two rows of a 6x6 plane, or over a whole 3x3 plane; of one group
    of channels after the other."""

    groups: int = 1

    def rows(self, shape: Shape) -> int:
        return self.groups * self.bands(shape)

    def channels(self, shape: Shape) -> ChannelGroups:
        return ChannelGroups(shape[2], self.groups)

    def bands(self, shape: Shape) -> int:
        """Rows of this layout that a plane is."""
        return shape[0] // self.band(shape)

    def band(self, shape: Shape) -> int:
        """Rows of the tensor in one of the layout."""
        return 2 if shape[0] == 6 else 3

    def row_bytes(self, shape: Shape) -> int:
        return Tile16().row_bytes(self._flat(shape, self.channels(shape).size))

    def decode_band(self, data: Int8Array, shape: Shape, order: Order) -> Int8Array:
        """int8 [row_bytes] -> int8 [band][w][c] of a group's channels, which are ``order``; others are 0."""
        positions = Tile16().decode(data, self._flat(shape, len(order)))
        return canonical(positions, shape[2], order).reshape(self.band(shape), shape[1], shape[2])

    def encode_band(self, rows: Int8Array, shape: Shape, order: Order) -> Int8Array:
        """int8 [band][w][c] -> int8 [row_bytes] of a group's channels, which are ``order``."""
        flat = Tile16().encode(stored(rows.reshape(-1, shape[2]), order), self._flat(shape, len(order)))
        return np.pad(flat, (0, self.row_bytes(shape) - len(flat)))

    def _flat(self, shape: Shape, positions: int) -> Shape:
        return 1, self.band(shape) * shape[1], positions


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
        sums: NDArray[np.int32] = (stored(row, order).astype(np.int32) + 128).sum(axis=0, dtype=np.int32)
        return sums.view(np.int8)


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


CodedRows: TypeAlias = RowNHWC | UInt8Lines | Tile16 | Sums | Vector  # rows that encode and decode one by one
Layout: TypeAlias = CodedRows | RingColumns4 | WindowColumns4 | PlanarLines | Planes | PlaneTiles
