# SPDX-License-Identifier: Apache-2.0
"""Nodes that move or merge elements: paddings, transpositions, reshapes, means over the plane; and idle ones."""

from __future__ import annotations

from dataclasses import replace

from mbv2gen.graph import Node
from mbv2gen.network import Mean
from mbv2gen.onnx_import.draft import Padding
from mbv2gen.onnx_import.layout import Layout, axes_of, essential, regrouped, sizes_of
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    emit,
    integers,
    output_shape,
    refuse,
    view_at,
)


def identity(t: Translation, node: Node) -> View:
    """Nothing: elements stay as they are, and in their order."""
    view = view_at(t, node)
    before, after = t.graph.values[node.inputs[0]], t.graph.values[node.outputs[0]]
    return view if before.shape == after.shape else reshape(t, node)


def reshape(t: Translation, node: Node) -> View:
    """The elements keep their order, so only the layout changes; no axis of the plane may be cut in two."""
    view = view_at(t, node)
    if t.graph.values[node.inputs[0]].shape == output_shape(t, node):
        return view
    shape = t.shapes[view.tensor]
    h, w, c = (1 if axis in view.reduced else size for axis, size in sizes_of(shape).items())
    layout = regrouped(view.layout, (h, w, c), output_shape(t, node))
    if layout is None:
        target = list(output_shape(t, node))
        refuse(t, node, f"{node.op} to {target} cuts the height, width or channels of its input in two")
    return replace(view, layout=layout)


def transpose(t: Translation, node: Node) -> View:
    """The layout's axes change places, the tensor does not."""
    view = view_at(t, node)
    order = node.attributes.get("perm", range(len(view.layout))[::-1])
    return replace(view, layout=tuple(view.layout[axis] for axis in order))


def pad(t: Translation, node: Node) -> View:
    """Padding of height and width with zeros; ``pads`` are ONNX's [begin of each axis..., end of each axis...]."""
    view = view_at(t, node)
    pads, rank = integers(t, node, "pads", 1) or [], len(view.layout)
    if not any(pads):
        return view
    axes = [axis % rank for axis in integers(t, node, "axes", 3) or range(rank)]
    sides = {"h": (0, 0), "w": (0, 0)}
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        if begin or end:
            sides[view.layout[axis][0]] = (begin, end)
    (top, bottom), (left, right) = sides["h"], sides["w"]
    h, w, c = t.shapes[view.tensor]
    padding = Padding(node.name, (view.tensor,), (node.outputs[0],), top, left, bottom, right)
    return replace(view, tensor=emit(t, padding, (h + top + bottom, w + left + right, c)))


def global_average_pool(t: Translation, node: Node) -> View:
    """The mean over height and width."""
    return _mean(t, node, view_at(t, node), (2, 3), keep=True)


def average_pool(t: Translation, node: Node) -> View:
    """The mean over height and width."""
    return global_average_pool(t, node)


def reduce_mean(t: Translation, node: Node) -> View:
    """The mean over height and width, in one node or two."""
    view = view_at(t, node)
    rank = len(view.layout)
    given = integers(t, node, "axes", 1)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        return view
    axes = tuple(sorted(axis % rank for axis in given or range(rank)))
    return _mean(t, node, view, axes, keep=bool(node.attributes.get("keepdims", 1)))


def _mean(t: Translation, node: Node, view: View, axes: tuple[int, ...], keep: bool) -> View:
    shape = t.shapes[view.tensor]
    reduced = view.reduced | set(axes_of(view.layout, shape, axes))
    layout: Layout = tuple(
        () if index in axes else entry for index, entry in enumerate(view.layout) if keep or index not in axes
    )
    if reduced != {axis for axis, size in sizes_of(shape).items() if size > 1 and axis != "c"}:
        return replace(view, layout=layout, reduced=frozenset(reduced))
    layout = essential(layout, shape)
    if not reduced:
        return replace(view, layout=layout)
    return View(emit(t, Mean(node.name, (view.tensor,), (node.outputs[0],)), (1, 1, shape[2])), layout)
