# SPDX-License-Identifier: Apache-2.0
"""How an ONNX array arises from a canonical (h, w, c) tensor: the front end's whole knowledge of NCHW and NHWC.

A layout has one entry an ONNX axis: the canonical axes ('h', 'w', 'c') that this axis runs through, slowest first.
NCHW is ((), ('c',), ('h',), ('w',)), its Flatten ((), ('c', 'h', 'w')), an NHWC plane as a matrix (('h', 'w'), ('c',)).
An axis of size 1 may stand anywhere or nowhere, so comparisons leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Shape

Layout: TypeAlias = tuple[tuple[str, ...], ...]

NCHW: Layout = ((), ("c",), ("h",), ("w",))
NHWC: Layout = ((), ("h",), ("w",), ("c",))


def sizes_of(shape: Shape) -> dict[str, int]:
    """Size of each canonical axis."""
    return dict(zip("hwc", shape, strict=True))


def essential(layout: Layout, shape: Shape) -> Layout:
    """The layout without axes of size 1."""
    sizes = sizes_of(shape)
    return tuple(tuple(axis for axis in axes if sizes[axis] > 1) for axes in layout)


def same(first: Layout, second: Layout, shape: Shape) -> bool:
    """Whether both layouts order the elements of ``shape`` alike, axis by axis."""
    return essential(first, shape) == essential(second, shape)


def axes_of(layout: Layout, shape: Shape, onnx_axes: Iterable[int]) -> tuple[str, ...]:
    """The canonical axes larger than 1 that the given ONNX axes hold, in their order."""
    kept = essential(layout, shape)
    return tuple(axis for index in onnx_axes for axis in kept[index])


def regrouped(layout: Layout, shape: Shape, target: tuple[int, ...]) -> Layout | None:
    """The layout after a reshape to ``target``; None where it cuts a canonical axis in two."""
    sizes = sizes_of(shape)
    rest = [axis for axes in essential(layout, shape) for axis in axes]
    result: list[tuple[str, ...]] = []
    for size in target:
        axes: list[str] = []
        while rest and prod(sizes[axis] for axis in axes) < size:
            axes.append(rest.pop(0))
        if prod(sizes[axis] for axis in axes) != size:
            return None
        result.append(tuple(axes))
    return None if rest else tuple(result)


def to_canonical(array: NDArray[np.generic], layout: Layout, shape: Shape) -> NDArray[np.generic] | None:
    """``array``, broadcast by ONNX's rules to the ONNX array of ``layout``, as [h][w][c] (1 for an axis not held).

    None where it does not broadcast to that array.
    """
    sizes = sizes_of(shape)
    order = [axis for axes in layout for axis in axes]
    onnx_shape = tuple(prod(sizes[axis] for axis in axes) for axes in layout)
    if array.ndim > len(onnx_shape):
        extra = array.ndim - len(onnx_shape)
        if any(size != 1 for size in array.shape[:extra]):
            return None
        array = array.reshape(array.shape[extra:])
    if any(have not in (1, want) for have, want in zip(reversed(array.shape), reversed(onnx_shape), strict=False)):
        return None
    whole = np.broadcast_to(array, onnx_shape).reshape([sizes[axis] for axis in order])
    present = [axis for axis in "hwc" if axis in order]
    whole = whole.transpose([order.index(axis) for axis in present])
    return whole.reshape([sizes[axis] if axis in order else 1 for axis in "hwc"])


def channel_vector(array: NDArray[np.generic], layout: Layout, shape: Shape) -> NDArray[np.float64] | None:
    """``array`` as one value a channel, float64 [c]; None where it differs within a channel or does not broadcast."""
    channels = shape[2]
    if array.size == 1 and array.ndim <= len(layout):
        return np.full(channels, array.reshape(()), np.float64)
    whole = to_canonical(array, layout, shape)
    if whole is None or not bool((whole == whole[:1, :1]).all()):
        return None
    return np.broadcast_to(whole[0, 0].astype(np.float64), (channels,)).copy()
