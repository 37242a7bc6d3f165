# SPDX-License-Identifier: Apache-2.0
"""Readable, unique names for operators and tensors, from ONNX's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mbv2gen.graph import Graph
from mbv2gen.onnx_import.draft import Draft, DraftOperator


def named(draft: Draft, graph: Graph) -> Draft:
    """The draft with shortened names; operators are unique among themselves, tensors too.

    The input keeps its ONNX name, and so does the output where it is the model's own.
    """
    kept = [name for name in (*graph.inputs, *graph.outputs) if name in draft.shapes]
    old = [*kept, *(operator.outputs[0] for operator in draft.operators if operator.outputs[0] not in kept)]
    tensors = dict(zip(old, unique_names(old, fixed=len(kept)), strict=True))
    names = unique_names([operator.name for operator in draft.operators])
    operators = tuple(_renamed(operator, name, tensors) for operator, name in zip(draft.operators, names, strict=True))
    shapes = {tensors[name]: shape for name, shape in draft.shapes.items() if name in tensors}
    grids = {tensors[name]: grid for name, grid in draft.grids.items() if name in tensors}
    first, last = tensors[draft.input], tensors[draft.output]
    return replace(draft, operators=operators, shapes=shapes, grids=grids, input=first, output=last)


def shortened(name: str) -> str:
    """The first part that tells: tf2onnx joins the names of all it fused by ';'."""
    parts = [part for part in name.split(";") if part.strip("/") not in ("", "StatefulPartitionedCall")]
    return (parts[0] if parts else name).removesuffix(":0")


def unique_names(names: Sequence[str], fixed: int = 0) -> list[str]:
    """The names shortened, the first ``fixed`` as they are; one that has been taken gets _2, _3, ..."""
    result = list(names[:fixed])
    taken = set(result)
    for name in names[fixed:]:
        short = shortened(name)
        candidate, count = short, 1
        while candidate in taken:
            count += 1
            candidate = f"{short}_{count}"
        taken.add(candidate)
        result.append(candidate)
    return result


def _renamed(operator: DraftOperator, name: str, tensors: dict[str, str]) -> DraftOperator:
    inputs = tuple(tensors[item] for item in operator.inputs)
    outputs = tuple(tensors[item] for item in operator.outputs)
    renamed: DraftOperator = replace(operator, name=name, inputs=inputs, outputs=outputs)  # type: ignore[arg-type]  # replace on a union
    return renamed
