# SPDX-License-Identifier: Apache-2.0
"""Computes ONNX nodes whose inputs are all constants, with ONNX's own reference implementation where they compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from mbv2gen.graph import Constant

# What exporters compute shapes and weights with: deterministic, no subgraphs, the output's size known beforehand.
# fmt: off
FOLDABLE = frozenset([
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "Div",
    "Dropout", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherND", "Gemm", "Greater",
    "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Mean", "Min", "Mod", "Mul", "Neg",
    "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "Relu", "Reshape", "Round", "ScatterElements", "ScatterND", "Shape", "Sign", "Size", "Slice",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Unsqueeze", "Where",
])
# fmt: on


def plain(value: object) -> Constant:
    """A read-only array; every float, half and double precision too, is float32."""
    array: Constant = np.asarray(value)
    if array.dtype.kind == "f" or "bfloat16" in str(array.dtype):
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def evaluated(node: NodeProto, opset: int, constants: Mapping[str, Constant]) -> dict[str, Constant]:
    """The node's outputs by name. Raises whatever the reference implementation raises."""
    if [item.name for item in node.attribute] == ["value"] and node.op_type == "Constant":
        return {node.output[0]: plain(numpy_helper.to_array(node.attribute[0].t))}
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to load, and few models need it

    entries = [_untyped(name) for name in dict.fromkeys(node.input) if name]
    exits = [_untyped(name) for name in node.output if name]
    graph = helper.make_graph([node], "constant", entries, exits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, {entry.name: constants[entry.name] for entry in entries})
    return {item.name: plain(result) for item, result in zip(exits, results, strict=True)}


def _untyped(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
