# SPDX-License-Identifier: Apache-2.0
"""Equalization: channels scaled up in the float network so that they use more of the int8 steps of their tensor.

What a layer writes larger, the next one takes with smaller weights, so that the network stays the same. Whether the
result is better after quantization depends on the network: it is tried, not taken for granted.
Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1,
here by the ranges of activations, which are per tensor, and not of weights, which are per channel already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Operator,
    float32,
)
from mbv2gen.quantization.calibration import Observed

MOST = 8.0  # no channel is scaled by more
WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)  # what divides by the factors of its input

Reals: TypeAlias = NDArray[np.float64]
Factors: TypeAlias = dict[str, Reals]  # by tensor, [c], all positive


def equalizing_factors(network: Network, observed: Mapping[str, Observed]) -> Factors:
    """For tensors without activation between blocks, those of one residual sum together: ranges made more alike.

    A channel goes half the way (in ratio) to the widest: what it gains in steps, the weights that read it lose.
    """
    factors: Factors = {}
    for group in _linear_groups(network):
        reach = np.max([np.maximum(-observed[name].lows, observed[name].highs) for name in group], axis=0)
        factors |= dict.fromkeys(group, np.sqrt(_up_to_the_widest(reach)))
    return factors


def rescaled(network: Network, factors: Mapping[str, Reals]) -> Network:
    """The same network, but that each channel of each tensor of ``factors`` holds so many times its value.

    Exact in real numbers, as no tensor of ``factors`` has a clamp.
    """
    ones = {tensor.name: np.ones(tensor.shape[2]) for tensor in network.tensors}
    known = {**ones, **factors}
    operators = tuple(_rescaled(operator, known) for operator in network.operators)
    return replace(network, operators=operators)


def _rescaled(operator: Operator, factors: Mapping[str, Reals]) -> Operator:
    reads, writes = factors[operator.inputs[0]], factors[operator.outputs[0]]
    if isinstance(operator, DepthwiseConv2D):
        weights = operator.weights * (writes / reads)
    elif isinstance(operator, Conv2D | FullyConnected):
        rows = operator.weights.reshape(len(operator.bias), -1, len(reads)) / reads * writes[:, None, None]
        weights = rows.reshape(operator.weights.shape)
    else:
        return operator
    return replace(operator, weights=float32(weights), bias=float32(operator.bias * writes))


def _up_to_the_widest(reach: Reals) -> Reals:
    """[c]: the widest reach over each, from 1 to MOST; 1 for channels that are always 0."""
    return np.where(reach > 0, np.clip(reach.max() / np.maximum(reach, 1e-30), 1.0, MOST), 1.0)


def _linear_groups(network: Network) -> list[list[str]]:
    """Tensors tied by additions and means, all made without activation, all read by what is linear."""
    group_of = {tensor.name: [tensor.name] for tensor in network.tensors}
    for operator in network.operators:
        if isinstance(operator, Add | Mean):
            names = (*operator.inputs, *operator.outputs)
            joined = sorted({name for tied in names for name in group_of[tied]})
            group_of |= dict.fromkeys(joined, joined)
    unique = {group[0]: group for group in group_of.values()}.values()
    return [group for group in unique if all(_is_linear(network, name) for name in group)]


def _is_linear(network: Network, name: str) -> bool:
    makers = [operator for operator in network.operators if name in operator.outputs]
    plain = all(
        isinstance(maker, Mean) or (isinstance(maker, Add | Conv2D | FullyConnected) and maker.clamp.is_identity)
        for maker in makers
    )
    readers = [operator for operator in network.operators if name in operator.inputs]
    is_inner = name not in (*network.inputs, *network.outputs)
    return plain and is_inner and all(isinstance(reader, (*WEIGHTED, Add, Mean)) for reader in readers)
