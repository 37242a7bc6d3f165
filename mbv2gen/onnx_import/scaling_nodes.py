"""QuantizeLinear and DequantizeLinear of computed values: roundings to a grid, as the file has it.

A value of an integer type is a view with a grid: its tensor holds the real numbers that the integers stand for.
uint8 becomes int8 exactly, q - 128 on the zero point - 128.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbv2gen.graph import Node
from mbv2gen.network import Grid
from mbv2gen.onnx_import.draft import Rounding
from mbv2gen.onnx_import.scaling import scaling_of
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    computed_view,
    emit,
    emit_affine,
    fresh_tensor,
    passed_view,
    refuse,
)


def quantize_linear(t: Translation, node: Node) -> View:
    """QuantizeLinear to int8 or uint8 with one scale for all elements; behind softmax or sigmoid it is left out."""
    grid = _grid(t, node)
    view = passed_view(t, node)
    if view.tail != "none":
        return replace(view, grid=grid)
    view = computed_view(t, node)
    rounding = Rounding(node.name, (view.tensor,), (node.outputs[0],), grid)
    return replace(view, tensor=emit(t, rounding, t.shapes[view.tensor]), grid=grid)


def dequantize_linear(t: Translation, node: Node) -> View:
    """DequantizeLinear with the very scale and zero point of the QuantizeLinear before it; or of a uint8 input."""
    grid = _grid(t, node)
    view = passed_view(t, node)
    if view.grid == grid:
        return replace(view, grid=None)
    if view.grid is not None:
        given, wanted = (f"scale {one.scale:g}, zero point {one.zero_point}" for one in (view.grid, grid))
        refuse(t, node, f"DequantizeLinear: its input was quantized otherwise (as int8: {given}; here {wanted})")
    channels = t.shapes[view.tensor][2]
    scale = np.full(channels, grid.scale, np.float64)
    pixels = emit_affine(t, node, view, (scale, -scale * (grid.zero_point + 128)), fresh_tensor(t, "pixels"))
    rounding = Rounding(node.name, (pixels.tensor,), (node.outputs[0],), grid)
    return replace(view, tensor=emit(t, rounding, t.shapes[view.tensor]))


def _grid(t: Translation, node: Node) -> Grid:
    """The node's scale and zero point, those of uint8 moved to int8."""
    try:
        scaling = scaling_of(node, t.graph.constants, t.graph.values[node.inputs[0]].dtype)
    except ValueError as error:
        refuse(t, node, f"{node.op}: {error}")
    if scaling.dtype not in ("int8", "uint8"):
        refuse(t, node, f"{node.op}: activations in {scaling.dtype} are not supported, only in int8 and uint8")
    if len(set(scaling.scale.tolist())) > 1 or len(set(scaling.zero_point.tolist())) > 1:
        refuse(t, node, f"{node.op}: activations with a scale a channel are not supported, only with one for all")
    zero_point = int(scaling.zero_point[0]) - (128 if scaling.dtype == "uint8" else 0)
    return Grid(float(scaling.scale[0]), zero_point)
