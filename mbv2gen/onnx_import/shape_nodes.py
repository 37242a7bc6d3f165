"""Nodes that move or merge elements: paddings, transpositions, reshapes, means over the plane; and idle ones."""

from __future__ import annotations

from dataclasses import replace

from mbv2gen.graph import Node
from mbv2gen.network import Mean
from mbv2gen.onnx_import.draft import Padding
from mbv2gen.onnx_import.layout import NCHW, Layout, axes_of, essential, regrouped, same, sizes_of
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    computed_view,
    constant_at,
    emit,
    integers,
    output_shape,
    passed_view,
    refuse,
)
from mbv2gen.onnx_import.windows import window_of


def identity(t: Translation, node: Node) -> View:
    """Identity, Dropout outside training, Cast to a float type, Expand to the same shape."""
    view = passed_view(t, node)
    if node.op == "Dropout":
        training = constant_at(t, node, 2)
        if len(node.inputs) > 2 and node.inputs[2] and (training is None or training.any()):
            refuse(t, node, "Dropout in training mode is not supported: export the model in evaluation mode")
    before, after = t.graph.values[node.inputs[0]], t.graph.values[node.outputs[0]]
    if after.dtype not in ("float32", before.dtype):
        refuse(t, node, f"{node.op} from {before.dtype} to {after.dtype} is not supported, only to a float type")
    if view.grid is not None and after.dtype != before.dtype:
        refuse(t, node, f"{node.op} of quantized integers is not supported: put DequantizeLinear before it")
    if before.shape != after.shape:
        return reshape(t, node)
    return view


def reshape(t: Translation, node: Node) -> View:
    """Reshape, Flatten, Squeeze, Unsqueeze: the elements keep their order, so only the layout changes."""
    view = passed_view(t, node)
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
    """Transpose: the layout's axes change places, the tensor does not."""
    view = passed_view(t, node)
    order = node.attributes.get("perm", range(len(view.layout))[::-1])
    return replace(view, layout=tuple(view.layout[axis] for axis in order))


def pad(t: Translation, node: Node) -> View:
    """Pad with zeros of height and width. Pads are ONNX's [begin of each axis..., end of each axis...]."""
    view = passed_view(t, node)
    if view.tail != "none" or view.reduced:
        view = computed_view(t, node)
    mode = node.attributes.get("mode", "constant")
    filler = constant_at(t, node, 2)
    value = float(filler.flat[0]) if filler is not None and filler.size else node.attributes.get("value", 0.0)
    if view.grid is not None:  # the integer that stands for 0 is the zero point
        value -= view.grid.zero_point + (128 if t.graph.values[node.inputs[0]].dtype == "uint8" else 0)
    pads, rank = integers(t, node, "pads", 1), len(view.layout)
    axes = [axis % rank for axis in integers(t, node, "axes", 3) or range(rank)]
    if pads is None or len(pads) != 2 * len(axes):
        refuse(t, node, "Pad: its pads do not fit the input's axes")
    if not any(pads):
        return view
    if mode != "constant" or value != 0.0:
        how = mode if mode != "constant" else f"the value {value}"
        refuse(t, node, f"Pad: padding with {how} is not supported, only with zeros")
    if min(pads) < 0:
        refuse(t, node, f"Pad: negative pads {pads} (cropping) are not supported")
    sides = {"h": (0, 0), "w": (0, 0)}
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        if begin or end:
            if view.layout[axis] not in (("h",), ("w",)):
                refuse(t, node, f"Pad: axis {axis} is padded, but only height and width may be")
            sides[view.layout[axis][0]] = (begin, end)
    (top, bottom), (left, right) = sides["h"], sides["w"]
    h, w, c = t.shapes[view.tensor]
    padding = Padding(node.name, (view.tensor,), (node.outputs[0],), top, left, bottom, right)
    return replace(view, tensor=emit(t, padding, (h + top + bottom, w + left + right, c)))


def global_average_pool(t: Translation, node: Node) -> View:
    """GlobalAveragePool of an NCHW value."""
    view = computed_view(t, node)
    if not same(view.layout, NCHW, t.shapes[view.tensor]):
        refuse(t, node, f"{node.op}: its input does not have the axes (batch, channels, height, width)")
    return _mean(t, node, view, (2, 3), keep=True)


def average_pool(t: Translation, node: Node) -> View:
    """AveragePool over the whole plane."""
    view = computed_view(t, node)
    h, w, _ = t.shapes[view.tensor]
    kernel = tuple(int(item) for item in node.attributes["kernel_shape"])
    if len(kernel) != 2:
        refuse(t, node, f"AveragePool: kernel {list(kernel)} is not two-dimensional")
    window = window_of(t, node, (kernel[0], kernel[1]), (h, w))
    if kernel != (h, w) or (window.pad_top, window.pad_left, window.pad_bottom, window.pad_right) != (0, 0, 0, 0):
        refuse(t, node, f"AveragePool: kernel {list(kernel)} must be the whole plane [{h}, {w}] without padding")
    return global_average_pool(t, node)


def reduce_mean(t: Translation, node: Node) -> View:
    """ReduceMean over height and width, in one node or two."""
    view = passed_view(t, node)
    if view.tail != "none" or not view.reduced:
        view = computed_view(t, node)
    rank = len(view.layout)
    given = integers(t, node, "axes", 1)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        return view
    axes = tuple(sorted(axis % rank for axis in given or range(rank)))
    return _mean(t, node, view, axes, keep=bool(node.attributes.get("keepdims", 1)))


def _mean(t: Translation, node: Node, view: View, axes: tuple[int, ...], keep: bool) -> View:
    shape = t.shapes[view.tensor]
    reduced = view.reduced | set(axes_of(view.layout, shape, axes))
    if "c" in reduced:
        refuse(t, node, f"{node.op} over the channels is not supported, only over height and width")
    layout: Layout = tuple(
        () if index in axes else entry for index, entry in enumerate(view.layout) if keep or index not in axes
    )
    if reduced != {axis for axis, size in sizes_of(shape).items() if size > 1 and axis != "c"}:
        return replace(view, layout=layout, reduced=frozenset(reduced))
    layout = essential(layout, shape)
    if not reduced:
        return replace(view, layout=layout)
    return View(emit(t, Mean(node.name, (view.tensor,), (node.outputs[0],)), (1, 1, shape[2])), layout)
