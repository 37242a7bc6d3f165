# SPDX-License-Identifier: Apache-2.0
"""Draft: a network on its way from ONNX's nodes to operators; affine maps and paddings still stand on their own.

Tensors have their ONNX names. Every rewriting of a draft is exact on its own: none relies on another to follow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Add, Clamp, Grid, Mean, Operator, Shape


@dataclass(frozen=True)
class Affine:
    """y[c] = scale[c] * x[c] + bias[c]: batch norm, a bias, a normalisation. float64 until it is folded."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    scale: NDArray[np.float64]  # [c]
    bias: NDArray[np.float64]  # [c]


@dataclass(frozen=True)
class Padding:
    """y = x with rows and columns of zeros around it."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Rounding:
    """y = the value of ``grid`` nearest to x: QuantizeLinear, seen in real numbers."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    grid: Grid


DraftOperator: TypeAlias = Operator | Affine | Padding | Rounding


@dataclass(frozen=True)
class Draft:
    """``input_bounds`` is the range the input provably keeps to; ``grids`` are those of a quantized file's tensors."""

    operators: tuple[DraftOperator, ...]
    shapes: Mapping[str, Shape]
    input: str
    output: str
    input_bounds: Clamp
    grids: Mapping[str, Grid] = field(default_factory=dict)

    @cached_property
    def producers(self) -> Mapping[str, DraftOperator]:
        return {operator.outputs[0]: operator for operator in self.operators}

    @cached_property
    def readers(self) -> Mapping[str, list[DraftOperator]]:
        """The operators that read a tensor; one that reads it twice is there twice."""
        result: dict[str, list[DraftOperator]] = defaultdict(list)
        for operator in self.operators:
            for name in operator.inputs:
                result[name].append(operator)
        return result

    def feeds_only(self, name: str) -> bool:
        """Whether exactly one operator and nothing else needs this tensor."""
        return name != self.output and len(self.readers[name]) == 1

    @cached_property
    def bounds(self) -> Mapping[str, Clamp]:
        """The range each tensor provably keeps to, by the clamps before it alone."""
        result = {self.input: self.input_bounds}
        for operator in self.operators:
            first = result[operator.inputs[0]]
            if isinstance(operator, Affine):
                result[operator.outputs[0]] = Clamp()
            elif isinstance(operator, Padding):
                result[operator.outputs[0]] = Clamp(min(first.low, 0.0), max(first.high, 0.0))
            elif isinstance(operator, Mean):
                result[operator.outputs[0]] = first
            elif isinstance(operator, Rounding):
                result[operator.outputs[0]] = composed(first, Clamp(operator.grid.low, operator.grid.high))
            elif isinstance(operator, Add):
                second = result[operator.inputs[1]]
                result[operator.outputs[0]] = composed(
                    Clamp(first.low + second.low, first.high + second.high), operator.clamp
                )
            else:
                before = first if operator.kind == "activation" else Clamp()
                result[operator.outputs[0]] = composed(before, operator.clamp)
        return result


def composed(first: Clamp, second: Clamp) -> Clamp:
    """The clamp that equals ``first`` and then ``second``."""
    return Clamp(clamped(first.low, second), clamped(first.high, second))


def clamped(value: float, clamp: Clamp) -> float:
    """The value, or the bound it exceeds."""
    return min(max(value, clamp.low), clamp.high)


def keeps(bounds: Clamp, clamp: Clamp) -> bool:
    """Whether ``clamp`` changes nothing on values within ``bounds``."""
    return composed(bounds, clamp) == bounds and not math.isnan(bounds.low)


def substituted(draft: Draft, changes: Mapping[int, DraftOperator | None]) -> Draft:
    """The draft with operators replaced, or left out for None; keyed by their id()."""
    kept = (changes.get(id(operator), operator) for operator in draft.operators)
    return replace(draft, operators=tuple(operator for operator in kept if operator is not None))


def bypassed(draft: Draft, operator: DraftOperator) -> Draft:
    """The draft without ``operator``: what read its output reads its input."""
    old, new = operator.outputs[0], operator.inputs[0]
    changes: dict[int, DraftOperator | None] = {id(reader): reading(reader, old, new) for reader in draft.readers[old]}
    changes[id(operator)] = None
    return replace(substituted(draft, changes), output=new if draft.output == old else draft.output)


def reading(operator: DraftOperator, old: str, new: str) -> DraftOperator:
    """The operator with input ``old`` exchanged for ``new``."""
    inputs = tuple(new if name == old else name for name in operator.inputs)
    changed: DraftOperator = replace(operator, inputs=inputs)  # type: ignore[arg-type]  # replace on a union
    return changed


def rewritten(draft: Draft, *rules: Callable[[Draft], Draft]) -> Draft:
    """Applies the rules until none changes anything; a rule returns its argument itself when it has nothing to do."""
    while True:
        before = draft
        for rule in rules:
            draft = rule(draft)
        if draft is before:
            return draft
