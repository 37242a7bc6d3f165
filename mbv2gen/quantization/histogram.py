# SPDX-License-Identifier: Apache-2.0
"""Histogram: how often a tensor's values lie where, for data that comes in batches of unknown range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import FloatArray

BINS = 8192  # over both signs: some ten a step of int8 in the worst case
LEAST_EXPONENT = -100  # of the width of a bin


@dataclass(frozen=True, eq=False)
class Histogram:
    """``counts[i]``, int64 [BINS]: values in [i - BINS / 2, i - BINS / 2 + 1) * width; width is a power of two."""

    counts: NDArray[np.int64]
    exponent: int

    @property
    def width(self) -> float:
        return float(2.0**self.exponent)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin; values from 0 to the width, which nearly all are exact zeros, count as 0."""
        result: NDArray[np.float64] = (np.arange(BINS, dtype=np.float64) - BINS / 2 + 0.5) * self.width
        result[BINS // 2] = 0.0
        return result

    def widened(self, exponent: int) -> Histogram:
        """The same counts in bins of 2**exponent, not less than now."""
        merged = min(1 << min(exponent - self.exponent, 30), BINS // 2)
        counts = np.zeros(BINS, np.int64)
        part = BINS // 2 // merged
        counts[BINS // 2 - part : BINS // 2 + part] = self.counts.reshape(-1, merged).sum(axis=1)
        return Histogram(counts, exponent)


def histogram(values: FloatArray, farthest: float) -> Histogram:
    """Of ``values``, none of them further from 0 than ``farthest``."""
    wanted = int(np.frexp(farthest)[1]) + 1 - int(np.log2(BINS)) if farthest > 0 else LEAST_EXPONENT
    exponent = max(wanted, LEAST_EXPONENT)
    counts = np.zeros(BINS, np.int64)
    scale = np.float32(2.0**-exponent)
    flat = values.reshape(-1)
    for start in range(0, len(flat), 1 << 15):
        places = flat[start : start + (1 << 15)] * scale
        places += np.float32(BINS / 2)
        counts += np.bincount(places.astype(np.intp), minlength=BINS)
    return Histogram(counts, exponent)


def joined(one: Histogram, other: Histogram) -> Histogram:
    """The values of both, in the wider bins of the two."""
    exponent = max(one.exponent, other.exponent)
    return Histogram(one.widened(exponent).counts + other.widened(exponent).counts, exponent)
