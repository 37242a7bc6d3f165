# SPDX-License-Identifier: Apache-2.0
"""The .tflite of a QuantizedNetwork: TFLite's own int8 operators, equal to the reference in every byte.

The integer network alone, without the model's softmax or sigmoid. What TFLite cannot fuse becomes an operator of its
own that is exact: PAD in front of a convolution whose padding is neither SAME nor VALID, MAXIMUM and MINIMUM behind
an operator (or as a standalone activation) whose clamp is none of TFLite's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import __version__, arithmetic
from mbv2gen.network import Clamp, Window
from mbv2gen.quantization.derived_multipliers import check_multipliers
from mbv2gen.quantization.tflite_flatbuffer import BuiltinOperator, TfliteModel, TfliteOperator, TfliteTensor, serialize
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

SAME, VALID = 0, 1
FUSED = {0: Clamp(), 1: Clamp(0.0), 3: Clamp(0.0, 6.0), 2: Clamp(-1.0, 1.0)}  # by ActivationFunctionType
UNFUSED = 0

Options: TypeAlias = tuple[tuple[int, str, int], ...]
Clamped: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected | QAdd


def emit(network: QuantizedNetwork) -> bytes:
    """The bytes of an int8 .tflite that computes ``network``'s tensors, under their own names.

    A tensor is [1][h][w][c] there, except that a fully connected layer's output is [1][c].
    Raises Mbv2genError where multipliers do not follow from the scales: a .tflite carries scales alone.
    """
    check_multipliers(network, "a .tflite")
    draft = _Draft(network)
    for name in network.inputs:
        draft.activation(network.tensor(name))
    for operator in network.operators:
        if isinstance(operator, QConv2D | QDepthwiseConv2D):
            _emit_convolution(draft, operator)
        elif isinstance(operator, QFullyConnected):
            _emit_fully_connected(draft, operator)
        elif isinstance(operator, QAdd):
            _emit_add(draft, operator)
        elif isinstance(operator, QMean):
            _emit_mean(draft, operator)
        else:
            _emit_activation(draft, operator)
    model = TfliteModel(
        name=network.name,
        description=f"mbv2gen {__version__}",
        tensors=tuple(draft.tensors),
        operators=tuple(draft.operators),
        inputs=tuple(draft.index[name] for name in network.inputs),
        outputs=tuple(draft.index[name] for name in network.outputs),
    )
    return serialize(model)


@dataclass
class _Draft:
    """What has been emitted so far; ``index`` finds a network's tensor among ``tensors``."""

    network: QuantizedNetwork
    tensors: list[TfliteTensor] = field(default_factory=list)
    operators: list[TfliteOperator] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)

    def append(self, tensor: TfliteTensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def activation(self, tensor: QTensor, shape: tuple[int, ...] | None = None) -> int:
        """The tensor of the network itself; [1][h][w][c] unless ``shape`` says otherwise."""
        self.index[tensor.name] = self.append(
            TfliteTensor(tensor.name, shape or (1, *tensor.shape), (tensor.scale,), tensor.zero_point)
        )
        return self.index[tensor.name]

    def constant(self, name: str, data: NDArray[np.generic], scales: tuple[float, ...] = (), axis: int = 0) -> int:
        """A weight, a bias or an operator's argument, symmetric along ``axis`` where it has scales."""
        shape, dtype = tuple(int(n) for n in data.shape), data.dtype.type
        return self.append(TfliteTensor(name, shape, scales, quantized_dimension=axis, dtype=dtype, data=data))

    def plane(self, name: str) -> int:
        """The tensor as [1][h][w][c], through a RESHAPE where it is [1][c]."""
        index = self.index[name]
        tensor = self.tensors[index]
        if len(tensor.shape) == 4:
            return index
        shape = (1, *self.network.shape(name))
        reshaped = self.append(replace(tensor, name=f"{name}/plane", shape=shape))
        argument = self.constant(f"{name}/shape", np.array(shape, np.int32))
        self.operators.append(TfliteOperator(BuiltinOperator.RESHAPE, (index, argument), (reshaped,)))
        return reshaped

    def clamped(
        self,
        code: BuiltinOperator,
        inputs: tuple[int, ...],
        operator: Clamped,
        options: Options,
        *,
        activation_slot: int,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Appends ``code`` with the clamp of ``operator`` fused, or behind it where TFLite has no such activation."""
        tensor = self.network.tensor(operator.outputs[0])
        bounds = (operator.act_min, operator.act_max)
        for kind, clamp in FUSED.items():
            if arithmetic.activation_range(clamp, tensor.scale, tensor.zero_point) == bounds:
                fused = (*options, (activation_slot, "int8", kind))
                self.operators.append(TfliteOperator(code, inputs, (self.activation(tensor, shape),), fused))
                return
        free = self.append(
            TfliteTensor(f"{tensor.name}/unclamped", shape or (1, *tensor.shape), (tensor.scale,), tensor.zero_point)
        )
        fused = (*options, (activation_slot, "int8", UNFUSED))
        self.operators.append(TfliteOperator(code, inputs, (free,), fused))
        self.clamp(free, tensor, *bounds)

    def clamp(self, source: int, tensor: QTensor, act_min: int, act_max: int) -> None:
        """MAXIMUM and, where the upper bound does something, MINIMUM from ``source`` to the network's ``tensor``."""
        bounds = [(BuiltinOperator.MAXIMUM, act_min), (BuiltinOperator.MINIMUM, act_max)]
        if act_max == 127:
            bounds.pop()
        elif act_min == -128:
            bounds.pop(0)
        for code, bound in bounds:
            argument = TfliteTensor(f"{tensor.name}/{code.name.lower()}", (1,), (tensor.scale,), tensor.zero_point)
            inputs = (source, self.append(replace(argument, data=np.array([bound], np.int8))))
            if (code, bound) == bounds[-1]:
                result = self.activation(tensor, self.tensors[source].shape)
            else:
                result = self.append(replace(self.tensors[source], name=f"{tensor.name}/bounded"))
            self.operators.append(TfliteOperator(code, inputs, (result,)))
            source = result


def _emit_convolution(draft: _Draft, operator: QConv2D | QDepthwiseConv2D) -> None:
    tensor, window = draft.network.tensor(operator.inputs[0]), operator.window
    source = draft.plane(tensor.name)
    padding = _tflite_padding(window, tensor.shape[0], tensor.shape[1])
    if padding is None:
        source, padding = _emit_pad(draft, operator, source), VALID
    stride: Options = ((0, "int8", padding), (1, "int32", window.stride_w), (2, "int32", window.stride_h))
    scales = tuple(operator.weight_scale.tolist())
    if isinstance(operator, QConv2D):
        code, activation_slot, dilation = BuiltinOperator.CONV_2D, 3, ((4, "int32", 1), (5, "int32", 1))
        weights = draft.constant(f"{operator.name}/weights", operator.weights, scales)
        options: Options = (*stride, *dilation)
    else:
        code, activation_slot, dilation = BuiltinOperator.DEPTHWISE_CONV_2D, 4, ((5, "int32", 1), (6, "int32", 1))
        weights = draft.constant(f"{operator.name}/weights", operator.weights[np.newaxis], scales, axis=3)
        options = (*stride, (3, "int32", 1), *dilation)
    draft.clamped(code, (source, weights, _bias(draft, operator)), operator, options, activation_slot=activation_slot)


def _emit_pad(draft: _Draft, operator: QConv2D | QDepthwiseConv2D, source: int) -> int:
    """PAD with the zero point, by no more than the window reaches, so that VALID gives the output's size."""
    (h, w, _), window = draft.network.shape(operator.inputs[0]), operator.window
    out_h, out_w, _ = draft.network.shape(operator.outputs[0])
    bottom = max(0, (out_h - 1) * window.stride_h + window.kernel_h - window.pad_top - h)
    right = max(0, (out_w - 1) * window.stride_w + window.kernel_w - window.pad_left - w)
    pads = np.array([[0, 0], [window.pad_top, bottom], [window.pad_left, right], [0, 0]], np.int32)
    tensor = draft.tensors[source]
    shape = tuple(n + int(before) + int(after) for n, (before, after) in zip(tensor.shape, pads, strict=True))
    padded = draft.append(replace(tensor, name=f"{operator.name}/padded", shape=shape))
    argument = draft.constant(f"{operator.name}/paddings", pads)
    draft.operators.append(TfliteOperator(BuiltinOperator.PAD, (source, argument), (padded,)))
    return padded


def _tflite_padding(window: Window, h: int, w: int) -> int | None:
    """SAME or VALID where it gives the window's output from the window's first tap on; else None."""
    out_h, out_w = window.output_size(h, w)
    before = (window.pad_top, window.pad_left)
    if before == (0, 0) and replace(window, pad_bottom=0, pad_right=0).output_size(h, w) == (out_h, out_w):
        return VALID
    total_h = max((out_h - 1) * window.stride_h + window.kernel_h - h, 0)
    total_w = max((out_w - 1) * window.stride_w + window.kernel_w - w, 0)
    has_same_size = (out_h, out_w) == (-(-h // window.stride_h), -(-w // window.stride_w))
    return SAME if has_same_size and before == (total_h // 2, total_w // 2) else None


def _emit_fully_connected(draft: _Draft, operator: QFullyConnected) -> None:
    weights = draft.constant(f"{operator.name}/weights", operator.weights, tuple(operator.weight_scale.tolist()))
    inputs = (draft.index[operator.inputs[0]], weights, _bias(draft, operator))
    shape = (1, len(operator.weights))
    draft.clamped(BuiltinOperator.FULLY_CONNECTED, inputs, operator, (), activation_slot=0, shape=shape)


def _bias(draft: _Draft, operator: QConv2D | QDepthwiseConv2D | QFullyConnected) -> int:
    scales = np.float32(draft.network.tensor(operator.inputs[0]).scale) * operator.weight_scale
    return draft.constant(f"{operator.name}/bias", operator.bias, tuple(scales.tolist()))


def _emit_add(draft: _Draft, operator: QAdd) -> None:
    inputs = (draft.plane(operator.inputs[0]), draft.plane(operator.inputs[1]))
    draft.clamped(BuiltinOperator.ADD, inputs, operator, (), activation_slot=0)


def _emit_mean(draft: _Draft, operator: QMean) -> None:
    axes = draft.constant(f"{operator.name}/axes", np.array([1, 2], np.int32))
    inputs = (draft.plane(operator.inputs[0]), axes)
    result = draft.activation(draft.network.tensor(operator.outputs[0]))
    draft.operators.append(TfliteOperator(BuiltinOperator.MEAN, inputs, (result,), ((0, "bool", 1),)))


def _emit_activation(draft: _Draft, operator: QActivation) -> None:
    tensor = draft.network.tensor(operator.outputs[0])
    draft.clamp(draft.index[operator.inputs[0]], tensor, operator.act_min, operator.act_max)
