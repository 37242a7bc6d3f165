# SPDX-License-Identifier: Apache-2.0
"""Layouts: where the values of a row stand, against loops over single bytes."""

from __future__ import annotations

import numpy as np
import pytest

from mbv2gen.planning.layouts import PlanarLines, RowNHWC

SHAPES = [(1, 1, 1), (4, 5, 3), (2, 7, 1), (3, 1, 6)]
LINES = PlanarLines(pad_top=1, pad_left=2, pad_bottom=3, pad_right=4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_nhwc_is_pixel_by_pixel_channel_by_channel(shape: tuple[int, int, int]) -> None:
    h, w, c = shape
    layout = RowNHWC()
    assert (layout.rows(shape), layout.row_bytes(shape)) == (h, w * c)
    data = np.arange(w * c).astype(np.int8)
    decoded = layout.decode(data, shape)
    assert all(decoded[x, k] == data[x * c + k] for x in range(w) for k in range(c))
    assert [layout.canonical_row(row, shape) for row in range(h)] == list(range(h))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_planar_row_is_one_padded_line_a_channel(shape: tuple[int, int, int]) -> None:
    h, w, c = shape
    line = 2 + w + 4
    assert (LINES.rows(shape), LINES.row_bytes(shape), LINES.line_bytes(shape)) == (1 + h + 3, line * c, line)
    data = np.arange(line * c).astype(np.int8)
    decoded = LINES.decode(data, shape)
    assert decoded.shape == (w, c)
    assert all(decoded[x, k] == data[k * line + 2 + x] for x in range(w) for k in range(c))


@pytest.mark.parametrize("shape", SHAPES)
def test_planar_rows_above_and_below_the_plane_are_padding(shape: tuple[int, int, int]) -> None:
    rows = [LINES.canonical_row(row, shape) for row in range(LINES.rows(shape))]
    assert rows == [None, *range(shape[0]), None, None, None]


def test_layouts_are_equal_where_their_padding_is() -> None:
    assert PlanarLines(1, 1, 1, 1) == PlanarLines(1, 1, 1, 1)
    assert PlanarLines(1, 1, 1, 1) != PlanarLines(0, 1, 1, 1)
    assert PlanarLines(0, 0, 0, 0) != RowNHWC()
