# SPDX-License-Identifier: Apache-2.0
"""Activation ranges of least error: what clipping costs against what a finer step gains.

Source: the mean squared error criterion for activation ranges, as in M. Nagel et al., "A White Paper on Neural
Network Quantization" (2021), section 3.1, on the histogram of all calibration data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbv2gen.quantization.histogram import Histogram

NARROWEST = 0.3  # of the observed end
CANDIDATES = 71  # from there to the observed end, for each end


def least_error_range(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """The range [a, b] around 0, within the observed ``low``..``high``, of least squared error in 256 int8 values.

    Rounding costs step**2 / 12 a value, but none at exact zeros, which int8 holds; a value outside costs its squared
    distance from the range.
    """
    shares = np.linspace(NARROWEST, 1.0, CANDIDATES)
    lows = shares * low if low < 0 else np.zeros(1)
    highs = shares * high if high > 0 else np.zeros(1)
    x, n = histogram.centres, histogram.counts.astype(np.float64)
    below, above = _beyond(-x[::-1], n[::-1], -lows), _beyond(x, n, highs)
    rounded = n[x != 0].sum()  # a clipped value counts as rounded too: there are few
    step = (highs[np.newaxis, :] - lows[:, np.newaxis]) / 255
    error = rounded * step**2 / 12 + below[:, np.newaxis] + above[np.newaxis, :]
    i, j = np.unravel_index(int(error.argmin()), error.shape)
    return float(lows[i]), float(highs[j])


def _beyond(x: NDArray[np.float64], n: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each end: the sum of n * (x - end)**2 over x > end; ``x`` rises."""
    sums = [np.append(np.cumsum((n * x**power)[::-1])[::-1], 0.0) for power in range(3)]
    first = np.searchsorted(x, ends, side="right")
    result: NDArray[np.float64] = sums[2][first] - 2 * ends * sums[1][first] + ends**2 * sums[0][first]
    return np.maximum(result, 0.0)
