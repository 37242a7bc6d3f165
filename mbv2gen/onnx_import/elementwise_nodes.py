# SPDX-License-Identifier: Apache-2.0
"""Arithmetic with constants, activations, additions, tails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbv2gen.graph import Node
from mbv2gen.network import Add
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    constant_at,
    emit,
    emit_affine,
    emit_clamp,
    fresh_tensor,
    output_shape,
    per_channel,
    require_axes,
    required_constant,
    view_at,
)


def arithmetic(t: Translation, node: Node) -> View:
    """With a constant an affine map by channel; an Add of two computed values is a residual."""
    constants = [constant_at(t, node, index) for index in (0, 1)]
    if constants[0] is None and constants[1] is None:
        return residual(t, node)
    first = constants[1] is None
    constant = constants[0] if constants[1] is None else constants[1]
    assert constant is not None
    view = view_at(t, node, int(first))
    if output_shape(t, node) != t.graph.values[node.inputs[int(first)]].shape:
        missing = len(output_shape(t, node)) - len(view.layout)
        view = replace(view, layout=(*[()] * missing, *view.layout))
    vector = per_channel(t, node, constant, view)
    one, zero = np.ones_like(vector), np.zeros_like(vector)
    scale, bias = {
        "Add": (one, vector),
        "Sub": (-one, vector) if first else (one, -vector),
        "Mul": (vector, zero),
        "Div": (1 / vector if node.op == "Div" else one, zero),
    }[node.op]
    return emit_affine(t, node, view, (scale, bias), node.outputs[0])


def residual(t: Translation, node: Node) -> View:
    """Residuals, two by two."""
    view = view_at(t, node, 0)
    for index in range(1, len(node.inputs)):
        other = view_at(t, node, index)
        shape = t.shapes[view.tensor]
        last = index == len(node.inputs) - 1
        output = node.outputs[0] if last else fresh_tensor(t, f"{node.outputs[0]}_sum")
        view = replace(view, tensor=emit(t, Add(node.name, (view.tensor, other.tensor), (output,)), shape))
    return view


def clip(t: Translation, node: Node) -> View:
    """A clamp; bounds are attributes (opset < 11) or inputs, either may be absent."""
    view = view_at(t, node)
    low = _bound(t, node, 1, node.attributes.get("min", -np.inf))
    high = _bound(t, node, 2, node.attributes.get("max", np.inf))
    return emit_clamp(t, node, view, low, high)


def relu(t: Translation, node: Node) -> View:
    """A clamp from 0 on."""
    return emit_clamp(t, node, view_at(t, node), 0.0, np.inf)


def extremum(t: Translation, node: Node) -> View:
    """Half a clamp, with constants of one value each."""
    computed = [index for index, name in enumerate(node.inputs) if name not in t.graph.constants]
    bounds = [_bound(t, node, index, 0.0) for index in range(len(node.inputs)) if index not in computed]
    view = view_at(t, node, computed[0])
    if not bounds:
        return view
    low, high = (-np.inf, min(bounds)) if node.op == "Min" else (max(bounds), np.inf)
    return emit_clamp(t, node, view, low, high)


def _bound(t: Translation, node: Node, index: int, default: float) -> float:
    if index >= len(node.inputs) or not node.inputs[index]:
        return float(default)
    return float(required_constant(t, node, index).flat[0])


def softmax(t: Translation, node: Node) -> View:
    """Over the channels, taken off. Before opset 13 it runs over all axes from ``axis`` on (ONNX operator)."""
    view = view_at(t, node)
    rank, old = len(view.layout), t.graph.opset < 13
    axis = int(node.attributes.get("axis", 1 if old else -1)) % max(rank, 1)
    require_axes(t, node, view, tuple(range(axis, rank)) if old else (axis,), "c")
    return replace(view, tail="softmax")


def sigmoid(t: Translation, node: Node) -> View:
    """Taken off."""
    return replace(view_at(t, node), tail="sigmoid")
