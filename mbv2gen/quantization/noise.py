"""Noise: how far int8 values are from the float ones, as powers that add up over pictures, and in decibels."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]


def powers(wanted: NDArray[np.floating], made: NDArray[np.floating], *, is_centred: bool = False) -> Reals:
    """[n][2]: for each picture of [n][h][w][c] the power of ``wanted``, and of the difference.

    ``is_centred``: each less its mean over the channels, as a softmax or the choice of a class sees it.
    """
    signal = wanted.astype(np.float64)
    noise = made - signal
    if is_centred and signal.shape[3] > 1:
        signal = signal - signal.mean(axis=3, keepdims=True)
        noise = noise - noise.mean(axis=3, keepdims=True)
    return np.stack([(signal**2).sum(axis=(1, 2, 3)), (noise**2).sum(axis=(1, 2, 3))], axis=1)


def ratio_db(signal: float, noise: float) -> float | None:
    """Signal-to-noise ratio in dB; None where there is no signal or no noise."""
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None
