# SPDX-License-Identifier: Apache-2.0
"""The QDQ ONNX file of a QuantizedNetwork: it takes and gives what the model it came from takes and gives.

Float operators between DequantizeLinear and QuantizeLinear (opset 13, NCHW), int8 activations, int8 weights a channel
and int32 biases; onnxruntime and others fuse them into integer operators. They round once, in float: a layer may
differ from the reference by one step. What changes shapes alone works on the integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mbv2gen import __version__
from mbv2gen.quantization.derived_multipliers import check_multipliers
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QTensor,
    QuantizedNetwork,
)

OPSET, IR_VERSION = 13, 7  # the first with scales a channel
DTYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}

Weighted: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected
Clamped: TypeAlias = Weighted | QAdd | QActivation


def emit(network: QuantizedNetwork) -> bytes:
    """The bytes of a QDQ ONNX model; any batch where the model's output has a batch axis.

    Raises Mbv2genError where multipliers do not follow from the scales: a QDQ file carries scales alone.
    """
    check_multipliers(network, "a QDQ file")
    entry, exit_ = network.model_input, network.model_output
    draft = _Draft(network, taken={entry.name, exit_.name})
    _emit_input(draft)
    for operator in network.operators:
        if isinstance(operator, QConv2D | QDepthwiseConv2D):
            real = _emit_convolution(draft, operator)
        elif isinstance(operator, QFullyConnected):
            real = _emit_fully_connected(draft, operator)
        elif isinstance(operator, QAdd):
            real = draft.node("Add", draft.plane(operator.inputs[0]), draft.plane(operator.inputs[1]), of=operator.name)
        elif isinstance(operator, QMean):
            real = draft.node("GlobalAveragePool", draft.plane(operator.inputs[0]), of=operator.name)
        else:
            real = draft.real(operator.inputs[0])
        clamped = real if isinstance(operator, QMean) else _emit_clamp(draft, operator, real)
        rank = draft.rank[operator.inputs[0]] if isinstance(operator, QActivation) else 4
        draft.quantize(clamped, operator.outputs[0], 2 if isinstance(operator, QFullyConnected) else rank)
    _emit_output(draft)
    return _serialized(draft)


@dataclass
class _Draft:
    """What has been emitted so far. ``integer`` finds a network's tensor among the graph's values, ``rank`` says
    whether it is [N][c][h][w] or [N][c] there; ``taken`` are names that are not free any more."""

    network: QuantizedNetwork
    taken: set[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    integer: dict[str, str] = field(default_factory=dict)
    rank: dict[str, int] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """``name``, or with a number behind it where that is taken."""
        free, number = name, 1
        while free in self.taken:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        return free

    def node(self, op: str, *inputs: str, of: str, output: str = "", **attributes: Any) -> str:
        """Appends a node -> its output, named after the operator or tensor ``of``."""
        result = output or self.fresh(f"{of}/{op}")
        self.nodes.append(helper.make_node(op, list(inputs), [result], name=result, **attributes))
        return result

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        free = self.fresh(name)
        self.constants.append(numpy_helper.from_array(np.array(values, order="C"), free))
        return free

    def grid(self, tensor: QTensor) -> tuple[str, str]:
        """Constants of scale and zero point."""
        scale = self.constant(f"{tensor.name}/scale", np.array(tensor.scale, np.float32))
        return scale, self.constant(f"{tensor.name}/zero_point", np.array(tensor.zero_point, np.int8))

    def quantize(self, real: str, name: str, rank: int) -> None:
        """The network's tensor ``name`` out of real values."""
        grid = self.grid(self.network.tensor(name))
        self.integer[name] = self.node("QuantizeLinear", real, *grid, of=name)
        self.rank[name] = rank

    def real(self, name: str, integer: str = "") -> str:
        """The network's tensor ``name`` in real numbers; ``integer``: its values in another shape."""
        grid = self.grid(self.network.tensor(name))
        return self.node("DequantizeLinear", integer or self.integer[name], *grid, of=name)

    def plane(self, name: str) -> str:
        """The tensor in real numbers, [N][c][h][w]."""
        if self.rank[name] == 4:
            return self.real(name)
        h, w, c = self.network.shape(name)
        shape = self.constant(f"{name}/plane", np.array([-1, c, h, w], np.int64))
        return self.real(name, self.node("Reshape", self.integer[name], shape, of=name))

    def vector(self, name: str) -> str:
        """The tensor in real numbers, [N][c * h * w]."""
        if self.rank[name] == 2:
            return self.real(name)
        return self.real(name, self.node("Flatten", self.integer[name], of=name, axis=1))


def _emit_input(draft: _Draft) -> None:
    """From what the model takes to the network's int8 input: the type, the layout, the graph's own normalisation."""
    entry, tensor = draft.network.model_input, draft.network.tensor(draft.network.inputs[0])
    real = entry.name
    if entry.dtype != "float32":
        real = draft.node("Cast", real, of=tensor.name, to=TensorProto.FLOAT)
    if entry.layout == "NHWC":
        real = draft.node("Transpose", real, of=tensor.name, perm=[0, 3, 1, 2])
    if entry.mean is not None and entry.std is not None:
        for op, values in (("Sub", entry.mean), ("Div", entry.std)):
            column = np.array(values, np.float32).reshape(1, -1, 1, 1)
            real = draft.node(op, real, draft.constant(f"{tensor.name}/{op}/values", column), of=tensor.name)
    draft.quantize(real, tensor.name, 4)


def _emit_convolution(draft: _Draft, operator: QConv2D | QDepthwiseConv2D) -> str:
    if isinstance(operator, QConv2D):
        weights, group = operator.weights.transpose(0, 3, 1, 2), 1
    else:
        weights, group = operator.weights.transpose(2, 0, 1)[:, np.newaxis], operator.weights.shape[2]
    window = operator.window
    constants = _emit_weights(draft, operator, weights)
    return draft.node(
        "Conv",
        draft.plane(operator.inputs[0]),
        *constants,
        of=operator.name,
        group=group,
        kernel_shape=[window.kernel_h, window.kernel_w],
        strides=[window.stride_h, window.stride_w],
        pads=[window.pad_top, window.pad_left, window.pad_bottom, window.pad_right],
    )


def _emit_fully_connected(draft: _Draft, operator: QFullyConnected) -> str:
    """The columns of the weights go from (h, w, c) to (c, h, w), as the input lies here."""
    h, w, c = draft.network.shape(operator.inputs[0])
    columns = operator.weights.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(operator.weights.shape)
    constants = _emit_weights(draft, operator, columns)
    return draft.node("Gemm", draft.vector(operator.inputs[0]), *constants, of=operator.name, transB=1)


def _emit_weights(draft: _Draft, operator: Weighted, weights: NDArray[np.int8]) -> tuple[str, str]:
    """Weights and bias in real numbers, out of their integers; the bias on input scale times weight scale."""
    source = np.float32(draft.network.tensor(operator.inputs[0]).scale)
    pairs = []
    for part, values, scale in (
        ("weights", weights, operator.weight_scale),
        ("bias", operator.bias, source * operator.weight_scale),
    ):
        name = f"{operator.name}/{part}"
        zeros = np.zeros(len(scale), values.dtype)
        constants = [draft.constant(name, values), draft.constant(f"{name}/scale", scale.astype(np.float32))]
        constants.append(draft.constant(f"{name}/zero_point", zeros))
        pairs.append(draft.node("DequantizeLinear", *constants, of=name, axis=0))
    return pairs[0], pairs[1]


def _emit_clamp(draft: _Draft, operator: Clamped, real: str) -> str:
    """Clip to what the bounds stand for; those that are the ends of int8 need none."""
    tensor = draft.network.tensor(operator.outputs[0])
    bounds = []
    for part, bound, end in (("min", operator.act_min, -128), ("max", operator.act_max, 127)):
        value = np.float32((bound - tensor.zero_point) * tensor.scale)
        bounds.append("" if bound == end else draft.constant(f"{operator.name}/{part}", np.array(value)))
    while bounds and not bounds[-1]:
        bounds.pop()
    return draft.node("Clip", real, *bounds, of=operator.name) if bounds else real


def _emit_output(draft: _Draft) -> None:
    """From the network's int8 output to what the model gives: its softmax or sigmoid, layout and shape."""
    network, exit_ = draft.network, draft.network.model_output
    name = network.outputs[0]
    h, w, _ = network.shape(name)
    real, rank = draft.real(name), draft.rank[name]
    if exit_.tail == "softmax":
        real = draft.node("Softmax", real, of=exit_.name, axis=1)
    elif exit_.tail == "sigmoid":
        real = draft.node("Sigmoid", real, of=exit_.name)
    if exit_.layout == "NHWC" and (h, w) != (1, 1):
        real = draft.node("Transpose", real, of=exit_.name, perm=[0, 2, 3, 1])
    has_batch = exit_.shape[:1] == (1,)
    target = np.array([-1, *exit_.shape[1:]] if has_batch else exit_.shape, np.int64)
    if rank == 2 and len(target) == 2 and has_batch:
        draft.node("Identity", real, of=exit_.name, output=exit_.name)
    else:
        shape = draft.constant(f"{exit_.name}/shape", target)
        draft.node("Reshape", real, shape, of=exit_.name, output=exit_.name)


def _serialized(draft: _Draft) -> bytes:
    network = draft.network
    entry, exit_ = network.model_input, network.model_output
    h, w, c = network.shape(network.inputs[0])
    has_batch = exit_.shape[:1] == (1,)
    batch: list[int | str] = ["N" if has_batch else 1]
    taken = batch + ([h, w, c] if entry.layout == "NHWC" else [c, h, w])
    given = batch + list(exit_.shape[1:]) if has_batch else list(exit_.shape)
    graph = helper.make_graph(
        draft.nodes,
        network.name,
        [helper.make_tensor_value_info(entry.name, DTYPES[entry.dtype], taken)],
        [helper.make_tensor_value_info(exit_.name, TensorProto.FLOAT, given)],
        draft.constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mbv2gen",
        producer_version=__version__,
    )
    return bytes(model.SerializeToString(deterministic=True))
