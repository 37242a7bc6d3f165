# SPDX-License-Identifier: Apache-2.0
"""Quantizer: a calibrated float Network becomes a QuantizedNetwork, TFLite's int8 scheme, by a recipe.

Operators in the order of execution: weights are rounded, biases corrected; where the recipe measures, each on what
the integer network makes of the pictures up to there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import arithmetic
from mbv2gen.errors import Mbv2genError
from mbv2gen.int8_reference import Weighted as QWeighted
from mbv2gen.network import Activation, Add, DepthwiseConv2D, FullyConnected, Mean, Network
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.progress import Tell
from mbv2gen.quantization import bounds, integer_prefix
from mbv2gen.quantization.bias_correction import like_weights, missing_mean, shift_behind_activation
from mbv2gen.quantization.calibration import Observed, observe
from mbv2gen.quantization.integer_prefix import IntegerPrefix
from mbv2gen.quantization.tensor_scales import Weighted, choose_scales, dequantize, pixel_input, read_only
from mbv2gen.quantization.weight_rounding import (
    EIGHT_BITS,
    FOUR_BITS,
    Grid,
    Rounded,
    input_covariance,
    round_weights,
)
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)

BATCH = 8  # pictures a float pass

Reals: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How a network is quantized; the fields are the methods of docs/quantization.md."""

    least_error_ranges: bool = False
    corrects_bias: bool = True
    measures: bool = False  # bias correction, on the integer prefix
    adapts_rounding: bool = False  # of weights; needs ``measures``
    four_bits: frozenset[str] = frozenset()  # operators whose weights are of 4 bits, rounded adaptively if it measures

    def grid(self, operator: Weighted) -> Grid:
        return FOUR_BITS if operator.name in self.four_bits else EIGHT_BITS


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A float network, its calibration data, and what its tensors hold over that: ``tensors``, by name."""

    network: Network
    data: Pictures
    preprocessing: Preprocessing
    is_synthetic: bool
    tensors: Mapping[str, Observed] = field(default_factory=dict)


def observed(calibrated: Calibrated, tell: Tell | None = None) -> Calibrated:
    """``calibrated`` with its tensors: the network is run on all data."""
    network, data = calibrated.network, calibrated.data
    progress = None if tell is None else lambda done: tell(done, len(data))
    return replace(calibrated, tensors=observe(network, data.batches(BATCH), progress))


def quantize(calibrated: Calibrated, recipe: Recipe, tell: Tell | None = None) -> QuantizedNetwork:
    """``tell`` is told (operators done, all of them). The result is proved free of overflow.

    Raises Mbv2genError where the network cannot be quantized, naming the node.
    """
    draft = _without_operators(calibrated, recipe)
    make = _on_the_prefix if recipe.measures else _by_float_means
    operators = []
    for operator in make(calibrated, draft, recipe):
        operators.append(operator)
        if tell is not None:
            tell(len(operators), len(calibrated.network.operators))
    result = replace(draft, operators=tuple(operators))
    bounds.check(result)
    return result


def _without_operators(calibrated: Calibrated, recipe: Recipe) -> QuantizedNetwork:
    """Scales, zero points and the table of pixels; no operator yet."""
    network, how = calibrated.network, calibrated.preprocessing
    has_pixels = calibrated.data.is_pixels or how.is_stated
    tensors = choose_scales(
        network,
        calibrated.tensors,
        how.interval if has_pixels else None,
        is_synthetic=calibrated.is_synthetic,
        has_least_error=recipe.least_error_ranges,
    )
    return QuantizedNetwork(
        name=network.name,
        tensors=tuple(tensors[tensor.name] for tensor in network.tensors),
        inputs=network.inputs,
        outputs=network.outputs,
        operators=(),
        blocks=network.blocks,
        model_input=network.model_input,
        model_output=network.model_output,
        pixel_input=pixel_input(how, tensors[network.inputs[0]]) if has_pixels else None,
        source=network.source,
        macs=network.macs,
    )


def _by_float_means(calibrated: Calibrated, draft: QuantizedNetwork, recipe: Recipe) -> Iterator[QOperator]:
    for operator in calibrated.network.operators:
        if not isinstance(operator, Weighted):
            yield _unweighted(operator, draft)
            continue
        source, target = draft.tensor(operator.inputs[0]), draft.tensor(operator.outputs[0])
        rounded = round_weights(operator, source, target, grid=recipe.grid(operator))
        bias = operator.bias.astype(np.float64)
        if recipe.corrects_bias:
            mean = calibrated.tensors[operator.inputs[0]].mean
            bias += missing_mean(operator, rounded.real, mean, mean)
        yield _stored(_weighted(operator, draft, rounded, bias), recipe)


def _on_the_prefix(calibrated: Calibrated, draft: QuantizedNetwork, recipe: Recipe) -> Iterator[QOperator]:
    network, data = calibrated.network, calibrated.data
    sample = integer_prefix.sample(data, network)
    means = calibrated.tensors if sample is data else observe(network, sample.batches(BATCH))
    prefix = IntegerPrefix(draft, network, sample)
    for operator in network.operators:
        if not isinstance(operator, Weighted):
            unweighted = _unweighted(operator, draft)
            prefix.extend(unweighted)
            yield unweighted
            continue
        source, target = draft.tensor(operator.inputs[0]), draft.tensor(operator.outputs[0])
        inputs = prefix[source.name]
        adapts = recipe.adapts_rounding or operator.name in recipe.four_bits
        covariance = input_covariance(operator, inputs, source.zero_point) if adapts else None
        rounded = round_weights(operator, source, target, covariance, recipe.grid(operator))
        mean = dequantize(inputs.sum(axis=0, dtype=np.int32) / len(inputs), source)
        bias = operator.bias + missing_mean(operator, rounded.real, means[source.name].mean, mean)
        first = _weighted(operator, draft, rounded, bias)
        acc = prefix.accumulators(first)
        wanted = means[target.name].mean.mean(axis=(0, 1))
        unit = source.scale * rounded.scale.astype(np.float64)
        shift = shift_behind_activation(acc, unit, target, (first.act_min, first.act_max), wanted)
        weighted = _weighted(operator, draft, rounded, bias + shift)
        acc += weighted.bias - first.bias
        prefix.extend(weighted, acc)
        yield _stored(weighted, recipe)


def _stored(operator: QWeighted, recipe: Recipe) -> QWeighted:
    """``operator`` with the bits of its weights."""
    if operator.name not in recipe.four_bits:
        return operator
    assert isinstance(operator, QConv2D | QFullyConnected)
    return replace(operator, weight_bits=4)


def _unweighted(operator: Add | Mean | Activation, draft: QuantizedNetwork) -> QOperator:
    sources, target = [draft.tensor(name) for name in operator.inputs], draft.tensor(operator.outputs[0])
    if isinstance(operator, Mean):
        pixels = sources[0].shape[0] * sources[0].shape[1]
        multiplier, shift = arithmetic.mean_parameters(sources[0].scale, target.scale, pixels)
        return QMean(operator.name, operator.inputs, operator.outputs, multiplier, shift)
    act_min, act_max = arithmetic.activation_range(operator.clamp, target.scale, target.zero_point)
    if isinstance(operator, Activation):
        return QActivation(operator.name, operator.inputs, operator.outputs, act_min, act_max)
    try:
        parameters = arithmetic.add_parameters(sources[0].scale, sources[1].scale, target.scale)
    except ValueError as error:
        raise Mbv2genError(f"{draft.source.file}: node '{operator.name}': {error}") from None
    return QAdd(operator.name, operator.inputs, operator.outputs, *parameters, act_min, act_max)


def _weighted(operator: Weighted, draft: QuantizedNetwork, rounded: Rounded, bias: Reals) -> QWeighted:
    """The operator of these integers; ``bias`` [c_out] is real."""
    source, target = draft.tensor(operator.inputs[0]), draft.tensor(operator.outputs[0])
    bias_steps = np.rint(bias / (source.scale * rounded.scale.astype(np.float64)))
    is_dense = isinstance(operator, FullyConnected)
    multiplier_of = arithmetic.fully_connected_multiplier if is_dense else arithmetic.conv_multiplier
    multiplier, shift = multiplier_of(source.scale, rounded.scale, target.scale)
    act_range = arithmetic.activation_range(operator.clamp, target.scale, target.zero_point)
    head = (operator.name, operator.inputs, operator.outputs)
    weights = read_only(like_weights(operator, rounded.weights), np.int8)
    int_bias = read_only(np.clip(bias_steps, -(2.0**31), 2.0**31 - 1), np.int32)
    scaling = read_only(rounded.scale, np.float32), read_only(multiplier, np.int32), read_only(shift, np.int32)
    if isinstance(operator, FullyConnected):
        return QFullyConnected(*head, weights, int_bias, *scaling, *act_range)
    if isinstance(operator, DepthwiseConv2D):
        return QDepthwiseConv2D(*head, weights, int_bias, *scaling, operator.window, *act_range)
    return QConv2D(*head, weights, int_bias, *scaling, operator.window, *act_range)
