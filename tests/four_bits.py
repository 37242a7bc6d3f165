# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights have 4 bits, made of those of the other tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mbv2gen.network import frozen
from mbv2gen.quantized_network import QConv2D, QFullyConnected, QOperator, QuantizedNetwork


def is_stored_so(operator: QOperator) -> bool:
    """The kinds of layers that can have 4 bits."""
    return isinstance(operator, QFullyConnected) or operator.kind == "pointwise"


def with_four_bits(network: QuantizedNetwork, chosen: Callable[[QOperator], bool] = is_stored_so) -> QuantizedNetwork:
    """``network`` with the weights of ``chosen`` layers at the nearest multiple of 16 between -112 and 112."""
    return replace(network, operators=tuple(_rounded(o) if chosen(o) else o for o in network.operators))


def _rounded(operator: QOperator) -> QOperator:
    assert isinstance(operator, QConv2D | QFullyConnected)
    weights = 16 * np.rint(operator.weights / 16).clip(-7, 7)
    return replace(operator, weights=frozen(weights, np.int8), weight_bits=4)
