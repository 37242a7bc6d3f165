# SPDX-License-Identifier: Apache-2.0
"""A Network with the grids and weight scales of its own file becomes a QuantizedNetwork: nothing is chosen anew.

Weights are divided by their scales, which gives the file's integers back; biases go to TFLite's scale, input times
weights. What TFLite's int8 scheme cannot express is refused, naming the node. Only a tensor that the file does not
quantize takes its range from calibration data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mbv2gen import arithmetic
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Activation, Add, DepthwiseConv2D, FullyConnected, Mean, Network, Operator
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.quantization.calibration import observe
from mbv2gen.quantization.tensor_scales import (
    Weighted,
    channel_rows,
    pixel_input,
    quantized_tensor,
    read_only,
)
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QTensor,
    QuantizedNetwork,
)

BATCH = 8  # pictures a float pass
OFF_GRID = 1e-3  # of a step, that a weight may be off its integer: what float32 does to the product
LARGEST_BIAS = 2.0**31
FLOAT32_STEP = 2.0**-22  # of a float32 that two roundings made
WORST_BIAS = 0.5  # steps of the output, that a bias may lose when it goes to TFLite's scale


def quantize(
    network: Network,
    pictures: Pictures | None,
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
) -> QuantizedNetwork:
    """The file's own int8 network. ``pictures`` are looked at where a tensor has no grid in the file, and only then.

    ``progress`` is told (done, total). Raises Mbv2genError naming the node.
    """
    tensors = _tensors(network, pictures, progress)
    has_pixels = pictures is None or pictures.is_pixels or preprocessing.is_stated
    operators = tuple(_operator(network, operator, tensors) for operator in network.operators)
    return QuantizedNetwork(
        name=network.name,
        tensors=tuple(tensors[tensor.name] for tensor in network.tensors),
        inputs=network.inputs,
        outputs=network.outputs,
        operators=operators,
        blocks=network.blocks,
        model_input=network.model_input,
        model_output=network.model_output,
        pixel_input=pixel_input(preprocessing, tensors[network.inputs[0]], is_given=True) if has_pixels else None,
        source=network.source,
        macs=network.macs,
        is_given=True,
    )


def unquantized(network: Network) -> tuple[str, ...]:
    """The tensors that the file leaves float."""
    return tuple(tensor.name for tensor in network.tensors if tensor.grid is None)


def _tensors(
    network: Network, pictures: Pictures | None, progress: Callable[[int, int], None] | None
) -> dict[str, QTensor]:
    tensors = {
        tensor.name: QTensor(tensor.name, tensor.shape, tensor.grid.scale, tensor.grid.zero_point)
        for tensor in network.tensors
        if tensor.grid is not None
    }
    missing = unquantized(network)
    if not missing:
        return tensors
    if pictures is None:
        made_by = next((item for item in network.operators if item.outputs[0] == missing[0]), None)
        what = f"node {made_by.name!r}: its output" if made_by else f"input {missing[0]!r}: it"
        raise Mbv2genError(
            f"{network.source.file}: {what} is not quantized in the file, as the rest is: "
            "quantize all of the model, or give --calibration, which will say its range"
        )
    tell = progress or (lambda done, total: None)
    observed = observe(network, pictures.batches(BATCH), lambda done: tell(done, len(pictures)))
    for name in missing:
        tensors[name] = quantized_tensor(network, network.tensor(name), observed[name].low, observed[name].high)
    for operator in network.operators:
        if isinstance(operator, Activation) and operator.outputs[0] in missing:
            source, target = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
            tensors[target.name] = replace(source, name=target.name)
    return tensors


def _operator(network: Network, operator: Operator, tensors: Mapping[str, QTensor]) -> QOperator:
    sources, target = [tensors[name] for name in operator.inputs], tensors[operator.outputs[0]]
    if isinstance(operator, Mean):
        pixels = sources[0].shape[0] * sources[0].shape[1]
        parameters = arithmetic.mean_parameters(sources[0].scale, target.scale, pixels)
        return QMean(operator.name, operator.inputs, operator.outputs, *parameters)
    act_range = arithmetic.activation_range(operator.clamp, target.scale, target.zero_point)
    if isinstance(operator, Activation):
        return QActivation(operator.name, operator.inputs, operator.outputs, *act_range)
    if isinstance(operator, Add):
        try:
            rescaling = arithmetic.add_parameters(sources[0].scale, sources[1].scale, target.scale)
        except ValueError as error:
            _refuse(network, operator, str(error))
        return QAdd(operator.name, operator.inputs, operator.outputs, *rescaling, *act_range)
    return _weighted(network, operator, sources[0], target, act_range)


def _weighted(
    network: Network, operator: Weighted, source: QTensor, target: QTensor, act_range: tuple[int, int]
) -> QOperator:
    for rule in RULES:
        found = rule(operator, source, target)
        if found is not None:
            _refuse(network, operator, f"{sentence(rule)} (got {found})")
    assert operator.weight_scale is not None
    rows, bias = np.rint(_weight_steps(operator)), np.rint(_bias_steps(operator, source))
    is_dense = isinstance(operator, FullyConnected)
    multiplier_of = arithmetic.fully_connected_multiplier if is_dense else arithmetic.conv_multiplier
    multiplier, shift = multiplier_of(source.scale, operator.weight_scale, target.scale)
    is_depthwise = isinstance(operator, DepthwiseConv2D)
    weights = (rows.T if is_depthwise else rows).reshape(operator.weights.shape)
    head = (operator.name, operator.inputs, operator.outputs, read_only(weights, np.int8), read_only(bias, np.int32))
    scaling = operator.weight_scale, read_only(multiplier, np.int32), read_only(shift, np.int32)
    if isinstance(operator, FullyConnected):
        return QFullyConnected(*head, *scaling, *act_range)
    made = QDepthwiseConv2D if is_depthwise else QConv2D
    return made(*head, *scaling, operator.window, *act_range)


def weights_are_quantized(operator: Weighted, source: QTensor, target: QTensor) -> str | None:
    """weights must be quantized where activations are, with one scale for all or one an output channel"""
    return "float weights" if operator.weight_scale is None else None


def weights_are_integers(operator: Weighted, source: QTensor, target: QTensor) -> str | None:
    """weights must still be integers once the float operators around their layer are folded in"""
    steps = _weight_steps(operator)
    worst = float(np.abs(steps - np.rint(steps)).max())
    return f"one that is {worst:.2g} of a step off" if worst > OFF_GRID else None


def weights_are_int8(operator: Weighted, source: QTensor, target: QTensor) -> str | None:
    """weights less their zero point must fit int8: quantize them as int8, symmetrically"""
    rows = np.rint(_weight_steps(operator))
    low, high = rows.min(), rows.max()
    return f"{low:g}..{high:g}" if low < -128 or high > 127 else None


def bias_keeps_its_value(operator: Weighted, source: QTensor, target: QTensor) -> str | None:
    """a bias must be an integer of input scale times weight scale, give or take half a step of the output"""
    steps = _bias_steps(operator, source)
    off = np.abs(steps - np.rint(steps))
    off[off <= np.abs(steps) * FLOAT32_STEP] = 0  # the bias is a product in float32
    lost = off * _bias_unit(operator, source) / target.scale
    return f"channel {lost.argmax()}: {lost.max():.2g} steps" if lost.max() > WORST_BIAS else None


def bias_is_int32(operator: Weighted, source: QTensor, target: QTensor) -> str | None:
    """a bias must fit int32 in units of input scale times weight scale"""
    steps = np.abs(_bias_steps(operator, source))
    return f"channel {steps.argmax()}: {steps.max():.3g}" if steps.max() >= LARGEST_BIAS else None


RULES = (weights_are_quantized, weights_are_integers, weights_are_int8, bias_keeps_its_value, bias_is_int32)


def sentence(rule: Callable[..., str | None]) -> str:
    return " ".join((rule.__doc__ or "").split())


def _weight_steps(operator: Weighted) -> NDArray[np.float64]:
    """The weights in units of their scale, [c_out][k]."""
    assert operator.weight_scale is not None
    rows: NDArray[np.float64] = channel_rows(operator) / operator.weight_scale.astype(np.float64)[:, np.newaxis]
    return rows


def _bias_unit(operator: Weighted, source: QTensor) -> NDArray[np.float64]:
    assert operator.weight_scale is not None
    unit: NDArray[np.float64] = source.scale * operator.weight_scale.astype(np.float64)
    return unit


def _bias_steps(operator: Weighted, source: QTensor) -> NDArray[np.float64]:
    """The bias in units of input scale times weight scale, [c_out]."""
    steps: NDArray[np.float64] = operator.bias / _bias_unit(operator, source)
    return steps


def _refuse(network: Network, operator: Operator, reason: str) -> NoReturn:
    raise Mbv2genError(f"{network.source.file}: node {operator.name!r}: {reason}")
