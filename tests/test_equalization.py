# SPDX-License-Identifier: Apache-2.0
"""Equalization: a network with channels scaled up computes what it did, and its channels fill their ranges better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_networks import small_mobilenet

from mbv2gen import float_reference
from mbv2gen.network import Clamp, FloatArray, Network
from mbv2gen.quantization.calibration import observe
from mbv2gen.quantization.equalization import MOST, equalizing_factors, rescaled


def pictures(net: Network) -> FloatArray:
    return np.random.default_rng(0).normal(size=(9, *net.shape("x"))).astype(np.float32)


def bottleneck() -> Network:
    """The stem is linear, so that its output, the projection and their sum are one residual group."""
    net = small_mobilenet(np.random.default_rng(1))
    operators = tuple(replace(op, clamp=Clamp()) if op.name == "stem" else op for op in net.operators)
    return replace(net, operators=operators)


def test_an_equalized_network_computes_the_same_and_its_channels_are_more_alike() -> None:
    net = bottleneck()
    x = pictures(net)
    before = observe(net, [x])
    factors = equalizing_factors(net, before)
    after = observe(rescaled(net, factors), [x])
    assert any((factor > 1).any() for factor in factors.values())
    reaches = []
    for seen in (before, after):
        reaches.append(np.max([np.maximum(-seen[name].lows, seen[name].highs) for name in factors], axis=0))
    factor = factors["s"]
    assert reaches[1] == pytest.approx(reaches[0] * factor, rel=1e-4)
    assert reaches[1].max() / reaches[1].min() < reaches[0].max() / reaches[0].min()
    assert (factor >= 1).all()
    assert (factor <= MOST).all()
    assert float_reference.run_outputs(rescaled(net, factors), x) == pytest.approx(
        float_reference.run_outputs(net, x), rel=1e-4, abs=1e-4
    )


def test_tensors_of_one_sum_are_scaled_alike_and_only_where_all_is_linear() -> None:
    net = bottleneck()
    factors = equalizing_factors(net, observe(net, [pictures(net)]))
    assert set(factors) == {"s", "p", "r", "m"}
    assert all(np.array_equal(factor, factors["s"]) for factor in factors.values())
    usual = small_mobilenet(np.random.default_rng(1))
    assert equalizing_factors(usual, observe(usual, [pictures(usual)])) == {}
