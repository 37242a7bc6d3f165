# SPDX-License-Identifier: Apache-2.0
"""Histograms of tensors, and the ranges of least error in them, against plain counting and quantizing."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen.quantization.activation_ranges import least_error_range
from mbv2gen.quantization.histogram import BINS, Histogram, histogram, joined


def of(values: np.ndarray, parts: int = 1) -> Histogram:
    return joined_all(np.array_split(values.astype(np.float32), parts))


def joined_all(parts: list[np.ndarray]) -> Histogram:
    return functools.reduce(joined, (histogram(part, float(np.abs(part).max())) for part in parts))


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    """Of int8 values over the range; the zero point may lie between integers here."""
    step = (high - low) / 255
    steps = np.clip(np.rint((values - low) / step), 0, 255)
    return float((np.where(values == 0, 0, steps * step + low - values) ** 2).sum())


@given(seed=st.integers(0, 1000), scales=st.lists(st.floats(-9, 9), min_size=1, max_size=5))
def test_batches_of_growing_range_count_as_one(seed: int, scales: list[float]) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.normal(size=50) * 10**scale).astype(np.float32) for scale in scales]
    counted, values = joined_all(parts), np.concatenate(parts)
    assert counted.counts.sum() == len(values)
    assert BINS / 8 <= 2 * np.abs(values).max() / counted.width <= BINS
    edges = (np.arange(1, BINS + 1) - BINS / 2) * counted.width
    hair = counted.width / 1000  # float32 may carry a value over an edge that is so near
    below, above = (np.searchsorted(np.sort(values.astype(np.float64)), edges + move) for move in (-hair, hair))
    assert (below <= counted.counts.cumsum()).all()
    assert (counted.counts.cumsum() <= above).all()


def test_zeros_alone_leave_the_bins_fine() -> None:
    counted = joined(histogram(np.zeros(5, np.float32), 0.0), histogram(np.array([1e-9], np.float32), 1e-9))
    assert counted.width < 1e-11
    assert counted.counts.sum() == 6


@pytest.mark.parametrize("is_relu", [False, True])
@pytest.mark.parametrize("tail", [0.0, 1e-4, 1e-2])
def test_the_range_is_as_good_as_the_best_of_many_that_are_tried(is_relu: bool, tail: float) -> None:
    rng = np.random.default_rng(1)
    values = np.where(rng.random(20_000) < tail, rng.normal(0, 12, 20_000), rng.normal(0, 1, 20_000))
    values = np.maximum(values, 0) if is_relu else values
    ends = float(values.min()), float(values.max())
    found = squared_error(values, *least_error_range(of(values), *ends))
    shares = np.linspace(0.3, 1, 30)
    tried = [
        squared_error(values, a * ends[0], b * ends[1]) for a in (shares[-1:] if is_relu else shares) for b in shares
    ]
    assert found <= 1.02 * min(tried)
    assert found <= squared_error(values, *ends) * 1.0001


def test_values_that_are_spread_evenly_are_not_clipped() -> None:
    values = np.linspace(-1, 3, 10_000)
    low, high = least_error_range(of(values, parts=7), -1.0, 3.0)
    assert (low, high) == pytest.approx((-1, 3), rel=0.03)


def test_a_tensor_of_zeros_has_no_range() -> None:
    assert least_error_range(of(np.zeros(9)), 0.0, 0.0) == (0.0, 0.0)
