# SPDX-License-Identifier: Apache-2.0
"""Groups operators into the paper's blocks, by how they are connected; no table of widths, no names.

Stem: the convolution that reads the image. InvertedResidual: [expand,] depthwise, linear project [, residual] (Sandler
et al. 2018, figure 3). SeparableConv: depthwise, pointwise with an activation (MobileNetV1). Head: the pointwise
convolutions, pooling and dense layers that end the network. Anything else is a Layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from mbv2gen.network import Add, Block, Conv2D, DepthwiseConv2D, Mean, Operator

Roles = tuple[tuple[str, str], ...]


def group(operators: Sequence[Operator], network_input: str, network_output: str) -> tuple[Block, ...]:
    """The blocks of a network, every operator in exactly one, in the order of execution."""
    uses = Counter(name for operator in operators for name in operator.inputs)
    uses[network_output] += 1
    result: list[Block] = []
    counts: Counter[str] = Counter()
    start = 0
    while start < len(operators):
        rest = operators[start:]
        kind, roles = (
            _stem(rest, network_input, start, result)
            or _inverted_residual(rest, uses)
            or _separable(rest, uses)
            or _head(rest, uses)
            or ("Layer", (("layer", rest[0].name),))
        )
        prefix = {"Stem": "stem", "Head": "head", "Layer": "layer"}.get(kind, "block")
        counts[prefix] += 1
        result.append(Block(prefix if kind in ("Stem", "Head") else f"{prefix}_{counts[prefix]}", kind, roles))
        start += len(roles)
    return tuple(result)


def _chained(first: Operator, second: Operator, uses: Counter[str]) -> bool:
    """Whether ``second`` alone reads what ``first`` writes."""
    return second.inputs == first.outputs and uses[first.outputs[0]] == 1


def _is_pointwise(operator: Operator) -> bool:
    return isinstance(operator, Conv2D) and operator.window.is_pointwise


def _stem(rest: Sequence[Operator], network_input: str, start: int, before: list[Block]) -> tuple[str, Roles] | None:
    """The first convolution with a window, nothing but activations or scalings of the image before it."""
    first = rest[0]
    if not isinstance(first, Conv2D) or first.window.is_pointwise or any(block.kind != "Layer" for block in before):
        return None
    if start == 0 and first.inputs[0] != network_input:
        return None
    return "Stem", (("conv", first.name),)


def _inverted_residual(rest: Sequence[Operator], uses: Counter[str]) -> tuple[str, Roles] | None:
    parts = list(rest[:4])
    roles = ["expand", "depthwise", "project", "residual"]
    if not _is_pointwise(parts[0]):
        parts, roles = list(rest[:3]), roles[1:]
    count = len(roles) - 1
    body = parts[:count]
    if len(body) < count or not isinstance(body[-2], DepthwiseConv2D) or not _is_pointwise(body[-1]):
        return None
    project = body[-1]
    assert isinstance(project, Conv2D)
    if not project.clamp.is_identity:
        return None
    if not all(_chained(one, other, uses) for one, other in pairwise(body)):
        return None
    last = parts[count] if len(parts) > count else None
    joins = isinstance(last, Add) and set(last.inputs) == {body[0].inputs[0], project.outputs[0]}
    if joins and last is not None and uses[project.outputs[0]] == 1:
        body.append(last)
    return "InvertedResidual", tuple((role, part.name) for role, part in zip(roles, body, strict=False))


def _separable(rest: Sequence[Operator], uses: Counter[str]) -> tuple[str, Roles] | None:
    if len(rest) < 2 or not isinstance(rest[0], DepthwiseConv2D) or not _is_pointwise(rest[1]):
        return None
    if not _chained(rest[0], rest[1], uses):
        return None
    return "SeparableConv", (("depthwise", rest[0].name), ("pointwise", rest[1].name))


def _head(rest: Sequence[Operator], uses: Counter[str]) -> tuple[str, Roles] | None:
    """All that is left, where it is one chain of pointwise convolutions, dense layers, activations and a pooling."""
    kinds = ("pointwise", "fully_connected", "mean", "activation")
    if not all(item.kind in kinds for item in rest) or not all(
        _chained(one, other, uses) for one, other in pairwise(rest)
    ):
        return None
    roles = []
    for index, item in enumerate(rest):
        if isinstance(item, Mean):
            role = "pool"
        elif item.kind == "activation":
            role = "layer"
        else:
            role = "pointwise" if index == 0 and len(rest) > 1 and _is_pointwise(item) else "classifier"
        roles.append((role, item.name))
    return "Head", tuple(roles)
