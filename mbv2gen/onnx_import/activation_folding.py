# SPDX-License-Identifier: Apache-2.0
"""Folds activations and paddings into the operators before and behind them."""

from __future__ import annotations

from dataclasses import replace

from mbv2gen.network import Activation, Conv2D, DepthwiseConv2D, Mean
from mbv2gen.onnx_import.draft import (
    Affine,
    Draft,
    DraftOperator,
    Padding,
    Rounding,
    bypassed,
    clamped,
    composed,
    keeps,
    reading,
    substituted,
)


def drop_useless_activations(draft: Draft) -> Draft:
    """An activation on values that provably keep to its range is nothing."""
    for operator in draft.operators:
        if isinstance(operator, Activation) and keeps(draft.bounds[operator.inputs[0]], operator.clamp):
            return bypassed(draft, operator)
    return draft


def merge_equal_activations(draft: Draft) -> Draft:
    """The same activation of the same tensor twice is one."""
    seen: dict[tuple[str, float, float], Activation] = {}
    for operator in draft.operators:
        if isinstance(operator, Activation):
            key = (operator.inputs[0], operator.clamp.low, operator.clamp.high)
            first = seen.setdefault(key, operator)
            if first is not operator and operator.outputs[0] != draft.output:
                shared: DraftOperator = replace(operator, inputs=first.outputs)
                return bypassed(substituted(draft, {id(operator): shared}), shared)
    return draft


def fuse_activations(draft: Draft) -> Draft:
    """An activation goes into the operator before it, or through a padding whose zeros it keeps."""
    for operator in draft.operators:
        before = draft.producers.get(operator.inputs[0])
        if not isinstance(operator, Activation) or before is None or not draft.feeds_only(before.outputs[0]):
            continue
        if isinstance(before, Padding):
            if clamped(0.0, operator.clamp) == 0.0:
                return _activation_before_padding(draft, before, operator)
        elif not isinstance(before, (Affine, Mean, Rounding)):
            fused = replace(before, outputs=operator.outputs, clamp=composed(before.clamp, operator.clamp))
            return substituted(draft, {id(before): None, id(operator): fused})
    return draft


def _activation_before_padding(draft: Draft, padding: Padding, activation: Activation) -> Draft:
    """x -> padding -> activation as x -> activation -> padding; the tensor between changes its shape."""
    between = padding.outputs[0]
    first: DraftOperator = replace(activation, inputs=padding.inputs, outputs=padding.outputs)
    second: DraftOperator = replace(padding, inputs=(between,), outputs=activation.outputs)
    shapes = {**draft.shapes, between: draft.shapes[padding.inputs[0]]}
    return replace(substituted(draft, {id(padding): first, id(activation): second}), shapes=shapes)


def merge_paddings(draft: Draft) -> Draft:
    """A padding goes into the convolutions that read it; two in a row are one; one of nothing is nothing."""
    for operator in draft.operators:
        if not isinstance(operator, Padding):
            continue
        readers = draft.readers[operator.outputs[0]]
        if not any((operator.top, operator.left, operator.bottom, operator.right)):
            return bypassed(draft, operator)
        if operator.outputs[0] != draft.output and all(_takes_padding(reader) for reader in readers):
            changes: dict[int, DraftOperator | None] = {id(reader): _padded(reader, operator) for reader in readers}
            return substituted(draft, {**changes, id(operator): None})
    return draft


def _takes_padding(operator: DraftOperator) -> bool:
    return isinstance(operator, (Conv2D, DepthwiseConv2D, Padding))


def _padded(reader: DraftOperator, padding: Padding) -> DraftOperator:
    moved = reading(reader, padding.outputs[0], padding.inputs[0])
    if isinstance(moved, Padding):
        return replace(
            moved,
            top=moved.top + padding.top,
            left=moved.left + padding.left,
            bottom=moved.bottom + padding.bottom,
            right=moved.right + padding.right,
        )
    assert isinstance(moved, (Conv2D, DepthwiseConv2D))
    window = moved.window
    return replace(
        moved,
        window=replace(
            window,
            pad_top=window.pad_top + padding.top,
            pad_left=window.pad_left + padding.left,
            pad_bottom=window.pad_bottom + padding.bottom,
            pad_right=window.pad_right + padding.right,
        ),
    )
