# SPDX-License-Identifier: Apache-2.0
"""Scale and zero point of every activation, and of the network's input, whose pixels pass through a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import (
    Activation,
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Operator,
    Tensor,
    frozen,
)
from mbv2gen.pixels.preprocessing import Preprocessing, normalise
from mbv2gen.quantization.activation_ranges import least_error_range
from mbv2gen.quantization.calibration import Observed
from mbv2gen.quantized_network import Int8Array, PixelInput, QTensor, QuantizedNetwork

Weighted: TypeAlias = Conv2D | DepthwiseConv2D | FullyConnected

Scalar = TypeVar("Scalar", bound=np.generic)

TIE = 1e-3  # of a step: what float32 may do to a value that lies half-way between two integers
LEAST_PART = 2.0**-20  # of what a tensor can reach: a narrower observed range is taken for none
LEAST_SPAN = 1e-20
MOST_SPAN = 1e20


def choose_scales(
    network: Network,
    observed: Mapping[str, Observed],
    input_interval: tuple[float, float] | None,
    *,
    is_synthetic: bool = False,
    has_least_error: bool = False,
) -> dict[str, QTensor]:
    """A QTensor for every tensor: 255 steps from the least to the greatest observed value, widened to hold 0 exactly.

    ``has_least_error``: the range of least squared error instead, but for the network's input and output.
    ``input_interval`` is what pixels can become, None where only data tells. Where the data is synthetic, a clamp
    such as ReLU6 stands for the range that it allows. An Activation's output shares its input's scale.
    """
    name = network.inputs[0]
    low, high = input_interval or (observed[name].low, observed[name].high)
    tensors = {name: quantized_tensor(network, network.tensor(name), low, high)}
    for operator in network.operators:
        source, target = tensors[operator.inputs[0]], network.tensor(operator.outputs[0])
        if isinstance(operator, Activation):
            tensors[target.name] = QTensor(target.name, target.shape, source.scale, source.zero_point)
            continue
        clamp = Clamp() if isinstance(operator, Mean) else operator.clamp
        seen = observed[target.name]
        low, high = seen.low, seen.high
        if has_least_error and target.name not in network.outputs:
            low, high = least_error_range(seen.histogram, low, high)
        if is_synthetic:
            low, high = (bound if np.isfinite(bound) else end for bound, end in ((clamp.low, low), (clamp.high, high)))
        reachable = _reachable(operator, [tensors[one] for one in operator.inputs])
        if max(high, 0.0) - min(low, 0.0) < reachable * LEAST_PART:
            low, high = max(-reachable, clamp.low), min(reachable, clamp.high)
        tensors[target.name] = quantized_tensor(network, target, low, high)
    return tensors


def quantized_tensor(network: Network, tensor: Tensor, low: float, high: float) -> QTensor:
    """(high - low) / 255 a step, once both ends take in 0; the zero point is the integer nearest to real 0.

    Source: the int8 activations of TFLite's quantization specification. A half (pixels around 127.5) goes down, so
    that pixel - 128 is the value.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low > MOST_SPAN:
        raise Mbv2genError(f"{network.source.file}: tensor '{tensor.name}': range {low:g}..{high:g} is too wide")
    if high - low < LEAST_SPAN:
        low, high = 0.0, 1.0
    zero_point = int(np.ceil(-128 - 255 * low / (high - low) - 0.5 - TIE))
    return QTensor(tensor.name, tensor.shape, float(np.float32((high - low) / 255)), min(max(zero_point, -128), 127))


def quantize_values(values: NDArray[np.floating], tensor: QTensor) -> Int8Array:
    """Real ``values`` as int8 of ``tensor``: nearest, halves up (also those a hair below), saturated."""
    steps = np.floor(values.astype(np.float64) / tensor.scale + (tensor.zero_point + 0.5 + TIE))
    return np.clip(steps, -128, 127).astype(np.int8)


def quantize_linear(values: NDArray[np.floating], tensor: QTensor) -> Int8Array:
    """Real ``values`` as int8 of ``tensor`` by ONNX's QuantizeLinear: float32 quotient, halves to even, saturated."""
    steps: NDArray[np.float64] = np.rint(values.astype(np.float32) / np.float32(tensor.scale)).astype(np.float64)
    return np.clip(steps + tensor.zero_point, -128, 127).astype(np.int8)


def quantize_input(network: QuantizedNetwork, values: NDArray[np.floating]) -> Int8Array:
    """Real inputs [n][h][w][c] as the network's own int8."""
    tensor = network.tensor(network.inputs[0])
    return quantize_linear(values, tensor) if network.is_given else quantize_values(values, tensor)


def dequantize(values: NDArray[np.generic], tensor: QTensor) -> NDArray[np.float64]:
    """scale * (q - zero point), float64."""
    real: NDArray[np.float64] = tensor.scale * (values.astype(np.float64) - tensor.zero_point)
    return real


def pixel_input(preprocessing: Preprocessing, tensor: QTensor, is_given: bool = False) -> PixelInput:
    """The table of every channel: what each of the 256 pixels becomes in the input tensor.

    Where the tensor's scale ``is_given`` by the file, in the float32 arithmetic of a model in ONNX.
    """
    pixels = np.broadcast_to(np.arange(256)[:, np.newaxis], (256, len(preprocessing.mean)))
    if is_given:
        table = quantize_linear(normalise(pixels, preprocessing.mean, preprocessing.std), tensor)
    else:
        table = quantize_values((pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std), tensor)
    return PixelInput(
        table=read_only(table.T, np.int8),
        mean=preprocessing.mean,
        std=preprocessing.std,
        resize=preprocessing.resize,
        colour=preprocessing.colour,
    )


def farthest(tensor: QTensor) -> float:
    """The greatest magnitude that int8 values of ``tensor`` stand for."""
    return max(128 + tensor.zero_point, 127 - tensor.zero_point) * tensor.scale


def read_only(array: NDArray[Any], dtype: type[Scalar]) -> NDArray[Scalar]:
    return cast("NDArray[Scalar]", frozen(array, dtype))


def _reachable(operator: Operator, sources: list[QTensor]) -> float:
    """How far from 0 the output can be before its clamp, over all int8 inputs."""
    ends = [farthest(source) for source in sources]
    if isinstance(operator, Add):
        return sum(ends)
    if isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected):
        rows = np.abs(channel_rows(operator).astype(np.float64))
        return float((rows.sum(axis=1) * ends[0] + np.abs(operator.bias.astype(np.float64))).max())
    return ends[0]


def channel_rows(operator: Weighted) -> NDArray[np.float32]:
    """The weights as [c_out][everything that one output channel sums over]."""
    if isinstance(operator, DepthwiseConv2D):
        return operator.weights.reshape(-1, operator.weights.shape[2]).T
    return operator.weights.reshape(len(operator.weights), -1)
