# SPDX-License-Identifier: Apache-2.0
"""From a checked ModelProto to a static Graph: shapes inferred node by node, constants computed, dead nodes dropped.

Half and double precision become float32 everywhere. The declared shapes of intermediate values are ignored: each
node's are inferred from its inputs, so that a batch of unknown size is 1 wherever it shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, defs, helper, numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError, infer_node_outputs

from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Constant, Graph, Node, Value
from mbv2gen.mac_count import node_macs
from mbv2gen.onnx_import.constant_nodes import FOLDABLE, evaluated, plain
from mbv2gen.onnx_import.scaling import MOVES, dequantized, quantized, scaling_of, steps_of

MAX_ELEMENTS = 1 << 26  # of one array
OTHER_FLOATS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
MAY_BE_INFINITE = ("Clip", "Min", "Max")  # an infinite bound is no bound


@dataclass
class _State:
    """What is known while the nodes are walked."""

    file: str
    opset: int
    constants: dict[str, Constant] = field(default_factory=dict)
    steps: dict[str, Constant] = field(default_factory=dict)
    types: dict[str, TypeProto] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)


def static_graph(model: ModelProto, file: str, sha256: str) -> Graph:
    """The Graph of a checked model. Raises Mbv2genError for what has no static shape."""
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    state = _State(file, opset)
    for tensor in model.graph.initializer:
        _check_elements(state, f"tensor {tensor.name!r}", tuple(tensor.dims))
        state.constants[tensor.name] = _array(state, tensor)
    for sparse in model.graph.sparse_initializer:
        raise Mbv2genError(f"{file}: tensor {sparse.values.name!r} is sparse: export it as a dense initializer")
    inputs = [value for value in model.graph.input if value.name not in state.constants]
    if len(inputs) != 1:
        names = ", ".join(f"{value.name!r}" for value in inputs) or "none"
        raise Mbv2genError(f"{file}: the model must have exactly one input, it has {len(inputs)}: {names}")
    _enter_input(state, inputs[0])
    for index, node in enumerate(model.graph.node):
        _visit(state, node, node_name(node, index))
    return _finished(state, model, inputs[0].name, sha256)


def node_name(node: NodeProto, index: int) -> str:
    """The node's name, or one from its op and place where it has none."""
    return node.name or f"{node.op_type}_{index}"


def _array(state: _State, tensor: TensorProto) -> Constant:
    try:
        return plain(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Mbv2genError(f"{state.file}: tensor {tensor.name!r} is damaged ({reason}): export it again") from None


def _check_elements(state: _State, what: str, shape: tuple[int, ...]) -> None:
    if any(size < 0 for size in shape) or prod(shape) > MAX_ELEMENTS:
        raise Mbv2genError(f"{state.file}: {what} has shape {shape}, more than the limit of {MAX_ELEMENTS} elements")


def _enter_input(state: _State, value: ValueInfoProto) -> None:
    """Records the model's input; an unknown batch is 1, any other unknown size refused."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise Mbv2genError(f"{state.file}: input {value.name!r} has no shape: export it with a fixed one")
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    if dims and dims[0] is None:
        dims[0] = 1
    for axis, size in enumerate(dims):
        if size is None:
            label = kind.shape.dim[axis].dim_param or "?"
            raise Mbv2genError(
                f"{state.file}: input {value.name!r}: axis {axis} ({label!r}) has no fixed size: "
                "export it with a fixed height, width and channels"
            )
    shape = tuple(size or 1 for size in dims)
    _check_elements(state, f"input {value.name!r}", shape)
    _record(state, value.name, kind.elem_type, shape)


def _record(state: _State, name: str, elem_type: int, shape: tuple[int, ...]) -> None:
    elem_type = TensorProto.FLOAT if elem_type in OTHER_FLOATS else elem_type
    state.types[name] = helper.make_tensor_type_proto(elem_type, shape)
    state.shapes[name] = shape


def _visit(state: _State, node: NodeProto, name: str) -> None:
    """Computes a node of constants; else infers its shapes and keeps it."""
    if node.domain not in ("", "ai.onnx"):
        raise Mbv2genError(f"{state.file}: node {name!r}: op {node.domain}.{node.op_type} is not supported")
    inputs = [item for item in node.input if item]
    if node.op_type in ("Shape", "Size") and inputs[0] in state.shapes:
        sizes = state.shapes[inputs[0]]
        bounds = {item.name: item.i for item in node.attribute}
        sizes = sizes[bounds.get("start", 0) : bounds.get("end", len(sizes))]
        state.constants[node.output[0]] = plain(np.array(prod(sizes) if node.op_type == "Size" else sizes, np.int64))
        return
    if node.op_type == "CastLike" and inputs[0] in state.constants and inputs[1] in state.types:
        elem_type = state.types[inputs[1]].tensor_type.elem_type
        state.constants[node.output[0]] = plain(
            state.constants[inputs[0]].astype(helper.tensor_dtype_to_np_dtype(elem_type))
        )
        return
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        _visit_scaling(state, _node(node, name))
        return
    known = all(item in state.constants for item in inputs)
    if known and node.op_type not in FOLDABLE:
        raise Mbv2genError(f"{state.file}: node {name!r}: op {node.op_type} on constants is not supported")
    if not known or node.op_type != "Constant":
        _infer(state, node, name)
    if known:
        _fold(state, node, name)
    else:
        state.nodes.append(_node(node, name))


def _node(node: NodeProto, name: str) -> Node:
    attributes = {item.name: _attribute(item) for item in node.attribute}
    return Node(name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _visit_scaling(state: _State, node: Node) -> None:
    """QuantizeLinear or DequantizeLinear: computed on a constant, else kept; of any opset and element type."""
    source, output = node.inputs[0], node.outputs[0]
    values = state.constants.get(source)
    if values is None and source not in state.shapes:
        raise Mbv2genError(f"{state.file}: node {node.name!r}: {node.op}: its input {source!r} is nowhere computed")
    try:
        if values is not None:
            scaling = scaling_of(node, state.constants, values.dtype.name)
            is_real = node.op == "DequantizeLinear"
            state.constants[output] = dequantized(values, scaling) if is_real else quantized(values, scaling)
            if is_real:
                state.steps[output] = steps_of(scaling, values.shape)
            return
        scaling = scaling_of(node, state.constants, _value(state, source).dtype)
        dtype = np.dtype(scaling.dtype if node.op == "QuantizeLinear" else np.float32)
        _record(state, output, helper.np_dtype_to_tensor_dtype(dtype), state.shapes[source])
    except (ValueError, TypeError) as error:
        raise Mbv2genError(f"{state.file}: node {node.name!r}: {node.op}: {error}") from None
    state.nodes.append(node)


def _attribute(item: Any) -> Any:
    value = helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _infer(state: _State, node: NodeProto, name: str) -> None:
    """Types and shapes of a node's outputs, which must be static and of a sane size."""
    types, data = {}, {}
    for item in node.input:
        constant = state.constants.get(item)
        if constant is not None:
            kind = helper.np_dtype_to_tensor_dtype(constant.dtype)
            types[item] = helper.make_tensor_type_proto(kind, constant.shape)
            if constant.size <= 1024:
                data[item] = numpy_helper.from_array(constant, item)
        elif item:
            types[item] = state.types[item]
    try:
        schema = defs.get_schema(node.op_type, state.opset, "")
        opsets = [helper.make_opsetid("", state.opset)]
        outputs = infer_node_outputs(schema, node, types, data, opset_imports=opsets)
    except (defs.SchemaError, InferenceError, ValidationError, RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Mbv2genError(f"{state.file}: node {name!r}: op {node.op_type} has no static shape: {reason}") from None
    for output in node.output:
        kind = outputs[output].tensor_type if output in outputs else TypeProto.Tensor()
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
        where = f"{state.file}: node {name!r}: op {node.op_type}"
        if output and (not kind.HasField("shape") or min(sizes, default=1) < 1):
            raise Mbv2genError(f"{where} has no static shape without empty axes: export with a fixed input size")
        if output:
            _check_elements(state, f"node {name!r}", tuple(sizes))
            _record(state, output, kind.elem_type, tuple(sizes))


def _fold(state: _State, node: NodeProto, name: str) -> None:
    try:
        results = evaluated(node, state.opset, state.constants)
        if node.op_type in MOVES and node.input[0] in state.steps:
            moved = {**state.constants, node.input[0]: state.steps[node.input[0]]}
            state.steps.update(evaluated(node, state.opset, moved))
    except Exception as error:  # the evaluator raises whatever NumPy raised
        reason = " ".join(str(error).split())[:200]
        raise Mbv2genError(f"{state.file}: node {name!r}: op {node.op_type} cannot be computed: {reason}") from None
    for item, result in results.items():
        state.constants[item] = result
        state.types.pop(item, None)
        state.shapes.pop(item, None)


def _finished(state: _State, model: ModelProto, input_name: str, sha256: str) -> Graph:
    """The Graph of the nodes that the outputs need; their weights must be finite."""
    outputs = tuple(value.name for value in model.graph.output)
    if not outputs:
        raise Mbv2genError(f"{state.file}: the model has no output: export it again")
    for name in outputs:
        if name in state.constants:
            raise Mbv2genError(f"{state.file}: output {name!r} does not depend on the input")
    needed, kept = set(outputs), list[Node]()
    for node in reversed(state.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    if input_name not in needed:
        raise Mbv2genError(f"{state.file}: output {outputs[0]!r} does not depend on the input")
    nodes = tuple(reversed(kept))
    for node in nodes:
        _check_finite(state, node)
    values = {name: _value(state, name) for name in state.shapes if name in needed or name == input_name}
    constants = {name: array for name, array in state.constants.items() if name in needed}
    steps = {name: array for name, array in state.steps.items() if name in needed}
    macs = sum(_macs(node, values, constants) for node in nodes)
    producer = " ".join(part for part in (model.producer_name, model.producer_version) if part)
    origin = (state.file, sha256, producer, state.opset)
    return Graph(*origin, macs, nodes, values, constants, steps, (input_name,), outputs)


def _value(state: _State, name: str) -> Value:
    elem_type = state.types[name].tensor_type.elem_type
    return Value(name, state.shapes[name], np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)).name)


def _check_finite(state: _State, node: Node) -> None:
    for name in node.inputs:
        array = state.constants.get(name)
        if array is None or array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if np.isnan(array).any() or node.op not in MAY_BE_INFINITE:
            raise Mbv2genError(
                f"{state.file}: node {node.name!r}: constant {name!r} holds NaN or infinity: train or export it again"
            )


def _macs(node: Node, values: dict[str, Value], constants: dict[str, Constant]) -> int:
    if node.op not in ("Conv", "Gemm", "MatMul"):
        return 0
    left, right = (values[name].shape if name in values else constants[name].shape for name in node.inputs[:2])
    output = values[node.outputs[0]].shape
    return node_macs(node.op, left, right, output, transposed=bool(node.attributes.get("transA", 0)))
