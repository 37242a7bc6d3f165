# SPDX-License-Identifier: Apache-2.0
"""MACs of an ONNX model from its own shapes: convolutions and matrix products, nothing else, one image.

Shares no code with the lowering: it is what the lowered network's own count is checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import onnx
from onnx import ModelProto, inliner, shape_inference

from mbv2gen.errors import Mbv2genError


def count(source: Path | ModelProto) -> int:
    """MACs of the float model for a batch of one. Raises Mbv2genError where ONNX cannot infer a shape."""
    model = ModelProto()
    model.CopyFrom(onnx.load(source, load_external_data=False) if isinstance(source, Path) else source)
    model = inliner.inline_local_functions(model) if model.functions else model
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for entry in model.graph.input:
        dims = entry.type.tensor_type.shape.dim
        if entry.name not in known and dims and not dims[0].dim_value:
            dims[0].dim_value = 1
    del model.graph.value_info[:]
    for exit_ in model.graph.output:
        exit_.type.tensor_type.ClearField("shape")
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        known.setdefault(value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim))
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = tuple(node.attribute[0].t.dims)
    total = 0
    for node in graph.node:
        transposed = any(item.name == "transA" and item.i for item in node.attribute)
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            left, right, output = (known.get(name, ()) for name in (*node.input[:2], node.output[0]))
            if not all((prod(left), prod(right), prod(output))) or not all((left, right, output)):
                file = source.name if isinstance(source, Path) else "model"
                raise Mbv2genError(f"{file}: node {node.name!r}: no static shape, so its MACs cannot be counted")
            total += node_macs(node.op_type, left, right, output, transposed)
    return total


def node_macs(
    op: str, left: Sequence[int], right: Sequence[int], output: Sequence[int], transposed: bool = False
) -> int:
    """MACs of one node from the shapes of its two operands and its output; 0 for an op that multiplies no matrices.

    Conv: every output element takes one filter [c_in / group][kh][kw]; Gemm and MatMul: one row of ``left``
    (one column where ``transposed``, Gemm's transA).
    """
    if op == "Conv":
        return prod(output) * prod(right[1:])
    if op in ("Gemm", "MatMul"):
        return prod(output) * left[0 if transposed else -1]
    return 0
