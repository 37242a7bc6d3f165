# SPDX-License-Identifier: Apache-2.0
"""Packing: weights and per-channel parameters in the order in which a kernel reads them.

Each function takes an operator and its input's zero point and returns the tables of its kernel. Where a kernel says
that it folds the zero point, bias' = bias - zero_point * sum(w): then the kernel multiplies raw int8 values. The bound
checker has proved that bias' fits, because it is the accumulator of an input that is all raw zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QFullyConnected, QOperator, weight_bits

Weighted: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected


@dataclass(frozen=True)
class Table:
    """A const array in flash; values are flat, of the C type's width. Of its bytes ``weights_bytes`` are weights, the
    others parameters of channels."""

    field: str
    ctype: str
    values: NDArray[np.generic]
    weights_bytes: int = 0


SUMS_OVER_CHANNELS = frozenset(
    f"{kernel}_{weights}" for kernel in ("conv_1x1", "conv_1x1_lines", "fully_connected") for weights in ("s8", "s4")
)


def pack(body: str, operator: QOperator, zero_point: int) -> tuple[Table, ...]:
    """The tables of ``operator`` for the kernel ``body``; none where the operator has no weights."""
    if not isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
        return ()
    weights, folds = _ordered(body, operator)
    bias = operator.bias.astype(np.int64)
    if folds:
        bias = bias - zero_point * weights.astype(np.int64).reshape(len(bias), -1).sum(axis=1)
    assert np.abs(bias).max(initial=0) < 1 << 31, "the bound checker lets no such channel pass"
    stored = _halves(weights.reshape(len(bias), -1)) if weight_bits(operator) == 4 else weights.reshape(-1)
    return (
        Table("weights", "int8_t", stored, stored.size),
        Table("bias", "int32_t", bias.astype(np.int32)),
        Table("multiplier", "int32_t", operator.multiplier),
        Table("shift", "int8_t", operator.shift.astype(np.int8)),
    )


def _halves(rows: NDArray[np.int8]) -> NDArray[np.int8]:
    """Rows [c_out][k] of multiples of 16, two a byte: bits 0..3 of a byte are an even row's weight, bits 4..7 the next
    one's; an odd last row stands in both."""
    low = rows[0::2].view(np.uint8)
    high = np.concatenate([rows[1::2], rows[-1:]])[: len(low)].view(np.uint8)
    return (low >> 4 | high).view(np.int8).reshape(-1)


def _ordered(body: str, operator: Weighted) -> tuple[NDArray[np.int8], bool]:
    """Weights in the kernel's order, and whether it wants the zero point folded into the bias."""
    if body == "depthwise_conv_lines_s8":
        return np.ascontiguousarray(operator.weights.transpose(2, 0, 1)), True  # [c][kernel_h][kernel_w]
    if body in SUMS_OVER_CHANNELS:
        return operator.weights, True  # [c_out][c_in]
    return operator.weights, False  # conv [c_out][kh][kw][c_in], depthwise [kh][kw][c]
