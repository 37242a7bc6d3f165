# SPDX-License-Identifier: Apache-2.0
"""Roundings of a quantized file become the grids of the draft's tensors; what is left between two grids a layer.

A rounding belongs to the operator before it: an int8 kernel rounds its result to the grid of its output. Where
nothing but a change of grid, an activation or an affine map stands between two roundings, a depthwise 1x1
convolution does it, in the integers of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import (
    Activation,
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Grid,
    Mean,
    Window,
    float32,
)
from mbv2gen.onnx_import.draft import (
    Affine,
    Draft,
    DraftOperator,
    Padding,
    Rounding,
    bypassed,
    composed,
    reading,
    substituted,
)

FINE = 127  # steps of a weight of an affine map: its bias is rounded to a 127th of the input's step

Rule: TypeAlias = Callable[[Draft], Draft]


def merge_equal_roundings(draft: Draft) -> Draft:
    """The same rounding twice, of one tensor or in a row, is one."""
    seen: dict[tuple[str, Grid], Rounding] = {}
    for operator in draft.operators:
        if not isinstance(operator, Rounding):
            continue
        before = draft.producers.get(operator.inputs[0])
        if isinstance(before, Rounding) and before.grid == operator.grid:
            return bypassed(draft, operator)
        first = seen.setdefault((operator.inputs[0], operator.grid), operator)
        if first is not operator and operator.outputs[0] != draft.output:
            shared: DraftOperator = replace(operator, inputs=first.outputs)
            return substituted(draft, {id(operator): shared})
    return draft


def round_before_padding(draft: Draft) -> Draft:
    """x -> padding -> rounding as x -> rounding -> padding: the zeros are on every grid."""
    for operator in draft.operators:
        before = draft.producers.get(operator.inputs[0])
        if isinstance(operator, Rounding) and isinstance(before, Padding) and draft.feeds_only(before.outputs[0]):
            between = before.outputs[0]
            first: DraftOperator = replace(operator, inputs=before.inputs, outputs=before.outputs)
            second: DraftOperator = replace(before, inputs=(between,), outputs=operator.outputs)
            shapes = {**draft.shapes, between: draft.shapes[before.inputs[0]]}
            return replace(substituted(draft, {id(before): first, id(operator): second}), shapes=shapes)
    return draft


def clamp_before_rounding(draft: Draft) -> Draft:
    """layer -> rounding -> activation -> the same rounding as layer -> activation -> rounding: both are monotone."""
    for operator in draft.operators:
        activation = draft.producers.get(operator.inputs[0])
        if not isinstance(operator, Rounding) or not isinstance(activation, Activation):
            continue
        first = draft.producers.get(activation.inputs[0])
        if not isinstance(first, Rounding) or first.grid != operator.grid:
            continue
        layer = draft.producers.get(first.inputs[0])
        if layer is None or isinstance(layer, (Affine, Mean, Padding, Rounding)):
            continue
        if all(draft.feeds_only(name) for name in (*first.inputs, *first.outputs, *activation.outputs)):
            moved: DraftOperator = replace(activation, inputs=first.inputs)
            return substituted(draft, {id(first): None, id(activation): moved})
    return draft


def affine_on_grids(draft: Draft) -> Draft:
    """In a quantized file, what no layer could take in becomes a depthwise 1x1 convolution with integer weights."""
    if not any(isinstance(item, Rounding) for item in draft.operators):
        return draft
    affines = [item for item in draft.operators if isinstance(item, Affine)]
    return substituted(draft, {id(item): _scaling(item, item.scale, item.bias, Clamp()) for item in affines})


def _scaling(
    item: DraftOperator, scale: NDArray[np.float64], bias: NDArray[np.float64], clamp: Clamp
) -> DepthwiseConv2D:
    """clamp(scale * x + bias) in the place of ``item``; every weight is one step, or FINE steps where there is a bias.

    A weight is the product of its step and an integer in float32: so it is recovered exactly.
    """
    integers = np.where(bias == 0, 1, FINE) * np.sign(scale)
    steps = float32(np.where(scale == 0, 1.0, np.abs(scale) / np.maximum(np.abs(integers), 1)))
    weights = float32((steps * integers)[None, None, :])
    head = (item.name, (item.inputs[0],), (item.outputs[0],))
    return DepthwiseConv2D(*head, weights, float32(bias), Window(), clamp, steps)


def settle_roundings(draft: Draft) -> Draft:
    """Every rounding as the grid of a tensor; one of a tensor that is also read as it is stays, to be refused."""
    settling = _Settling(draft)
    for operator in draft.operators:
        settling.take(operator)
    if not settling.grids:
        return draft
    operators = tuple(settling.operators)
    output = settling.alias.get(draft.output, draft.output)
    return replace(draft, operators=operators, output=output, grids=settling.grids)


@dataclass
class _Settling:
    """``operators`` so far, ``grids`` of their outputs, and under which name a tensor goes on that is no more."""

    draft: Draft
    operators: list[DraftOperator] = field(default_factory=list)
    grids: dict[str, Grid] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)

    def take(self, operator: DraftOperator) -> None:
        for name in operator.inputs:
            if name in self.alias:
                operator = reading(operator, name, self.alias[name])
        if isinstance(operator, Rounding):
            self._round(operator)
            return
        self.operators.append(operator)
        grid = self.grids.get(operator.inputs[0])
        if grid is not None and (isinstance(operator, Padding) or _stays_on(grid, operator)):
            self.grids[operator.outputs[0]] = grid

    def _round(self, rounding: Rounding) -> None:
        source, target = rounding.inputs[0], rounding.outputs[0]
        before = next((item for item in self.operators if item.outputs[0] == source), None)
        is_alone = self.draft.feeds_only(source)
        if self.grids.get(source) == rounding.grid:
            self.alias[target] = source
        elif isinstance(before, Activation) and is_alone and before.inputs[0] in self.grids:
            self._replace(before, _rescaling(replace(rounding, inputs=before.inputs), self.draft, before.clamp))
        elif source in self.grids:
            self.operators.append(_rescaling(rounding, self.draft, Clamp()))
        elif before is None and is_alone:
            self.grids[source], self.alias[target] = rounding.grid, source
            return
        elif before is not None and is_alone and not isinstance(before, (Padding, Rounding)):
            self._replace(before, _ending_on(rounding, before))
        else:
            self.operators.append(rounding)
            return
        self.grids[target] = rounding.grid

    def _replace(self, old: DraftOperator, new: DraftOperator) -> None:
        self.operators[self.operators.index(old)] = new


def _stays_on(grid: Grid, operator: DraftOperator) -> bool:
    """Whether an activation of values on ``grid`` gives values on it: its bounds are on the grid, or beyond it."""
    if not isinstance(operator, Activation):
        return False
    bounds = composed(Clamp(grid.low, grid.high), operator.clamp)
    steps = np.array([bounds.low, bounds.high]) / grid.scale
    return bool(np.abs(steps - np.rint(steps)).max() < 1e-4)


def _rescaling(rounding: Rounding, draft: Draft, clamp: Clamp) -> DepthwiseConv2D:
    """From the grid of the input to another one."""
    channels = draft.shapes[rounding.outputs[0]][2]
    return _scaling(rounding, np.ones(channels), np.zeros(channels), _within(rounding.grid, clamp))


def _ending_on(rounding: Rounding, before: DraftOperator) -> DraftOperator:
    """The operator with its output on the grid. An end of the grid at 0 is a ReLU that the file left to the grid."""
    ended: DraftOperator = replace(before, outputs=rounding.outputs)
    if isinstance(ended, (Conv2D, DepthwiseConv2D, FullyConnected, Add, Activation)):
        ended = replace(ended, clamp=_within(rounding.grid, ended.clamp))
    return ended


def _within(grid: Grid, clamp: Clamp) -> Clamp:
    low, high = (float(str(np.float32(end))) for end in (grid.low, grid.high))  # 6, not 6.0000001
    return composed(clamp, Clamp(low, high)) if 0.0 in (low, high) else clamp
