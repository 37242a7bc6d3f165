# SPDX-License-Identifier: Apache-2.0
"""The state in which ONNX nodes become draft operators, and what every kind of node needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Constant, Graph, Node
from mbv2gen.network import Activation, Clamp, FloatArray, Grid, Shape, float32
from mbv2gen.onnx_import.draft import Affine, DraftOperator
from mbv2gen.onnx_import.layout import Layout, axes_of, channel_vector

Parameters: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]  # scale [c], bias [c]


@dataclass(frozen=True)
class View:
    """An ONNX value as a canonical tensor seen through a layout.

    ``tail`` is the softmax or sigmoid that was taken off; ``reduced`` the plane axes ('h', 'w') over which a mean
    has been asked for and not yet been made, because the other one is still to come; ``grid`` the meaning of the
    integers where the ONNX value holds int8 or uint8 (but for the model's own input).
    """

    tensor: str
    layout: Layout
    tail: str = "none"
    reduced: frozenset[str] = frozenset()
    grid: Grid | None = None


@dataclass
class Translation:
    """``views`` by ONNX value name, ``shapes`` by canonical tensor name."""

    graph: Graph
    views: dict[str, View] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    operators: list[DraftOperator] = field(default_factory=list)


def refuse(t: Translation, node: Node, reason: str) -> NoReturn:
    """Ends the lowering with the one line a user sees."""
    raise Mbv2genError(f"{t.graph.file}: node {node.name!r}: {reason}")


def constant_at(t: Translation, node: Node, index: int) -> Constant | None:
    """The constant in an input slot; None where the slot is empty or holds a computed value."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    return t.graph.constants.get(name)


def required_constant(t: Translation, node: Node, index: int) -> Constant:
    """The constant in an input slot that holds one: see constraints.parameters_are_constants."""
    return t.graph.constants[node.inputs[index]]


def steps_at(t: Translation, node: Node, index: int) -> NDArray[np.float64] | None:
    """The quantization step of every element of the constant in an input slot; None where it is a float constant."""
    steps = t.graph.steps.get(node.inputs[index])
    return None if steps is None else steps.astype(np.float64)


def weight_scale(t: Translation, node: Node, rows: NDArray[np.float64] | None) -> FloatArray | None:
    """The scale of each output channel, [c_out], from the steps of its weights, [c_out][...]."""
    if rows is None:
        return None
    rows = rows.reshape(len(rows), -1)
    if (rows != rows[:, :1]).any():
        refuse(t, node, f"{node.op}: its weights have several scales within an output channel: quantize one a channel")
    return float32(rows[:, 0])


def integers(t: Translation, node: Node, attribute: str, index: int) -> list[int] | None:
    """A list of integers that is an attribute in old opsets and an input in new ones; None where it is absent."""
    value: Any = node.attributes.get(attribute)
    if value is None and index < len(node.inputs) and node.inputs[index]:
        value = required_constant(t, node, index)
    return None if value is None else [int(item) for item in np.asarray(value).reshape(-1)]


def view_at(t: Translation, node: Node, index: int = 0) -> View:
    """The view in an input slot that holds a computed value: see constraints.first_input_is_computed."""
    return t.views[node.inputs[index]]


def output_shape(t: Translation, node: Node) -> tuple[int, ...]:
    """The ONNX shape of the node's first output."""
    return t.graph.values[node.outputs[0]].shape


def emit(t: Translation, operator: DraftOperator, shape: Shape) -> str:
    """Appends an operator with one output of ``shape``; returns the output's name."""
    t.operators.append(operator)
    t.shapes[operator.outputs[0]] = shape
    return operator.outputs[0]


def fresh_tensor(t: Translation, base: str) -> str:
    """A tensor name that neither the model nor the draft uses."""
    name, count = base, 1
    while name in t.shapes or name in t.graph.values:
        count += 1
        name = f"{base}_{count}"
    return name


def per_channel(t: Translation, node: Node, constant: Constant, view: View) -> NDArray[np.float64]:
    """A constant operand as float64 [c]."""
    vector = channel_vector(constant, view.layout, t.shapes[view.tensor])
    if vector is None:
        refuse(t, node, f"{node.op}: the constant of shape {constant.shape} must be one value or one a channel")
    return vector


def emit_affine(t: Translation, node: Node, view: View, scale_bias: Parameters, output: str) -> View:
    """y = scale * x + bias by channel, seen like ``view``."""
    scale, bias = scale_bias
    if not (np.isfinite(scale).all() and np.isfinite(bias).all()):
        refuse(t, node, f"{node.op}: its parameters give infinite or undefined values: train or export the model again")
    affine = Affine(node.name, (view.tensor,), (output,), scale, bias)
    return replace(view, tensor=emit(t, affine, t.shapes[view.tensor]))


def emit_clamp(t: Translation, node: Node, view: View, low: float, high: float) -> View:
    """y = min(max(x, low), high), seen like ``view``; bounds beyond float32's range are none."""
    limit = 3.4e38
    clamp = Clamp(low if low > -limit else -np.inf, high if high < limit else np.inf)
    if not clamp.low <= clamp.high:
        refuse(t, node, f"{node.op}: the lower bound {low} exceeds the upper bound {high}")
    if clamp.is_identity:
        return view
    activation = Activation(node.name, (view.tensor,), (node.outputs[0],), clamp)
    return replace(view, tensor=emit(t, activation, t.shapes[view.tensor]))


def require_axes(t: Translation, node: Node, view: View, onnx_axes: tuple[int, ...], wanted: str) -> None:
    """Refuses the node unless these ONNX axes hold the channels (or the plane), the others none of it."""
    shape = t.shapes[view.tensor]
    sizes = dict(zip("hwc", shape, strict=True))
    held = set(axes_of(view.layout, shape, [axis for axis in onnx_axes if axis < len(view.layout)]))
    if held != {axis for axis in wanted if sizes[axis] > 1}:
        words = "the channels" if wanted == "c" else "height and width"
        refuse(t, node, f"{node.op}: works on axes {list(onnx_axes)}, which are not {words} of this value")
