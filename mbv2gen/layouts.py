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

    def decode(self, data: Int8Array, shape: Shape) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]."""
        return data.reshape(shape[1], shape[2])


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

    def decode(self, data: Int8Array, shape: Shape) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]; the padding is left out."""
        lines = data.reshape(shape[2], self.line_bytes(shape))
        return lines[:, self.pad_left : self.pad_left + shape[1]].T


Layout: TypeAlias = RowNHWC | PlanarLines
