"""Arithmetic with constants, activations, additions, tails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbv2gen.graph import Node
from mbv2gen.network import Add
from mbv2gen.onnx_import.layout import same
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    computed_view,
    constant_at,
    emit,
    emit_affine,
    emit_clamp,
    fresh_tensor,
    output_shape,
    per_channel,
    refuse,
    require_axes,
    required_constant,
)


def arithmetic(t: Translation, node: Node) -> View:
    """Add, Sub, Mul, Div of a value and a constant: an affine map by channel. Add of two values: a residual."""
    constants = [constant_at(t, node, index) for index in (0, 1)]
    if constants[0] is None and constants[1] is None:
        if node.op == "Add":
            return residual(t, node)
        refuse(t, node, f"{node.op} of two computed values is not supported: only Add joins two branches")
    first = constants[1] is None
    constant = constants[0] if constants[1] is None else constants[1]
    assert constant is not None
    view = computed_view(t, node, int(first))
    if output_shape(t, node) != t.graph.values[node.inputs[int(first)]].shape:
        if int(np.prod(output_shape(t, node))) != int(np.prod(t.graph.values[node.inputs[int(first)]].shape)):
            refuse(t, node, f"{node.op}: the constant of shape {constant.shape} enlarges the value")
        missing = len(output_shape(t, node)) - len(view.layout)
        view = replace(view, layout=(*[()] * missing, *view.layout))
    vector = per_channel(t, node, constant, view)
    one, zero = np.ones_like(vector), np.zeros_like(vector)
    if node.op == "Div" and (first or not vector.all()):
        refuse(t, node, "Div: only division by a constant that is not zero is supported")
    scale, bias = {
        "Add": (one, vector),
        "Sub": (-one, vector) if first else (one, -vector),
        "Mul": (vector, zero),
        "Div": (1 / vector if node.op == "Div" else one, zero),
    }[node.op]
    return emit_affine(t, node, view, (scale, bias), node.outputs[0])


def residual(t: Translation, node: Node) -> View:
    """Add or Sum of computed values of one shape, two by two."""
    view = computed_view(t, node, 0)
    for index in range(1, len(node.inputs)):
        other = computed_view(t, node, index)
        shape = t.shapes[view.tensor]
        if shape != t.shapes[other.tensor] or not same(view.layout, other.layout, shape):
            refuse(t, node, f"{node.op}: both values must have one shape and one layout, broadcasting is not supported")
        last = index == len(node.inputs) - 1
        output = node.outputs[0] if last else fresh_tensor(t, f"{node.outputs[0]}_sum")
        view = replace(view, tensor=emit(t, Add(node.name, (view.tensor, other.tensor), (output,)), shape))
    return view


def clip(t: Translation, node: Node) -> View:
    """Clip with bounds as attributes (opset < 11) or inputs, either of them absent."""
    view = computed_view(t, node)
    low = _bound(t, node, 1, node.attributes.get("min", -np.inf))
    high = _bound(t, node, 2, node.attributes.get("max", np.inf))
    return emit_clamp(t, node, view, low, high)


def relu(t: Translation, node: Node) -> View:
    """Relu: Clip from 0 on."""
    return emit_clamp(t, node, computed_view(t, node), 0.0, np.inf)


def extremum(t: Translation, node: Node) -> View:
    """Min or Max with constants of one value each: half a Clip."""
    computed = [index for index, name in enumerate(node.inputs) if name not in t.graph.constants]
    if len(computed) != 1:
        refuse(t, node, f"{node.op} of several computed values is not supported: only with constants")
    bounds = [_bound(t, node, index, 0.0) for index in range(len(node.inputs)) if index not in computed]
    view = computed_view(t, node, computed[0])
    if output_shape(t, node) != t.graph.values[node.inputs[computed[0]]].shape:
        refuse(t, node, f"{node.op}: the constant changes the value's shape, which is not supported")
    if not bounds:
        return view
    low, high = (-np.inf, min(bounds)) if node.op == "Min" else (max(bounds), np.inf)
    return emit_clamp(t, node, view, low, high)


def _bound(t: Translation, node: Node, index: int, default: float) -> float:
    if index >= len(node.inputs) or not node.inputs[index]:
        return float(default)
    array = required_constant(t, node, index, "a bound")
    if array.size == 0 or not (array == array.flat[0]).all():
        refuse(t, node, f"{node.op}: a bound a channel is not supported, only one for all")
    return float(array.flat[0])


def softmax(t: Translation, node: Node) -> View:
    """Softmax over the channels, taken off. Before opset 13 it runs over all axes from ``axis`` on (ONNX operator)."""
    view = computed_view(t, node)
    rank, old = len(view.layout), t.graph.opset < 13
    axis = int(node.attributes.get("axis", 1 if old else -1)) % max(rank, 1)
    require_axes(t, node, view, tuple(range(axis, rank)) if old else (axis,), "c")
    return replace(view, tail="softmax")


def sigmoid(t: Translation, node: Node) -> View:
    """Sigmoid, taken off."""
    return replace(computed_view(t, node), tail="sigmoid")
