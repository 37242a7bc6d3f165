# SPDX-License-Identifier: Apache-2.0
"""Bilinear: a picture in another size, each value between the four pixels around it; the twin of mbv2_pixels.c.

Middles of pixels lie on middles (TensorFlow's half_pixel_centers, torch's align_corners=False) and nothing is averaged
where the picture shrinks, unlike Pillow's filter of that name.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

UInt8Array: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]


def resize(picture: UInt8Array, target: tuple[int, int]) -> UInt8Array:
    """uint8 [H][W][c] as [h][w][c]: (sum of four pixels times weights, of 4 * h * w in all, + 2 * h * w) / (4 * h * w),
    rounded down."""
    h, w = target
    sums = np.full((h, w, picture.shape[2]), 2 * h * w, np.int64)
    for rows, row_weights in _around(picture.shape[0], h):
        for columns, column_weights in _around(picture.shape[1], w):
            weights = row_weights[:, np.newaxis] * column_weights
            sums += weights[:, :, np.newaxis] * picture[rows[:, np.newaxis], columns]
    values: UInt8Array = (sums // (4 * h * w)).astype(np.uint8)
    return values


def _around(source: int, target: int) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """For each of ``target`` places the pixels before and after its middle, and their weights, 2 * target together.

    Place y has its middle at ((2 y + 1) * source - target) / (2 * target), pixel i at i; beyond the edges stand the
    pixels at the edges."""
    middles = (2 * np.arange(target, dtype=np.int64) + 1) * source - target
    before, behind = np.divmod(middles, 2 * target)
    first, second = (np.clip(pixels, 0, source - 1) for pixels in (before, before + 1))
    return (first, 2 * target - behind), (second, behind)
