# SPDX-License-Identifier: Apache-2.0
"""Files of other tools carry scales alone: whether a network's multipliers are those that follow from its scales."""

from __future__ import annotations

import numpy as np

from mbv2gen import arithmetic
from mbv2gen.errors import Mbv2genError
from mbv2gen.quantized_network import QActivation, QAdd, QFullyConnected, QMean, QOperator, QuantizedNetwork


def check_multipliers(network: QuantizedNetwork, carrier: str) -> None:
    """Raises Mbv2genError naming the first node whose multipliers are others; ``carrier``: "a .tflite"."""
    for operator in network.operators:
        if not _follow_from_scales(network, operator):
            raise Mbv2genError(
                f"{network.source.file}: node '{operator.name}': multipliers do not follow from the scales, "
                f"which are all that {carrier} carries; emit C instead"
            )


def _follow_from_scales(network: QuantizedNetwork, operator: QOperator) -> bool:
    scales = [network.tensor(name).scale for name in operator.inputs]
    out_scale = network.tensor(operator.outputs[0]).scale
    if isinstance(operator, QAdd):
        own = (operator.input_multipliers, operator.input_shifts, operator.output_multiplier, operator.output_shift)
        return arithmetic.add_parameters(scales[0], scales[1], out_scale) == own
    if isinstance(operator, QMean):
        h, w, _ = network.shape(operator.inputs[0])
        return arithmetic.mean_parameters(scales[0], out_scale, h * w) == (operator.multiplier, operator.shift)
    if isinstance(operator, QActivation):
        return True
    is_dense = isinstance(operator, QFullyConnected)
    solve = arithmetic.fully_connected_multiplier if is_dense else arithmetic.conv_multiplier
    multiplier, shift = solve(scales[0], operator.weight_scale, out_scale)
    return np.array_equal(multiplier, operator.multiplier) and np.array_equal(shift, operator.shift)
