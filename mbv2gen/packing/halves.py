# SPDX-License-Identifier: Apache-2.0
"""Halves: weights of 4 bits read back from the bytes of the portable kernels. Shares no code with packing/tables.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbv2gen.quantized_network import Int8Array

BODIES = ("conv_1x1_s4", "conv_1x1_lines_s4", "fully_connected_s4")  # that read them


def decoded(table: NDArray[np.generic], channels: int) -> Int8Array:
    """[channels * k]: 16 times what stands in the halves of the bytes, two channels a byte, the first in the low half.

    Empty, which no layer's weights are, where an odd last channel does not stand in both halves of its bytes.
    """
    pairs = table.astype(np.int64).reshape((channels + 1) // 2, -1)
    high = pairs >> 4
    low = pairs - 16 * high
    low = np.where(low > 7, low - 16, low)
    if channels % 2 and not np.array_equal(low[-1], high[-1]):
        return np.zeros(0, np.int8)
    both = np.stack([low, high], axis=1).reshape(2 * len(pairs), -1)
    return (16 * both[:channels]).astype(np.int8).reshape(-1)
