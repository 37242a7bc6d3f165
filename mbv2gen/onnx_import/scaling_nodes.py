# SPDX-License-Identifier: Apache-2.0
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
    emit,
    emit_affine,
    fresh_tensor,
    view_at,
)


def quantize_linear(t: Translation, node: Node) -> View:
    """A rounding of activations to their grid; behind softmax or sigmoid it is left out."""
    grid = grid_of(t, node)
    view = view_at(t, node)
    if view.tail != "none":
        return replace(view, grid=grid)
    rounding = Rounding(node.name, (view.tensor,), (node.outputs[0],), grid)
    return replace(view, tensor=emit(t, rounding, t.shapes[view.tensor]), grid=grid)


def dequantize_linear(t: Translation, node: Node) -> View:
    """Activations as the numbers that they stand for; of a uint8 input, its normalisation."""
    grid = grid_of(t, node)
    view = view_at(t, node)
    if view.grid is not None:
        return replace(view, grid=None)
    channels = t.shapes[view.tensor][2]
    scale = np.full(channels, grid.scale, np.float64)
    pixels = emit_affine(t, node, view, (scale, -scale * (grid.zero_point + 128)), fresh_tensor(t, "pixels"))
    rounding = Rounding(node.name, (pixels.tensor,), (node.outputs[0],), grid)
    return replace(view, tensor=emit(t, rounding, t.shapes[view.tensor]))


def grid_of(t: Translation, node: Node) -> Grid:
    """The node's scale and zero point, those of uint8 moved to int8."""
    scaling = scaling_of(node, t.graph.constants, t.graph.values[node.inputs[0]].dtype)
    zero_point = int(scaling.zero_point[0]) - (128 if scaling.dtype == "uint8" else 0)
    return Grid(float(scaling.scale[0]), zero_point)
