"""Layouts: how the rows of a tensor stand in the arena. A layout belongs to an edge of the network, not to a target;
an edge is legal where its producer and all its consumers name the same one.

Each layout states the bytes of one row and turns a canonical row, int8 [w][c], into those bytes and back.
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

    def row_bytes(self, shape: Shape) -> int:
        return shape[1] * shape[2]

    def encode(self, row: Int8Array, zero_point: int) -> Int8Array:
        """int8 [w][c] -> int8 [row_bytes]."""
        return row.reshape(-1)

    def decode(self, data: Int8Array, shape: Shape) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]."""
        return data.reshape(shape[1], shape[2])


@dataclass(frozen=True)
class PlanarLines:
    """[c][pad_left + w + pad_right] int8: one line a channel, its padding stored beside it and holding the zero point."""

    pad_left: int
    pad_right: int

    def line_bytes(self, shape: Shape) -> int:
        return self.pad_left + shape[1] + self.pad_right

    def row_bytes(self, shape: Shape) -> int:
        return shape[2] * self.line_bytes(shape)

    def encode(self, row: Int8Array, zero_point: int) -> Int8Array:
        """int8 [w][c] -> int8 [row_bytes]."""
        return np.pad(
            row.T, ((0, 0), (self.pad_left, self.pad_right)), constant_values=zero_point
        ).reshape(-1)

    def decode(self, data: Int8Array, shape: Shape) -> Int8Array:
        """int8 [row_bytes] -> int8 [w][c]; the padding is left out."""
        lines = data.reshape(shape[2], self.line_bytes(shape))
        return lines[:, self.pad_left : self.pad_left + shape[1]].T


Layout: TypeAlias = RowNHWC | PlanarLines
