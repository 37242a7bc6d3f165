# SPDX-License-Identifier: Apache-2.0
"""The solver's parameters against TFLite's double rounding, accumulator by accumulator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_builder import NONE, POINTWISE, NetworkBuilder
from small_models import write_network
from toy_network import needs_host_compiler

from mbv2gen import int8_reference
from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.dsp.ranges import Reach
from mbv2gen.dsp.requantization import solve, solve_add, thresholds
from mbv2gen.hardware.execution import HOST
from mbv2gen.network import Clamp
from mbv2gen.pixels import network_inputs
from mbv2gen.verification import verify

EVERY = np.arange(-128, 128).astype(np.int8)


def wanted(acc, multiplier, right):
    """uint8 output with zero point 0, by TFLite's arithmetic."""
    return multiply_by_quantized_multiplier(acc, multiplier, -right).clip(0, 255)


def made(acc, scale, solution, k, common_shift):
    y = (acc << scale) + solution.bias_step[k]
    assert np.abs(y).max() < 1 << 31
    return (y * solution.multiplier[k] >> 32 >> common_shift).clip(0, 255)


def channels(rng: np.random.Generator, n: int, right: tuple[int, int]):
    """n random channels whose outputs move over the whole of 0..255 or a part of it."""
    multiplier, shift = rng.integers(1 << 30, 1 << 31, n), rng.integers(right[0], right[1] + 1, n)
    span = (300 * rng.random(n) * 2.0 ** (shift + 1)).astype(np.int64) + 1
    low = -(span * rng.random(n)).astype(np.int64)
    return multiplier, shift, Reach(low, low + span)


def test_thresholds_are_where_tflite_passes_each_output() -> None:
    rng = np.random.default_rng(0)
    multiplier, right = rng.integers(1 << 30, 1 << 31, 400), rng.integers(1, 24, 400)
    multiplier[:2] = 1 << 30, (1 << 31) - 1
    cross, t = thresholds(multiplier, right), np.arange(1, 256)
    m, r = multiplier[:, None], right[:, None]
    usable = cross < 1 << 31
    assert (multiply_by_quantized_multiplier(cross, m, -r) >= t)[usable].all()
    assert (multiply_by_quantized_multiplier(cross - 1, m, -r) < t)[usable].all()


@pytest.mark.parametrize(("scale", "common_shift", "right"), [(8, 11, (4, 10)), (8, 9, (2, 9)), (7, 9, (3, 8))])
def test_solved_channels_equal_tflite_on_every_accumulator(scale, common_shift, right) -> None:
    multiplier, shift, reach = channels(np.random.default_rng(scale), 60, right)
    found = solve(multiplier, shift, scale, reach, common_shift=common_shift)
    assert found.solved.sum() > 40
    for k in np.flatnonzero(found.solved):
        acc = np.arange(reach.low[k], reach.high[k] + 1)
        np.testing.assert_array_equal(
            made(acc, scale, found, k, common_shift), wanted(acc, multiplier[k], shift[k]), err_msg=f"channel {k}"
        )


@given(
    st.tuples(st.integers(1 << 30, (1 << 31) - 1), st.integers(1, 12)),
    st.integers(7, 8),
    st.sampled_from([9, 11]),
    st.tuples(st.integers(-(1 << 19), 1 << 19), st.integers(0, 3000)),
)
def test_a_solution_holds_on_any_range_however_narrow(channel, scale, common_shift, reach) -> None:
    (multiplier, right), (low, span) = channel, reach
    arrays = (np.array([v], np.int64) for v in channel)
    reaches = Reach(np.array([low]), np.array([low + span]))
    found = solve(*arrays, scale, reaches, common_shift=common_shift)
    if found.solved[0]:
        acc = np.arange(low, low + span + 1)
        np.testing.assert_array_equal(made(acc, scale, found, 0, common_shift), wanted(acc, multiplier, right))


def test_channels_out_of_the_bodies_reach_come_back_unsolved() -> None:
    reach = Reach(np.array([0, -(1 << 23), -5, 0]), np.array([1 << 14, 10, 1 << 14, 1 << 20]))
    arrays = np.array([1 << 30] * 4), np.array([3, 8, 8, 24])
    found = solve(*arrays, 8, reach, common_shift=11)
    assert found.solved.tolist() == [False, False, True, False]


def test_right_shifts_of_trained_layers_are_solved_whatever_the_multiplier() -> None:
    """Depthwise 2..7, pointwise 4..8: accumulators whose outputs move over the whole of 0..255 among them."""
    for scale, common_shift, right in ((8, 9, (2, 7)), (8, 11, (4, 8))):
        multiplier, shift, reach = channels(np.random.default_rng(2), 300, right)
        assert solve(multiplier, shift, scale, reach, common_shift=common_shift).solved.sum() > 295


def add_network(rng: np.random.Generator, ratio: float, clamp: Clamp = NONE, **fixed):
    b = NetworkBuilder(rng)
    left = b.input((256, 256, 1), int(rng.integers(-128, 128)), scale=0.03)
    right = b.activation(left, "right", -128, 127)
    scale, zero_point = float(np.float32(0.03 * ratio)), int(rng.integers(-128, 128))
    b.tensors["right"] = replace(b.tensors["right"], scale=scale, zero_point=zero_point)
    b.add(left, right, "y", clamp, **fixed)
    return b.network("add", "y")


def test_the_add_equals_tflite_on_all_pairs() -> None:
    rng = np.random.default_rng(22)
    found = 0
    grids = [np.broadcast_to(v, (256, 256))[None, :, :, None] for v in (EVERY[:, None], EVERY[None])]
    for _ in range(30):
        network = add_network(rng, float(np.exp(rng.uniform(-1, 1))))
        c = solve_add(network, network.operators[-1])
        if c is None:
            continue
        found += 1
        v = c.a * EVERY[:, None].astype(np.int64) + c.b * EVERY[None].astype(np.int64) + c.c
        assert np.abs(v).max() < 1 << 31
        target = int8_reference.evaluate_operator(network, network.operators[-1], grids)[0, :, :, 0]
        np.testing.assert_array_equal((v >> 22).clip(-128, 127), target)
    assert found >= 25


def test_an_add_that_clamps_within_int8_has_no_coefficients() -> None:
    network = add_network(np.random.default_rng(1), 1.0, Clamp(0.0, 2.0), scale=0.05, zero_point=0)
    assert network.operators[-1].act_min == 0
    assert solve_add(network, network.operators[-1]) is None


@needs_host_compiler
def test_an_add_is_exact_to_the_end_of_rows_that_are_no_multiple_of_four(tmp_path: Path) -> None:
    """What the fast body leaves of a row, one to three values, is added in C: with the same shift."""
    b = NetworkBuilder(np.random.default_rng(4))
    x = b.conv(b.input((9, 5, 8), -3, scale=0.03), "a", 3, POINTWISE, NONE)
    b.block("a", "Layer", "layer")
    b.add(x, b.conv(x, "b", 3, POINTWISE, NONE), "y")
    b.block("y", "InvertedResidual", "project", "residual")
    network = b.network("rest", "y")
    assert solve_add(network, network.operators[-1]) is not None
    folder = write_network(network, tmp_path / "out")
    assert b"mbv2_add_s8_dsp" in (folder.path / "rest.c").read_bytes()
    result = verify(folder, HOST, iter([network_inputs.synthetic(network, 40)]), 40)
    assert result.difference is None
