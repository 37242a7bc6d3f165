# SPDX-License-Identifier: Apache-2.0
"""Ring columns: the layouts of expanded lines where units are columns of four pixels instead of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mbv2gen.network import Shape
from mbv2gen.planning.channel_order import Int8Array, Order, canonical, even, stored


@dataclass(frozen=True)
class RingColumns4:
    """uint8 (int8 + 128) columns of four pixels: [channel][word p0 p2 p1 p3]. A row of this layout is one column; the
    padding stands nowhere.

    A unit makes the columns of ``rows_a_group`` rows, as many as the depthwise behind it strides. The last row of a
    group, which the next output row reads again, stands in the tensor's own ring, the one above it in the *passing*
    ring, which holds the few columns of one window only. ``above``: rows of the first group above the plane.
    """

    rows_a_group: int
    above: int

    @property
    def rows_a_unit(self) -> int:
        """Rows of which a unit makes columns."""
        return self.rows_a_group

    @property
    def step(self) -> int:
        """Rows from a group to the next."""
        return self.rows_a_group

    def columns(self, shape: Shape) -> int:
        return shape[1] // 4

    def group(self, row: int) -> int:
        """The group that a row of the tensor belongs to."""
        return (row + self.above) // self.rows_a_group

    def is_kept(self, row: int) -> bool:
        """Whether a row of the tensor stands in its own ring, not in the passing one."""
        return (row + self.above + 1) % self.rows_a_group == 0

    def groups(self, shape: Shape) -> int:
        return -(-(shape[0] + self.above) // self.rows_a_group)

    def rows(self, shape: Shape) -> int:
        """Columns in one of the rings, from the first to the last of the tensor."""
        return self.groups(shape) * self.columns(shape)

    def row_bytes(self, shape: Shape) -> int:
        return 4 * even(shape[2])

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [row_bytes] -> int8 [4][c]; position k of the layout holds channel order[k]."""
        return _decoded(data, shape, order)

    def encode(self, pixels: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [4][c] -> int8 [row_bytes]."""
        return _encoded(pixels, order)


WINDOW_ROWS = 3  # of a depthwise kernel's windows


@dataclass(frozen=True)
class WindowColumns4:
    """Columns as RingColumns4 has them, but all rows of a window at once: [row of the window][channel][word]. A row of
    this layout is a column of a row of windows, and nothing of it serves another row of windows: what these have in
    common is made again for each. Parts outside the plane are not written.

    ``windows``: rows of windows, ``step`` rows from one to the next; ``above``: rows of the first above the plane.
    """

    windows: int
    step: int
    above: int

    rows_a_unit = WINDOW_ROWS

    def columns(self, shape: Shape) -> int:
        return shape[1] // 4

    def rows(self, shape: Shape) -> int:
        """Columns of all rows of windows."""
        return self.windows * self.columns(shape)

    def row_bytes(self, shape: Shape) -> int:
        return WINDOW_ROWS * self.part_bytes(shape)

    def part_bytes(self, shape: Shape) -> int:
        """Of a column of one row."""
        return 4 * even(shape[2])

    def rows_made(self, shape: Shape) -> int:
        """Rows of the tensor that are made, each as often as it is."""
        return sum(len(self.rows_of(window, shape)) for window in range(self.windows))

    def rows_of(self, window: int, shape: Shape) -> range:
        """The rows of the tensor that a row of windows reads."""
        first = window * self.step - self.above
        return range(max(0, first), min(shape[0], first + WINDOW_ROWS))

    def part(self, data: Int8Array, window: int, row: int) -> Int8Array:
        """Of the bytes of a column those of a row of the tensor."""
        part: Int8Array = data.reshape(WINDOW_ROWS, -1)[row - window * self.step + self.above]
        return part

    def decode(self, data: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [part_bytes] -> int8 [4][c]; position k of the layout holds channel order[k]."""
        return _decoded(data, shape, order)

    def encode(self, pixels: Int8Array, shape: Shape, order: Order | None = None) -> Int8Array:
        """int8 [4][c] -> int8 [part_bytes]."""
        return _encoded(pixels, order)


def _decoded(data: Int8Array, shape: Shape, order: Order | None) -> Int8Array:
    pixels = data.view(np.uint8).reshape(even(shape[2]), 4)[:, [0, 2, 1, 3]]
    return canonical((pixels ^ 0x80).view(np.int8).T, shape[2], order)


def _encoded(pixels: Int8Array, order: Order | None) -> Int8Array:
    words = (stored(pixels, order).T.view(np.uint8) ^ 0x80)[:, [0, 2, 1, 3]]
    return np.ascontiguousarray(words).reshape(-1).view(np.int8)
