# SPDX-License-Identifier: Apache-2.0
"""Area: a picture in another size, each value the mean of what it covers; in integers, the twin of mbv2_pixels.c."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

UInt8Array: TypeAlias = NDArray[np.uint8]
Part: TypeAlias = tuple[int, int, int, int]  # top, left, h, w


def centre(size: tuple[int, int], target: tuple[int, int]) -> Part:
    """The largest part in the middle of a picture of ``size`` (h, w) with the proportions of ``target``."""
    (source_h, source_w), (h, w) = size, target
    part_h, part_w = source_h, source_w
    if source_w * h > source_h * w:
        part_w = max(1, source_h * w // h)
    else:
        part_h = max(1, source_w * h // w)
    return (source_h - part_h) // 2, (source_w - part_w) // 2, part_h, part_w


def resize(picture: UInt8Array, target: tuple[int, int]) -> UInt8Array:
    """uint8 [H][W][c] as [h][w][c]: (sum of pixels times overlaps + H * W / 2) / (H * W), rounded down.

    Float64 holds all of these integers exactly: they stay below 256 * H * W."""
    (source_h, source_w, c), (h, w) = picture.shape, target
    rows = _overlaps(source_h, h) @ picture.reshape(source_h, -1).astype(np.float64)
    columns = rows.reshape(h, source_w, c).transpose(0, 2, 1) @ _overlaps(source_w, w).T
    sums: NDArray[np.int64] = columns.transpose(0, 2, 1).astype(np.int64)
    area = source_h * source_w
    means: UInt8Array = ((sums + area // 2) // area).astype(np.uint8)
    return means


def _overlaps(source: int, target: int) -> NDArray[np.float64]:
    """[target][source]: how much of [i * target, (i + 1) * target) lies in [y * source, (y + 1) * source)."""
    pixels, places = np.arange(source) * target, np.arange(target)[:, np.newaxis] * source
    common = np.minimum(pixels + target, places + source) - np.maximum(pixels, places)
    overlaps: NDArray[np.float64] = np.maximum(common, 0).astype(np.float64)
    return overlaps
