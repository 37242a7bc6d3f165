# SPDX-License-Identifier: Apache-2.0
"""Weight rounding: adaptive rounding against all roundings there are, and H against NumPy's covariance."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen.network import Conv2D, DepthwiseConv2D, FullyConnected, Window
from mbv2gen.quantization.weight_rounding import adapted, input_covariance


def error(rounded: np.ndarray, steps: np.ndarray, h: np.ndarray) -> np.ndarray:
    """[c_out]: (q - s)' H (q - s)"""
    e = rounded - steps
    return np.einsum("ck,...kl,cl->c", e, h, e) if h.ndim == 2 else np.einsum("ck,ckl,cl->c", e, h, e)


def covariance(rng: np.random.Generator, *shape: int) -> np.ndarray:
    factors = rng.normal(size=(*shape, shape[-1] + 2)) * np.exp(rng.normal(size=(*shape, 1)))
    return factors @ np.swapaxes(factors, -1, -2)


@given(seed=st.integers(0, 10_000), limit=st.sampled_from([7, 127]), is_depthwise=st.booleans())
def test_adapted_weights_are_integers_of_the_grid_and_no_worse_than_the_nearest(
    seed: int, limit: int, is_depthwise: bool
) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.uniform(-limit, limit, (5, 6))
    h = covariance(rng, *([5] if is_depthwise else []), 6)
    start = np.rint(steps)
    found = adapted(steps, start, h, limit, ridge=0.0)
    assert (np.abs(found) <= limit).all()
    assert np.array_equal(found, np.rint(found))
    assert (error(found, steps, h) <= error(start, steps, h) * (1 + 1e-9)).all()


def test_adapted_rounding_comes_near_the_best_of_all() -> None:
    """Over 30 channels of 6 weights, each rounded up or down in all 64 ways: most of what can be gained is."""
    rng = np.random.default_rng(2)
    steps, h = rng.uniform(-6, 6, (30, 6)), covariance(rng, 6)
    choices = [np.floor(steps) + np.array(up) for up in product((0, 1), repeat=6)]
    best = np.min([error(choice, steps, h) for choice in choices], axis=0).sum()
    nearest = error(np.rint(steps), steps, h).sum()
    found = error(adapted(steps, np.rint(steps), h, 7, ridge=0.0), steps, h).sum()
    assert found < best + 0.25 * (nearest - best)


def test_many_weights_are_carried_from_block_to_block() -> None:
    rng = np.random.default_rng(3)
    steps, h = rng.uniform(-100, 100, (7, 200)), covariance(rng, 200)
    found = adapted(steps, np.rint(steps), h, 127)
    assert error(found, steps, h).sum() < 0.7 * error(np.rint(steps), steps, h).sum()


def test_inputs_that_are_always_zero_leave_weights_at_the_nearest() -> None:
    steps = np.random.default_rng(4).uniform(-100, 100, (3, 9))
    assert np.array_equal(adapted(steps, np.rint(steps), np.zeros((9, 9)), 127), np.rint(steps))


def test_what_does_not_vary_together_stays_at_the_nearest() -> None:
    rng = np.random.default_rng(5)
    steps = rng.uniform(-100, 100, (4, 8))
    assert np.array_equal(adapted(steps, np.rint(steps), np.diag(rng.uniform(1, 2, 8)), 127), np.rint(steps))


def layer(kind: str) -> Conv2D | DepthwiseConv2D | FullyConnected:
    bias, window = np.zeros(3, np.float32), Window(3, 3, 1, 1, 1, 0, 0, 1)
    if kind == "depthwise":
        return DepthwiseConv2D("l", ("x",), ("y",), np.ones((3, 3, 3), np.float32), bias, window)
    if kind == "dense":
        return FullyConnected("l", ("x",), ("y",), np.ones((3, 5 * 4 * 3), np.float32), bias)
    if kind == "pointwise":
        return Conv2D("l", ("x",), ("y",), np.ones((3, 1, 1, 3), np.float32), bias, Window())
    return Conv2D("l", ("x",), ("y",), np.ones((3, 3, 3, 3), np.float32), bias, window)


@pytest.mark.parametrize("kind", ["conv", "depthwise", "pointwise", "dense"])
def test_h_is_the_covariance_of_what_an_output_sums_over(kind: str) -> None:
    """The oracle walks over windows one by one; padding counts as zero."""
    x = np.random.default_rng(6).integers(-128, 128, (7, 5, 4, 3)).astype(np.int8)
    operator, zero_point = layer(kind), 11
    found = input_covariance(operator, x, zero_point)
    padded = np.pad(x.astype(float) - zero_point, ((0, 0), (1, 0), (0, 1), (0, 0)))
    if kind == "dense":
        rows = x.reshape(7, -1).astype(float)
    elif kind == "pointwise":
        rows = x.reshape(-1, 3).astype(float)
    else:
        windows = [padded[n, i : i + 3, j : j + 3] for n in range(7) for i in range(4) for j in range(3)]
        rows = np.array([window.reshape(-1) for window in windows])
    if kind == "depthwise":
        for c in range(3):
            assert found[c] == pytest.approx(np.cov(rows.reshape(-1, 9, 3)[:, :, c].T, bias=True), rel=1e-3, abs=0.5)
    else:
        assert found == pytest.approx(np.cov(rows.T, bias=True), rel=1e-3, abs=0.5)
