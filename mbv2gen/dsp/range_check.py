# SPDX-License-Identifier: Apache-2.0
"""Range check: the ranges of a network's tensors hold every value they can take. Shares no code with what made them.

By induction over the operators: given the ranges of its inputs, no operator leaves the range of its output. Also the
residual add's coefficients, on all 65,536 pairs of inputs.
"""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp.proof import INT32, Canonical, Ints, double_rounding, in_range, interval, wanted
from mbv2gen.dsp.ranges import Ranges
from mbv2gen.dsp.requantization import AddCoefficients
from mbv2gen.errors import CheckFailed
from mbv2gen.quantized_network import (
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)

ADD_LEFT_SHIFT = 20  # TFLite's
ADD_SHIFT = 22  # the body's


def check_ranges(network: QuantizedNetwork, ranges: Ranges) -> None:
    """Raises CheckFailed, naming the first tensor that can take a value outside its range."""
    for name in network.inputs:
        _require(ranges, name, -128, 127)
    for operator in network.operators:
        low, high = _image(network, operator, ranges)
        _require(ranges, operator.outputs[0], low, high)


def check_add(network: QuantizedNetwork, operator: QAdd, coefficients: AddCoefficients) -> None:
    """Raises CheckFailed unless ssat8((a * q0 + b * q1 + c) >> 22) is TFLite's ADD for every pair, within int32."""
    q = np.arange(-128, 128)
    v = coefficients.a * q[:, np.newaxis] + coefficients.b * q + coefficients.c
    made = (v >> ADD_SHIFT).clip(-128, 127)
    target = _added(network, operator, q[:, np.newaxis], q[np.newaxis])
    bad = np.argwhere((made != target) | (np.abs(v) >= INT32))
    if len(bad):
        i, j = bad[0] - 128
        raise CheckFailed(f"packing check: {operator.name}: the add of {i} and {j} is not TFLite's")


def canonical(
    network: QuantizedNetwork, operator: QConv2D | QDepthwiseConv2D | QFullyConnected, ranges: Ranges
) -> Canonical:
    """``operator`` as rows of products, its accumulators bounded over the inputs' ``ranges`` and padding."""
    source, target = network.tensor(operator.inputs[0]), network.tensor(operator.outputs[0])
    reach = ranges.tensor(source.name)
    low, high = reach.low, reach.high
    if isinstance(operator, QFullyConnected):
        rows = operator.weights.astype(np.int64)
    else:
        w = operator.window
        if max(w.pad_top, w.pad_left, w.pad_bottom, w.pad_right) > 0:
            low, high = low.clip(max=source.zero_point), high.clip(min=source.zero_point)
        rows = operator.weights.astype(np.int64)
        rows = np.moveaxis(rows, 2, 0) if isinstance(operator, QDepthwiseConv2D) else rows
        rows = rows.reshape(len(rows), -1)
    if isinstance(operator, QDepthwiseConv2D):
        low, high = low.reshape(-1, 1), high.reshape(-1, 1)
    else:
        low, high = (np.resize(end, rows.shape[1]) for end in (low, high))
    least, most = interval(rows, low - source.zero_point, high - source.zero_point)
    bias = operator.bias.astype(np.int64)
    return Canonical(
        operator.name,
        rows,
        bias,
        operator.multiplier.astype(np.int64),
        operator.shift.astype(np.int64),
        source.zero_point,
        target.zero_point,
        operator.act_min,
        operator.act_max,
        low,
        high,
        bias + least,
        bias + most,
    )


def _image(network: QuantizedNetwork, operator: QOperator, ranges: Ranges) -> tuple[Ints, Ints]:
    """The least and greatest output of ``operator``, whose every step is monotone in each input, [c]."""
    sources = [ranges.tensor(name) for name in operator.inputs]
    if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
        layer = canonical(network, operator, ranges)
        ends = wanted(layer)(np.stack([layer.low, layer.high], axis=1))
        known = in_range(layer)
        return np.where(known, ends[:, 0], layer.act_min), np.where(known, ends[:, 1], layer.act_max)
    if isinstance(operator, QAdd):
        a, b = sources
        return _added(network, operator, a.low, b.low), _added(network, operator, a.high, b.high)
    if isinstance(operator, QMean):
        h, w, _ = network.shape(operator.inputs[0])
        zero_points = [network.tensor(name).zero_point for name in (operator.inputs[0], operator.outputs[0])]
        multiplier, shift = np.array(operator.multiplier), np.array(operator.shift)
        low, high = (
            (double_rounding(h * w * (end - zero_points[0]), multiplier, shift) + zero_points[1]).clip(-128, 127)
            for end in (sources[0].low, sources[0].high)
        )
        return low, high
    low, high = (end.clip(operator.act_min, operator.act_max) for end in (sources[0].low, sources[0].high))
    return low, high


def _added(network: QuantizedNetwork, operator: QAdd, x: Ints, y: Ints) -> Ints:
    """TFLite's ADD of int8 values."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.int64)
    for i, values in enumerate((x, y)):
        shifted = (values - network.tensor(operator.inputs[i]).zero_point) << ADD_LEFT_SHIFT
        total += double_rounding(shifted, np.array(operator.input_multipliers[i]), np.array(operator.input_shifts[i]))
    scaled = double_rounding(total, np.array(operator.output_multiplier), np.array(operator.output_shift))
    zero_point = network.tensor(operator.outputs[0]).zero_point
    return (scaled + zero_point).clip(operator.act_min, operator.act_max)


def _require(ranges: Ranges, name: str, low: Ints | int, high: Ints | int) -> None:
    reach = ranges.tensor(name)
    bad = np.flatnonzero((reach.low > low) | (reach.high < high))
    if bad.size:
        raise CheckFailed(f"packing check: tensor {name}: channel {bad[0]} can leave its range")
