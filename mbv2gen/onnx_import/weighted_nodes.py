# SPDX-License-Identifier: Apache-2.0
"""Conv, MatMul, Gemm and BatchNormalization as draft operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen.graph import Node
from mbv2gen.network import Conv2D, DepthwiseConv2D, FloatArray, FullyConnected, Window, float32
from mbv2gen.onnx_import.layout import NCHW, axes_of, sizes_of
from mbv2gen.onnx_import.translation import (
    Translation,
    View,
    emit,
    emit_affine,
    fresh_tensor,
    output_shape,
    per_channel,
    refuse,
    require_axes,
    required_constant,
    steps_at,
    view_at,
    weight_scale,
)
from mbv2gen.onnx_import.windows import window_of


def conv(t: Translation, node: Node) -> View:
    """Group 1 is a convolution, or a pointwise one; group = c_in = c_out is a depthwise one."""
    view = view_at(t, node)
    h, w, c_in = t.shapes[view.tensor]
    weights = required_constant(t, node, 1)
    c_out, group = weights.shape[0], int(node.attributes.get("group", 1))
    if weights.shape[1] * group != c_in:
        refuse(t, node, f"Conv: weights of shape {weights.shape} with group {group} do not fit {c_in} input channels")
    bias = required_constant(t, node, 2) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(c_out)
    if bias.shape != (c_out,):
        refuse(t, node, f"Conv: bias of shape {bias.shape} does not fit {c_out} output channels")
    window = window_of(t, node, weights.shape[2:], (h, w))
    names = (node.name, (view.tensor,), (node.outputs[0],))
    scale = weight_scale(t, node, steps_at(t, node, 1))
    operator = (
        Conv2D(*names, float32(weights.transpose(0, 2, 3, 1)), float32(bias), window, weight_scale=scale)
        if group == 1
        else DepthwiseConv2D(
            *names, float32(weights[:, 0].transpose(1, 2, 0)), float32(bias), window, weight_scale=scale
        )
    )
    shape = (*window.output_size(h, w), c_out)
    if (shape[2], *shape[:2]) != output_shape(t, node)[1:]:
        refuse(t, node, f"Conv: output of shape {output_shape(t, node)} does not follow from its attributes")
    return View(emit(t, operator, shape), NCHW)


def matmul(t: Translation, node: Node) -> View:
    """By a matrix [k][n]: a dense layer over all of a value, or a pointwise convolution over its channels."""
    weights = required_constant(t, node, 1)
    weights = weights.reshape(weights.shape[-2:])
    steps = steps_at(t, node, 1)
    by_column = None if steps is None else steps.reshape(weights.shape).T
    scale = weight_scale(t, node, by_column)
    return _dense(t, node, view_at(t, node), weights.astype(np.float64), scale, node.outputs[0])


def gemm(t: Translation, node: Node) -> View:
    """alpha * A' * B' + beta * C: a dense layer over all of a value."""
    view = view_at(t, node)
    if node.attributes.get("transA", 0):
        view = replace(view, layout=view.layout[::-1])
    alpha = node.attributes.get("alpha", 1.0)
    weights, steps = required_constant(t, node, 1).astype(np.float64) * alpha, steps_at(t, node, 1)
    if node.attributes.get("transB", 0):
        weights, steps = weights.T, None if steps is None else steps.T
    scale = weight_scale(t, node, None if steps is None else steps.T * abs(alpha))
    if len(node.inputs) < 3 or not node.inputs[2]:
        return _dense(t, node, view, weights, scale, node.outputs[0])
    bias = required_constant(t, node, 2)
    product = _dense(t, node, view, weights, scale, fresh_tensor(t, f"{node.outputs[0]}_product"))
    vector = per_channel(t, node, bias, product) * node.attributes.get("beta", 1.0)
    return emit_affine(t, node, product, (np.ones_like(vector), vector), node.outputs[0])


def batch_normalization(t: Translation, node: Node) -> View:
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, over axis 1, in float64."""
    view = view_at(t, node)
    require_axes(t, node, view, (1,), "c")
    channels = t.shapes[view.tensor][2]
    arrays = [required_constant(t, node, index).astype(np.float64) for index in (1, 2, 3, 4)]
    if any(array.shape != (channels,) for array in arrays):
        refuse(t, node, f"BatchNormalization: its parameters do not fit {channels} channels")
    gamma, beta, mean, variance = arrays
    scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return emit_affine(t, node, view, (scale, beta - mean * scale), node.outputs[0])


def _dense(
    t: Translation, node: Node, view: View, weights: NDArray[np.float64], scale: FloatArray | None, output: str
) -> View:
    """x [..., k] * weights [k][n]: a dense layer over a whole tensor, or a pointwise convolution over the channels."""
    shape = t.shapes[view.tensor]
    k, n = weights.shape
    last = axes_of(view.layout, shape, (len(view.layout) - 1,))
    others = axes_of(view.layout, shape, range(len(view.layout) - 1))
    sizes = sizes_of(shape)
    if np.prod([sizes[axis] for axis in last]) != k:
        refuse(t, node, f"{node.op}: weights of shape {weights.shape} do not fit its input")
    names = (node.name, (view.tensor,), (output,))
    if not others:
        by_axis = weights.reshape(*(sizes[axis] for axis in last), n)
        order = [last.index(axis) for axis in "hwc" if axis in last]
        rows = by_axis.transpose(*order, len(last)).reshape(k, n)
        dense = FullyConnected(*names, float32(rows.T), float32(np.zeros(n)), weight_scale=scale)
        return View(emit(t, dense, (1, 1, n)), (*[()] * (len(view.layout) - 1), ("c",)))
    if "c" in others or "h" in last or "w" in last:
        refuse(t, node, f"{node.op}: multiplies neither the channels of each pixel nor the whole of its input")
    pointwise = Conv2D(*names, float32(weights.T[:, None, None, :]), float32(np.zeros(n)), Window(), weight_scale=scale)
    return View(emit(t, pointwise, (*shape[:2], n)), (*(_plane(axes) for axes in view.layout[:-1]), ("c",)))


def _plane(axes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(axis for axis in axes if axis != "c")
