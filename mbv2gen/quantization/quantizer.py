"""Quantizer: a float Network and pictures become a QuantizedNetwork, TFLite's int8 scheme.

Ranges are the least and greatest values observed. Then, operator by operator on the integer prefix that is already
made, weights are rounded and the bias is corrected so that the mean of the integer accumulator of every channel is
the float one's (empirical bias correction): rounding errors of weights meet inputs that are mostly not negative
and would add up to a constant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import arithmetic, float_reference, int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import (
    Activation,
    Add,
    Clamp,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Operator,
)
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.quantization import bounds
from mbv2gen.quantization.calibration import observe, synthetic
from mbv2gen.quantization.tensor_scales import (
    Weighted,
    channel_rows,
    choose_scales,
    dequantize,
    farthest,
    pixel_input,
    quantize_values,
    read_only,
)
from mbv2gen.quantized_network import (
    Int8Array,
    PixelInput,
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
CHUNK_ELEMENTS = 1 << 18  # of an operator's larger side, for an integer pass: temporaries stay near the cache
PREFIX_BYTES = 1 << 29  # int8 activations of the prefix that are held at once
PREFIX_PICTURES = 32  # held at least
LEAST_MULTIPLIER = 2.0**-22  # output steps an accumulator unit; below it rounding no longer shows in int8
LEAST_MULTIPLIER_OF_CONSTANT = 2.0**-14  # of a channel whose weights do not matter: its bias stays below 2**22
ACCUMULATOR_LIMIT = 1 << 29  # half of what kernels that double the accumulator can take; the rest is for corrections

Means: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class _Rounded:
    """Weights [c_out][k], int8 values in float64, and their scale [c_out], float32."""

    weights: NDArray[np.float64]
    scale: NDArray[np.float32]


def quantize(
    network: Network,
    pictures: Pictures | None,
    preprocessing: Preprocessing,
    progress: Callable[[int, int], None] | None = None,
) -> QuantizedNetwork:
    """Calibrate on ``pictures`` (None: synthetic ones, of which the caller warns) and quantize.

    ``progress`` is told (done, total). The result is proved free of overflow (:mod:`mbv2gen.bounds`). Raises
    Mbv2genError where the data or the network cannot be quantized, naming the node.
    """
    data = synthetic(network, preprocessing) if pictures is None else pictures
    total = len(data) + len(network.operators)
    tell = progress or (lambda done, total: None)
    observed = observe(network, data.batches(BATCH), lambda done: tell(done, total))
    has_pixels = data.is_pixels or preprocessing.is_stated
    interval = preprocessing.interval if has_pixels else None
    tensors = choose_scales(network, observed, interval, is_synthetic=pictures is None)
    input_tensor = tensors[network.inputs[0]]
    pixels = pixel_input(preprocessing, input_tensor) if has_pixels else None
    draft = _without_operators(network, tensors, pixels)

    sample = _prefix_sample(data, network)
    float_means = observed if sample is data else observe(network, sample.batches(BATCH))
    values = {input_tensor.name: _integer_input(sample, input_tensor, pixels)}
    unread = Counter(name for operator in network.operators for name in operator.inputs)
    operators: list[QOperator] = []
    for index, operator in enumerate(network.operators):
        inputs = [values[name] for name in operator.inputs]
        means = float_means[operator.inputs[0]].mean, dequantize(_mean(inputs[0]), tensors[operator.inputs[0]])
        quantized = _quantize_operator(network, operator, tensors, means)
        operators.append(quantized)
        values[operator.outputs[0]] = _evaluate(draft, quantized, inputs)
        for name in operator.inputs:
            unread[name] -= 1
            if not unread[name]:
                values.pop(name, None)
        tell(len(data) + index + 1, total)
    result = replace(draft, operators=tuple(operators))
    bounds.check(result)
    return result


def _without_operators(network: Network, tensors: Mapping[str, QTensor], pixels: PixelInput | None) -> QuantizedNetwork:
    return QuantizedNetwork(
        name=network.name,
        tensors=tuple(tensors[tensor.name] for tensor in network.tensors),
        inputs=network.inputs,
        outputs=network.outputs,
        operators=(),
        blocks=network.blocks,
        model_input=network.model_input,
        model_output=network.model_output,
        pixel_input=pixels,
        source=network.source,
        macs=network.macs,
    )


def _prefix_sample(data: Pictures, network: Network) -> Pictures:
    """The pictures that the integer prefix is run on: all, or as many evenly spaced ones as memory holds."""
    count = max(PREFIX_PICTURES, PREFIX_BYTES // _live_bytes(network))
    return data if count >= len(data) else data.subset([index * len(data) // count for index in range(count)])


def _integer_input(sample: Pictures, tensor: QTensor, pixels: PixelInput | None) -> Int8Array:
    """The pictures as the integer net gets them, int8 [n][h][w][c]."""
    if sample.is_pixels and pixels is not None:
        channel = np.arange(tensor.shape[2])
        return np.concatenate([pixels.table[channel, batch] for batch in sample.pixels(BATCH)])
    return np.concatenate([quantize_values(batch, tensor) for batch in sample.batches(BATCH)])


def _live_bytes(network: Network) -> int:
    """Most bytes of int8 activations of one picture that are alive at once."""
    sizes = {tensor.name: int(np.prod(tensor.shape)) for tensor in network.tensors}
    last = {name: index for index, operator in enumerate(network.operators) for name in operator.inputs}
    alive, most = set(network.inputs), 1
    for index, operator in enumerate(network.operators):
        alive |= set(operator.outputs)
        most = max(most, sum(sizes[name] for name in alive))
        alive -= {name for name in operator.inputs if last[name] == index}
    return most


def _mean(values: Int8Array) -> NDArray[np.float64]:
    """Mean over the pictures, [h][w][c]."""
    mean: NDArray[np.float64] = values.sum(axis=0, dtype=np.int32) / len(values)
    return mean


def _evaluate(draft: QuantizedNetwork, operator: QOperator, inputs: list[Int8Array]) -> Int8Array:
    largest = max(int(np.prod(draft.shape(name))) for name in (*operator.inputs, *operator.outputs))
    step = max(1, CHUNK_ELEMENTS // largest)
    parts = [
        int8_reference.evaluate_operator(draft, operator, [value[start : start + step] for value in inputs])
        for start in range(0, len(inputs[0]), step)
    ]
    return np.concatenate(parts)


def _quantize_operator(network: Network, operator: Operator, tensors: Mapping[str, QTensor], means: Means) -> QOperator:
    """One operator; ``means`` are its first input's, float and integer prefix, real values [h][w][c]."""
    sources, target = [tensors[name] for name in operator.inputs], tensors[operator.outputs[0]]
    if isinstance(operator, Mean):
        pixels = sources[0].shape[0] * sources[0].shape[1]
        multiplier, shift = arithmetic.mean_parameters(sources[0].scale, target.scale, pixels)
        return QMean(operator.name, operator.inputs, operator.outputs, multiplier, shift)
    act_min, act_max = arithmetic.activation_range(operator.clamp, target.scale, target.zero_point)
    if isinstance(operator, Activation):
        return QActivation(operator.name, operator.inputs, operator.outputs, act_min, act_max)
    if isinstance(operator, Add):
        try:
            parameters = arithmetic.add_parameters(sources[0].scale, sources[1].scale, target.scale)
        except ValueError as error:
            raise Mbv2genError(f"{network.source.file}: node '{operator.name}': {error}") from None
        return QAdd(operator.name, operator.inputs, operator.outputs, *parameters, act_min, act_max)
    return _quantize_weighted(operator, sources[0], target, means, (act_min, act_max))


def _quantize_weighted(
    operator: Weighted, source: QTensor, target: QTensor, means: Means, act_range: tuple[int, int]
) -> QOperator:
    rounded = _round_weights(operator, source, target)
    bias = operator.bias.astype(np.float64) + _missing_mean(operator, rounded, means)
    bias_steps = np.rint(bias / (source.scale * rounded.scale.astype(np.float64)))
    is_dense = isinstance(operator, FullyConnected)
    multiplier_of = arithmetic.fully_connected_multiplier if is_dense else arithmetic.conv_multiplier
    multiplier, shift = multiplier_of(source.scale, rounded.scale, target.scale)
    head = (operator.name, operator.inputs, operator.outputs)
    weights = read_only(_like_weights(operator, rounded.weights), np.int8)
    int_bias = read_only(np.clip(bias_steps, -(2.0**31), 2.0**31 - 1), np.int32)
    scaling = read_only(rounded.scale, np.float32), read_only(multiplier, np.int32), read_only(shift, np.int32)
    if isinstance(operator, FullyConnected):
        return QFullyConnected(*head, weights, int_bias, *scaling, *act_range)
    if isinstance(operator, DepthwiseConv2D):
        return QDepthwiseConv2D(*head, weights, int_bias, *scaling, operator.window, *act_range)
    return QConv2D(*head, weights, int_bias, *scaling, operator.window, *act_range)


def _round_weights(operator: Weighted, source: QTensor, target: QTensor) -> _Rounded:
    """Symmetric -127..127 a channel, the largest weight on 127.

    A channel's scale is widened where its weights are (nearly) zero, so that an accumulator unit is no less than
    2**-22 output steps (2**-14 where all weights together move the output by less than 1/256 step), and where bias
    and weights would not fit the accumulator. What is lost is far below one step of the output, and a channel that
    is only a constant keeps it.
    """
    rows = channel_rows(operator).astype(np.float64)
    part = np.abs(rows).sum(axis=1) * farthest(source)
    least = np.where(part < target.scale / 256, LEAST_MULTIPLIER_OF_CONSTANT, LEAST_MULTIPLIER)
    worst = np.abs(operator.bias.astype(np.float64)) + part
    limits = np.maximum(least * target.scale, worst / ACCUMULATOR_LIMIT) / source.scale
    scale = np.maximum(np.abs(rows).max(axis=1) / 127, limits).astype(np.float32)
    weights = np.clip(np.rint(rows / scale.astype(np.float64)[:, np.newaxis]), -127, 127)
    return _Rounded(weights, scale)


def _missing_mean(operator: Weighted, rounded: _Rounded, means: Means) -> NDArray[np.float64]:
    """[c_out]: mean float accumulator less mean integer one, real values, without the bias.

    Both are linear in the input, so that the mean input is enough: the operator is run on it, padding and all.
    """
    real_weights = _like_weights(operator, rounded.weights * rounded.scale.astype(np.float64)[:, np.newaxis])
    linear = replace(operator, bias=np.zeros_like(operator.bias), clamp=Clamp())
    wanted, made = (
        float_reference.apply(
            replace(linear, weights=weights.astype(np.float32)), (mean[np.newaxis].astype(np.float32),)
        )
        for weights, mean in ((operator.weights, means[0]), (real_weights, means[1]))
    )
    difference: NDArray[np.float64] = wanted.mean(axis=(0, 1, 2), dtype=np.float64) - made.mean(
        axis=(0, 1, 2), dtype=np.float64
    )
    return difference


def _like_weights(operator: Weighted, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """[c_out][k] rows in the shape of the operator's weights."""
    return (rows.T if isinstance(operator, DepthwiseConv2D) else rows).reshape(operator.weights.shape)
