# SPDX-License-Identifier: Apache-2.0
"""Packed streams of the ``dsp`` family: what the bodies make of them is what the int8 reference says."""

from __future__ import annotations

import dsp_emulation
import dsp_networks
import numpy as np
import pytest
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder

from mbv2gen import int8_reference
from mbv2gen.dsp import fully_connected as dsp_fully_connected
from mbv2gen.dsp import packing as dsp_packing
from mbv2gen.dsp import ranges as dsp_ranges
from mbv2gen.dsp.tiles import NOTHING, byte_pairs, expand_pairs
from mbv2gen.network import Clamp, Window

TORCH = Window(3, 3, 1, 1, 1, 1, 1, 1)


def assert_bodies_equal_reference(network, seed: int = 0, most: int | None = None) -> int:
    rng = np.random.default_rng(seed)
    ranges = dsp_ranges.ranges(network)
    packed = 0
    for operator in dsp_networks.weighted(network)[:most]:
        layer = ranges.layer(operator)
        x = dsp_emulation.draws(layer, rng) if layer.inputs.low.ndim == 1 or layer.weights.shape[1] == 9 else None
        for p, run, check in dsp_networks.packings(network, operator, ranges, rng):
            np.testing.assert_array_equal(
                run(x),
                dsp_emulation.reference(network, operator, x),
                err_msg=f"{network.name} {operator.name} {p!r:.300}",
            )
            check()
            packed += 1
    return packed


def test_bodies_equal_the_reference_and_pass_the_check_on_random_networks() -> None:
    assert (
        sum(assert_bodies_equal_reference(network, i) for i, network in enumerate(dsp_networks.random_networks(25)))
        > 100
    )


def test_bodies_equal_the_reference_and_pass_the_check_on_layers_at_the_edges() -> None:
    assert sum(assert_bodies_equal_reference(network) for network in dsp_networks.edges()) > 40


@pytest.mark.parametrize("name", dsp_networks.TRAINED)
def test_bodies_equal_the_reference_and_pass_the_check_on_trained_networks(name: str) -> None:
    assert assert_bodies_equal_reference(dsp_networks.trained(name)) > 100


def relu_network(rng: np.random.Generator, k: int, n: int, **fixed):
    b = NetworkBuilder(rng)
    x = b.input((2, 3, k), -128, scale=0.02)
    b.conv(x, "y", n, POINTWISE, fixed.pop("clamp", RELU6), **{"zero_point": -128, "scale": 6 / 255, **fixed})
    return b.network("one", "y")


def only_layer(network):
    ranges = dsp_ranges.ranges(network)
    return ranges.layer(network.operators[-1])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("k", [1, 3, 8, 13, 16, 30])
def test_any_number_of_channels_packs_to_even_streams_that_hold_each_once(k: int, n: int) -> None:
    network = relu_network(np.random.default_rng(k * n), k, n)
    packed = dsp_packing.pack_relu(only_layer(network), byte_pairs(k))
    assert packed.common.channels % 2 == packed.own.channels % 2 == 0
    assert sorted(c for c in packed.order if c != NOTHING) == list(range(n))
    assert len(packed.order) == packed.common.channels + packed.own.channels == n + n % 2
    assert len(packed.pairs) % 4 == 0
    assert packed.common.channels // 2 * 4 * (len(packed.pairs) + 4) == len(packed.common.data)
    assert packed.own.channels // 2 * 4 * (len(packed.pairs) + 7) == len(packed.own.data)
    assert assert_bodies_equal_reference(network) >= 2


def test_statistics_count_every_channel_once() -> None:
    for network in dsp_networks.random_networks(10):
        ranges = dsp_ranges.ranges(network)
        for operator in dsp_networks.weighted(network):
            layer = ranges.layer(operator)
            if dsp_packing.refuses_relu(layer) is None and operator.kind == "pointwise":
                s = dsp_packing.pack_relu(layer, byte_pairs(layer.weights.shape[1])).statistics
                assert s.solved + s.own_shift + s.constant + s.general == len(layer.bias)


def test_without_solver_all_channels_that_change_take_shifts_of_their_own() -> None:
    layer = only_layer(relu_network(np.random.default_rng(1), 24, 40))
    s = dsp_packing.pack_relu(layer, expand_pairs(24), solver=False).statistics
    assert (s.solved, s.own_shift + s.constant + s.general) == (0, 40)


def test_most_channels_of_a_trained_network_share_the_common_shift() -> None:
    network = dsp_networks.trained("flowers_w035_r96")
    ranges = dsp_ranges.ranges(network)
    solved = total = 0
    for operator in dsp_networks.weighted(network):
        layer = ranges.layer(operator)
        k = layer.weights.shape[1]
        if operator.kind == "pointwise" and k >= 16 and dsp_packing.refuses_relu(layer) is None:
            s = dsp_packing.pack_relu(layer, expand_pairs(k)).statistics
            solved, total = solved + s.solved + s.constant, total + len(layer.bias)
    assert total > 3000
    assert solved > 0.99 * total


def test_a_constant_channel_makes_what_reads_it_alone_constant() -> None:
    b = NetworkBuilder(np.random.default_rng(3))
    weights = np.ones((4, 1, 1, 3), np.int64)
    weights[1] = 0
    x = b.conv(b.input((5, 5, 3), 0, scale=0.02), "expand", 4, POINTWISE, RELU6, zero_point=-128, weights=weights,
               scale=6 / 255, bias=np.array([0, -(2**20), 5, 9]), multiplier=0.3)  # fmt: skip
    b.depthwise(x, "y", TORCH, RELU6, zero_point=-128, weights=np.ones((3, 3, 4)), bias=3,
                scale=6 / 255, multiplier=0.1)  # fmt: skip
    network = b.network("dead", "y")
    packed = dsp_packing.pack_depthwise(only_layer(network), [3, 2, 1, 0])
    assert packed.statistics.constant == 1
    assert_bodies_equal_reference(network)


def test_ranges_hold_every_value_of_real_runs_and_reach_the_ends_of_single_layers() -> None:
    for network in dsp_networks.random_networks(6):
        ranges = dsp_ranges.ranges(network)
        images = np.random.default_rng(0).integers(-128, 128, (4, *network.shape("input"))).astype(np.int8)
        for name, values in int8_reference.run(network, images).items():
            reach = ranges.tensor(name)
            assert (values >= reach.low).all(), name
            assert (values <= reach.high).all(), name
    network = relu_network(np.random.default_rng(5), 20, 6)
    layer, reach = only_layer(network), only_layer(network).outputs
    extremes = [np.where(layer.weights > 0, *ends) for ends in ((127, -128), (-128, 127))]
    for x, end in zip(extremes, (reach.high, reach.low), strict=True):
        assert np.array_equal(np.diag(dsp_emulation.reference(network, network.operators[0], x)), end)


def test_a_packed_pair_over_24_bits_makes_a_projection_unpacked_and_a_relu_channel_general() -> None:
    weights = np.full((4, 1, 1, 600), 127)
    weights[3] = np.where(np.arange(600) % 2, 1, -1)
    network = relu_network(
        np.random.default_rng(0), 600, 4, weights=weights, clamp=NONE, multiplier=[1e-5, 1e-5, 1e-5, 0.01], bias=0
    )
    assert dsp_packing.pack_linear(only_layer(network), byte_pairs(600)).unpacked
    relu = dsp_packing.pack_relu(only_layer(network), byte_pairs(600))
    assert (relu.statistics.general, relu.statistics.solved) == (3, 1)
    assert assert_bodies_equal_reference(network) == 5


def test_an_activation_that_ends_below_127_makes_the_channels_general_that_can_pass_it() -> None:
    multiplier = [0.004, 1e-4]
    network = relu_network(
        np.random.default_rng(1), 16, 2, clamp=Clamp(0.0, 4.0), scale=6 / 255, multiplier=multiplier, bias=0,
        weights=np.full((2, 1, 1, 16), 100),
    )  # fmt: skip
    layer = only_layer(network)
    assert layer.act_max == 42
    assert dsp_packing.pack_relu(layer, expand_pairs(16)).statistics.general == 1
    assert assert_bodies_equal_reference(network) >= 2


def test_depthwise_channels_of_large_right_shifts_are_solved() -> None:
    """9 and 10 are beyond what the common shift takes as it stands."""
    rng = np.random.default_rng(8)
    b = NetworkBuilder(rng)
    x = b.input((5, 5, 6), -128, scale=0.02)
    b.depthwise(x, "y", TORCH, RELU6, zero_point=-128, scale=6 / 255, weights=rng.integers(20, 128, (3, 3, 6)),
                multiplier=np.array([9, 8, 7, 6, 5, 4]) * 2e-4)  # fmt: skip
    network = b.network("small", "y")
    layer = only_layer(network)
    assert set(-layer.shift) == {9, 10}
    assert dsp_packing.refuses_depthwise(layer) is None
    assert dsp_packing.pack_depthwise(layer, range(6)).statistics.solved == 6
    assert assert_bodies_equal_reference(network) == 2


def test_zero_points_and_windows_that_the_bodies_cannot_take_are_refused_with_the_reason() -> None:
    rng = np.random.default_rng(0)
    relu = only_layer(relu_network(rng, 8, 4, zero_point=-100))
    assert "zero point and act_min are -100" in str(dsp_packing.refuses_relu(relu))
    b = NetworkBuilder(rng)
    b.depthwise(b.input((5, 5, 4), 3), "y", TORCH, RELU6, zero_point=-128)
    assert "input's zero point is 3" in str(dsp_packing.refuses_depthwise(only_layer(b.network("dw", "y"))))
    b = NetworkBuilder(rng)
    b.depthwise(b.input((5, 5, 4), -128), "y", Window(5, 5), RELU6, zero_point=-128)
    assert "not 3x3" in str(dsp_packing.refuses_depthwise(only_layer(b.network("dw", "y"))))
    large = only_layer(relu_network(rng, 8, 3, clamp=NONE, multiplier=3.0, bias=0))
    assert "right shifts" in str(dsp_fully_connected.refuses_fully_connected(large, range(8)))
    assert "right shifts" in str(dsp_packing.refuses_linear(large))
    assert dsp_packing.refuses_linear(only_layer(relu_network(rng, 8, 1))) is not None


@pytest.mark.parametrize(("k", "folds"), [(48, 0), (250, 0), (1280, 4), (1001, 3)])
def test_a_fully_connected_layer_folds_as_often_as_the_worst_input_needs(k: int, folds: int) -> None:
    rng = np.random.default_rng(k)
    b = NetworkBuilder(rng)
    weights = np.full((9, k), 127)
    weights[3] = -127
    b.fully_connected(
        b.input((1, 1, k), -128), "y", 9, weights=weights, bias=rng.integers(-1000, 1000, 9), multiplier=1e-4
    )
    network = b.network("fc", "y")
    packed = dsp_fully_connected.pack_fully_connected(only_layer(network), rng.permutation(k))
    assert len(packed.folds) == folds
    assert len(packed.columns) % 8 == 0
    assert assert_bodies_equal_reference(network) > 0


def test_a_fully_connected_layer_whose_bias_alone_passes_24_bits_is_refused() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    b.fully_connected(b.input((1, 1, 16), -128), "y", 4, bias=[0, 1 << 23, 0, 0], multiplier=1e-5)
    assert "within eight inputs" in str(
        dsp_fully_connected.refuses_fully_connected(only_layer(b.network("fc", "y")), range(16))
    )
