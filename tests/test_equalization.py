"""Equalization: a network with channels scaled up computes what it did, and its channels fill their ranges better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_networks import small_mobilenet

from mbv2gen import float_reference
from mbv2gen.network import Clamp, FloatArray, Network
from mbv2gen.quantization.calibration import observe
from mbv2gen.quantization.equalization import MOST, expansion_factors, rescaled, residual_factors


def pictures(net: Network) -> FloatArray:
    return np.random.default_rng(0).normal(size=(9, *net.shape("x"))).astype(np.float32)


def bottleneck() -> Network:
    """The stem is linear, so that its output, the projection and their sum are one residual group."""
    net = small_mobilenet(np.random.default_rng(1))
    operators = tuple(replace(op, clamp=Clamp()) if op.name == "stem" else op for op in net.operators)
    return replace(net, operators=operators)


@pytest.mark.parametrize("choose", [residual_factors, expansion_factors])
def test_an_equalized_network_computes_the_same(choose) -> None:
    net = bottleneck()
    x = pictures(net)
    factors = choose(net, observe(net, [x]))
    assert any((factor > 1).any() for factor in factors.values())
    assert float_reference.run_outputs(rescaled(net, factors), x) == pytest.approx(
        float_reference.run_outputs(net, x), rel=1e-4, abs=1e-4
    )


def test_tensors_of_one_sum_are_scaled_alike_and_only_where_all_is_linear() -> None:
    net = bottleneck()
    factors = residual_factors(net, observe(net, [pictures(net)]))
    assert set(factors) == {"s", "p", "r", "m"}
    assert all(np.array_equal(factor, factors["s"]) for factor in factors.values())
    usual = small_mobilenet(np.random.default_rng(1))
    assert residual_factors(usual, observe(usual, [pictures(usual)])) == {}


def test_a_bounded_tensor_that_a_sum_reads_is_left_alone() -> None:
    net = small_mobilenet(np.random.default_rng(1))
    assert set(expansion_factors(net, observe(net, [pictures(net)]))) == {"e", "d"}


def test_channels_inside_a_block_are_scaled_into_the_clamp_and_not_over_it() -> None:
    net = bottleneck()
    x = pictures(net)
    before = observe(net, [x])
    factors = expansion_factors(net, before)
    after = observe(rescaled(net, factors), [x])
    assert set(factors) == {"e", "d"}
    for name, factor in factors.items():
        assert (factor >= 1).all()
        assert (factor <= MOST).all()
        assert after[name].high <= 6 + 1e-4
        assert after[name].highs == pytest.approx(before[name].highs * factor, rel=1e-4)
