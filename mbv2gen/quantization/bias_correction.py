# SPDX-License-Identifier: Apache-2.0
"""Bias correction: rounding errors of weights meet inputs that are mostly not negative and add up to a constant.

Analytic: the constant is what the weights' errors make of the mean input, float means alone.
Measured: layer by layer on the integer prefix that is already made, each channel's mean output behind the activation
and the clipping of int8 becomes that of the float network.
Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2;
the mean behind the activation is a refinement of its empirical form (appendix D).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference
from mbv2gen.network import Clamp, DepthwiseConv2D
from mbv2gen.quantization.tensor_scales import Weighted
from mbv2gen.quantized_network import QTensor

Reals = NDArray[np.float64]

LEAST_SHARE = 0.25  # of values that are taken to move with the bias, however many saturate: steps stay small
PART = 1 << 14  # values looked at at once


def missing_mean(operator: Weighted, real_weights: Reals, wanted_input: Reals, made_input: Reals) -> Reals:
    """[c_out]: mean sum of the float weights on ``wanted_input`` less that of ``real_weights`` on ``made_input``.

    Real values, without the bias. Inputs are mean planes [h][w][c]: sums are linear in the input, so that the
    operator is run on its mean, padding and all.
    """
    linear = replace(operator, bias=np.zeros_like(operator.bias), clamp=Clamp())
    means = []
    for weights, plane in ((operator.weights, wanted_input), (like_weights(operator, real_weights), made_input)):
        one = replace(linear, weights=weights.astype(np.float32))
        made = float_reference.apply(one, (plane[np.newaxis].astype(np.float32),))
        means.append(made.mean(axis=(0, 1, 2), dtype=np.float64))
    difference: Reals = means[0] - means[1]
    return difference


def like_weights(operator: Weighted, rows: Reals) -> Reals:
    """[c_out][k] rows in the shape of the operator's weights."""
    return (rows.T if isinstance(operator, DepthwiseConv2D) else rows).reshape(operator.weights.shape)


def shift_behind_activation(
    acc: NDArray[np.int32], unit: Reals, target: QTensor, act_range: tuple[int, int], wanted: Reals
) -> Reals:
    """[c]: what to add to the bias, real, so that the mean output of each channel comes near ``wanted`` [c].

    ``acc`` int32 [n][h][w][c] are accumulators with their bias, ``unit`` [c] what one of them stands for. One step of
    Newton's method: what is missing is added by the values that do not saturate.
    """
    c = len(unit)
    flat = acc.reshape(-1, c)
    factor = (unit / target.scale).astype(np.float32)
    total, inside = np.zeros(c), np.zeros(c)
    rows = max(1, PART // c)
    ones = np.ones(rows, np.float32)
    for first in range(0, len(flat), rows):
        steps = flat[first : first + rows] * factor
        steps += np.float32(target.zero_point)
        clipped = np.minimum(np.maximum(steps, np.float32(act_range[0])), np.float32(act_range[1]))
        total += ones[: len(steps)] @ clipped
        inside += ones[: len(steps)] @ (clipped == steps).astype(np.float32)
    missing = wanted / target.scale + target.zero_point - total / len(flat)
    result: Reals = missing / np.maximum(inside / len(flat), LEAST_SHARE) * target.scale
    return result
