# SPDX-License-Identifier: Apache-2.0
"""Folds affine maps (batch norm, biases, scalings) into the convolutions and dense layers around them.

Jacob et al. 2018, section 3.2: w' = w * scale, b' = b * scale + bias behind a layer; before one w' = w * scale by
input channel and b' = b + sum w * bias, right only where the layer pads nothing or the bias is zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Conv2D, DepthwiseConv2D, FloatArray, FullyConnected, Window, float32
from mbv2gen.onnx_import.draft import Affine, Draft, DraftOperator, bypassed, substituted

Weighted: TypeAlias = Conv2D | DepthwiseConv2D | FullyConnected


def compose_affines(draft: Draft) -> Draft:
    """Two affine maps in a row are one."""
    for operator in draft.operators:
        before = draft.producers.get(operator.inputs[0])
        if isinstance(operator, Affine) and isinstance(before, Affine) and draft.feeds_only(before.outputs[0]):
            scale, bias = before.scale * operator.scale, before.bias * operator.scale + operator.bias
            merged = replace(operator, inputs=before.inputs, scale=scale, bias=bias)
            return substituted(draft, {id(before): None, id(operator): merged})
    return draft


def drop_identities(draft: Draft) -> Draft:
    """An affine map of scale 1 and bias 0 is nothing."""
    for operator in draft.operators:
        if isinstance(operator, Affine) and (operator.scale == 1).all() and not operator.bias.any():
            return bypassed(draft, operator)
    return draft


def fold_backward(draft: Draft) -> Draft:
    """An affine map behind a layer without activation goes into its weights and bias."""
    for operator in draft.operators:
        before = draft.producers.get(operator.inputs[0])
        if not isinstance(operator, Affine) or not isinstance(before, Weighted):
            continue
        if before.clamp.is_identity and draft.feeds_only(before.outputs[0]):
            folded = _scaled_outputs(before, operator)
            return substituted(draft, {id(before): None, id(operator): folded})
    return draft


def fold_forward(draft: Draft) -> Draft:
    """An affine map before layers goes into all of them, where no padding stands between."""
    for operator in draft.operators:
        if not isinstance(operator, Affine) or operator.outputs[0] == draft.output:
            continue
        readers = [reader for reader in draft.readers[operator.outputs[0]] if isinstance(reader, Weighted)]
        exact = all(not operator.bias.any() or not _pads(reader) for reader in readers)
        if exact and len(readers) == len(draft.readers[operator.outputs[0]]):
            changes: dict[int, DraftOperator | None] = {id(item): _scaled_inputs(item, operator) for item in readers}
            return bypassed(substituted(draft, changes), operator)
    return draft


def affine_as_depthwise(draft: Draft) -> Draft:
    """What could not be folded becomes a depthwise 1x1 convolution."""
    changes: dict[int, DraftOperator | None] = {}
    for item in draft.operators:
        if isinstance(item, Affine):
            weights, bias = float32(item.scale[None, None, :]), float32(item.bias)
            changes[id(item)] = DepthwiseConv2D(item.name, item.inputs, item.outputs, weights, bias, Window())
    return substituted(draft, changes) if changes else draft


def _pads(operator: Weighted) -> bool:
    if isinstance(operator, FullyConnected):
        return False
    window = operator.window
    return any((window.pad_top, window.pad_left, window.pad_bottom, window.pad_right))


def _scaled_outputs(layer: Weighted, affine: Affine) -> Weighted:
    """``layer`` and then ``affine``."""
    weights = layer.weights.astype(np.float64)
    if isinstance(layer, DepthwiseConv2D):
        weights = weights * affine.scale
    else:
        weights = weights * affine.scale.reshape(-1, *[1] * (weights.ndim - 1))
    bias = layer.bias * affine.scale + affine.bias
    return replace(
        layer,
        outputs=affine.outputs,
        weights=float32(weights),
        bias=float32(bias),
        weight_scale=_scaled_steps(layer, affine.scale),
    )


def _scaled_inputs(layer: Weighted, affine: Affine) -> Weighted:
    """``affine`` and then ``layer``; the inputs stay named as they are."""
    weights = layer.weights.astype(np.float64)
    if isinstance(layer, DepthwiseConv2D):
        bias = layer.bias + weights.sum(axis=(0, 1)) * affine.bias
        steps = _scaled_steps(layer, affine.scale)
        return replace(layer, weights=float32(weights * affine.scale), bias=float32(bias), weight_scale=steps)
    by_channel = weights.reshape(len(weights), -1, len(affine.scale))  # [c_out][positions][c_in]
    bias = layer.bias + (by_channel @ affine.bias).sum(axis=1)
    has_steps = bool((np.abs(affine.scale) == np.abs(affine.scale[0])).all())
    steps = _scaled_steps(layer, np.full(len(weights), affine.scale[0])) if has_steps else None
    weights = (by_channel * affine.scale).reshape(weights.shape)
    return replace(layer, weights=float32(weights), bias=float32(bias), weight_scale=steps)


def _scaled_steps(layer: Weighted, factors: NDArray[np.float64]) -> FloatArray | None:
    """The layer's weight scale once its weights are multiplied; where by 0, any scale will do."""
    if layer.weight_scale is None:
        return None
    return float32(layer.weight_scale.astype(np.float64) * np.where(factors == 0, 1.0, np.abs(factors)))
