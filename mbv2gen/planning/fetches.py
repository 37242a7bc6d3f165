# SPDX-License-Identifier: Apache-2.0
"""Fetches: how many bytes of weights an inference reads from flash, by how the kernels' inner loops go."""

from __future__ import annotations

from mbv2gen.planning.kernels import Candidate, band, rows_made, units
from mbv2gen.planning.layouts import Planes, PlaneTiles
from mbv2gen.quantized_network import (
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QOperator,
    QuantizedNetwork,
    weight_bits,
)


def weights_fetched(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> int:
    """Bytes of weights that an inference reads; biases, multipliers and what a stream adds are not counted."""
    return sum(times * size for times, size in readings(network, chosen).values())


def readings(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> dict[str, tuple[int, int]]:
    """Operator -> how often all its weights are read, and their bytes.

    A kernel reads them once a group of ``contract.pixels`` output pixels; groups do not go beyond a row, or a band of
    rows where a unit makes one.
    """
    result = {}
    for operator, candidate in zip(network.operators, chosen, strict=True):
        if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
            shape = network.shape(operator.outputs[0])
            rows = _rows_a_unit(candidate, operator, network)
            groups = -(-rows * shape[1] // candidate.contract.pixels)
            made = rows_made(candidate.output_layout, shape)
            result[operator.name] = made // rows * groups, int(operator.weights.size) * weight_bits(operator) // 8
    return result


def _rows_a_unit(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """Rows of the output that a unit makes; where channels come in groups, of a group of them."""
    layout, shape = candidate.output_layout, network.shape(operator.outputs[0])
    if isinstance(layout, Planes | PlaneTiles):
        return layout.band(shape)
    if isinstance(candidate.input_layout, PlaneTiles):
        return band(candidate, operator, network)
    return max(1, shape[0] // units(candidate, operator, network))
