# SPDX-License-Identifier: Apache-2.0
"""Figures of accuracy: pure functions of arrays."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile


def interval_95(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a fraction, within 0..1; ``trials`` >= 1.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    p, z2 = successes / trials, Z_95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def signal_and_noise(wanted: Reals, made: Reals) -> Reals:
    """[n][2]: power of ``wanted`` [n][h][w][c], and of the difference, each less its mean over more than one class."""
    if wanted.shape[3] > 1:
        wanted = wanted - wanted.mean(axis=3, keepdims=True)
        made = made - made.mean(axis=3, keepdims=True)
    return np.stack([(wanted**2).sum(axis=(1, 2, 3)), ((made - wanted) ** 2).sum(axis=(1, 2, 3))], axis=1)


def decibels(powers: Reals) -> Reals:
    """[...] of powers [...][2]: 10 log10 of signal by noise; infinite without noise, nan without both."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Reals = 10 * np.log10(powers[..., 0] / powers[..., 1])
    return result


def ranks(scores: Reals, labels: Integers) -> Integers:
    """[n]: how many classes stand before the right one; ``scores`` [n][classes]. Of equals the first is before."""
    right = np.take_along_axis(scores, labels[:, np.newaxis], axis=1)
    is_earlier = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    before: Integers = ((scores > right) | ((scores == right) & is_earlier)).sum(axis=1)
    return before


def confusion(labels: Integers, chosen: Integers, classes: int) -> Integers:
    """[right class][chosen class]: pictures."""
    counts: Integers = np.bincount(labels * classes + chosen, minlength=classes * classes)
    return counts.reshape(classes, classes)
