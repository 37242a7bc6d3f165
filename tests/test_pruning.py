# SPDX-License-Identifier: Apache-2.0
"""Pruning: dead channels leave, and the network stays the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_networks import RELU6, network, small_mobilenet
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen import float_reference, pruning
from mbv2gen.network import Add, Clamp, Conv2D, DepthwiseConv2D, FloatArray, FullyConnected, Network, Window
from mbv2gen.pruning import prune, removed_channels

SAME = Window(3, 3, 1, 1, 1, 1, 1, 1)
VALID = Window(3, 3)


def inputs(net: Network, seed: int = 0) -> FloatArray:
    shape = (6, *net.shape(net.inputs[0]))
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def assert_same_output(before: Network, after: Network) -> None:
    wanted, made = (float_reference.run_outputs(net, inputs(before)) for net in (before, after))
    assert made == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def changed(net: Network, name: str, **fields: np.ndarray) -> Network:
    """``net`` with weights or biases of one operator replaced."""
    operators = tuple(replace(op, **fields) if op.name == name else op for op in net.operators)
    return replace(net, operators=operators)


def with_dead_rows(net: Network, name: str, channels: list[int], bias: float, weight: float = 0.0) -> Network:
    """The channels' weights become ``weight``, their biases ``bias``."""
    operator = next(op for op in net.operators if op.name == name)
    assert isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected)
    weights, biases = operator.weights.copy(), operator.bias.copy()
    weights[(..., channels) if isinstance(operator, DepthwiseConv2D) else channels] = weight
    biases[channels] = bias
    return changed(net, name, weights=weights, bias=biases)


def mobilenet() -> Network:
    return small_mobilenet(np.random.default_rng(4))


def test_a_network_without_dead_channels_stays_as_it_is() -> None:
    net = mobilenet()
    assert prune(net).tensors == net.tensors
    for before, after in zip(net.operators, prune(net).operators, strict=True):
        if isinstance(before, Conv2D | DepthwiseConv2D | FullyConnected):
            assert np.array_equal(before.weights, after.weights)
            assert np.array_equal(before.bias, after.bias)


@pytest.mark.parametrize("weight", [0.0, 1e-14, -9e-13])
def test_expanded_channels_that_are_always_zero_leave_with_their_depthwise_weights(weight: float) -> None:
    net = with_dead_rows(mobilenet(), "expand", [2, 7], bias=-0.5, weight=weight)
    pruned = prune(net)
    assert removed_channels(net, pruned) == {
        "stem": 0, "expand": 2, "depthwise": 2, "project": 0, "residual": 0, "pool": 0, "classifier": 0
    }  # fmt: skip
    assert_same_output(net, pruned)
    assert pruned.macs == net.macs


def test_what_a_dead_depthwise_channel_adds_goes_into_the_next_biases() -> None:
    net = with_dead_rows(mobilenet(), "depthwise", [0, 23], bias=2.5)
    pruned = prune(net)
    assert pruned.shape("e")[2] == pruned.shape("d")[2] == 22
    project = [next(op for op in one.operators if op.name == "project") for one in (net, pruned)]
    assert not np.array_equal(project[0].bias, project[1].bias)
    assert_same_output(net, pruned)


def test_a_constant_that_padding_would_show_stays() -> None:
    net = with_dead_rows(mobilenet(), "expand", [3], bias=1.5)
    assert prune(net).tensors == net.tensors
    padded_stem = with_dead_rows(
        network(
            (6, 6, 3),
            Conv2D("a", ("x",), ("p",), np.ones((4, 1, 1, 3), np.float32), np.zeros(4, np.float32), Window(), RELU6),
            Conv2D("b", ("p",), ("y",), np.ones((2, 3, 3, 4), np.float32), np.zeros(2, np.float32), SAME),
        ),
        "a", [1], bias=1.0,
    )  # fmt: skip
    assert prune(padded_stem).shape("p")[2] == 4
    bare = changed(padded_stem, "b", window=VALID)
    bare = replace(bare, tensors=tuple(replace(t, shape=(4, 4, 2)) if t.name == "y" else t for t in bare.tensors))
    assert prune(bare).shape("p")[2] == 3
    assert_same_output(bare, prune(bare))


def test_a_residual_channel_leaves_only_where_both_branches_are_dead() -> None:
    one = with_dead_rows(mobilenet(), "project", [5], bias=0.3)
    assert prune(one).shape("r")[2] == 8
    assert_same_output(one, prune(one))
    both = with_dead_rows(one, "stem", [5], bias=-1.0)
    pruned = prune(both)
    assert [pruned.shape(name)[2] for name in "sprm"] == [7] * 4
    assert_same_output(both, pruned)


def test_channels_that_nobody_reads_leave_and_what_only_they_read_too() -> None:
    net = mobilenet()
    classifier = next(op for op in net.operators if op.name == "classifier")
    weights = classifier.weights.copy()
    weights[:, 1] = 0
    project_reads = next(op for op in net.operators if op.name == "project").weights.copy()
    project_reads[..., 4] = 0
    net = changed(changed(net, "classifier", weights=weights), "project", weights=project_reads)
    pruned = prune(net)
    assert pruned.shape("e")[2] == pruned.shape("d")[2] == 23
    assert pruned.shape("s")[2] == 8  # the expansion reads that channel too
    assert_same_output(net, pruned)


def test_a_channel_that_its_inputs_can_never_lift_over_zero_is_dead() -> None:
    """All its weights are negative and its inputs are not: ReLU6 makes it 0 whatever the picture."""
    net = with_dead_rows(mobilenet(), "expand", [9], bias=-0.01, weight=-0.4)
    pruned = prune(net)
    assert pruned.shape("e")[2] == 23
    assert_same_output(net, pruned)


def test_all_channels_dead_leave_one() -> None:
    net = with_dead_rows(mobilenet(), "expand", list(range(24)), bias=-1.0)
    pruned = prune(net)
    assert pruned.shape("e")[2] == pruned.shape("d")[2] == 1
    assert_same_output(net, pruned)


def test_a_constant_that_must_stay_has_no_weights_left() -> None:
    net = with_dead_rows(mobilenet(), "project", [5], bias=0.3, weight=1e-14)
    project = next(op for op in prune(net).operators if op.name == "project")
    assert not project.weights[5].any()
    assert project.bias[5] == np.float32(0.3)


def test_small_weights_among_small_weights_are_kept() -> None:
    """Under 1e-12 all of them: another scale, not nothing."""
    net = mobilenet()
    expand = next(op for op in net.operators if op.name == "expand")
    depthwise = next(op for op in net.operators if op.name == "depthwise")
    tiny = changed(net, "expand", weights=expand.weights * 1e-13, bias=expand.bias * 1e-13)
    tiny = changed(tiny, "depthwise", weights=depthwise.weights * np.float32(1e13))
    assert prune(tiny).tensors == net.tensors


def test_inputs_and_outputs_of_the_network_keep_their_channels() -> None:
    zero = np.zeros((4, 3), np.float32)
    net = network((2, 2, 3), DepthwiseConv2D("d", ("x",), ("p",), np.zeros((1, 1, 3), np.float32), zero[0], Window()),
                  Add("a", ("p", "x"), ("q",)),
                  Conv2D("c", ("q",), ("y",), zero[:, None, None], np.ones(4, np.float32), Window()))  # fmt: skip
    assert prune(net).tensors == net.tensors


@given(seed=st.integers(0, 10_000), data=st.data())
def test_pruning_never_changes_an_output(seed: int, data: st.DataObject) -> None:
    net = small_mobilenet(np.random.default_rng(seed), size=6)
    for name, count in (("stem", 8), ("expand", 24), ("depthwise", 24), ("project", 8)):
        dead = data.draw(st.lists(st.integers(0, count - 1), max_size=count, unique=True))
        net = with_dead_rows(net, name, dead, bias=data.draw(st.sampled_from([-2.0, 0.0, 0.7, 8.0])))
    pruned = prune(net)
    assert_same_output(net, pruned)
    for name, interval in pruning.intervals(pruned).items():
        values = float_reference.run(pruned, inputs(net))[name]
        assert (values >= interval.low - 1e-4).all()
        assert (values <= interval.high + 1e-4).all()


def test_a_clamp_decides_a_constant() -> None:
    net = network(
        (2, 2, 1),
        Conv2D("a", ("x",), ("p",), np.ones((2, 1, 1, 1), np.float32), np.zeros(2, np.float32), Window(), Clamp(1, 1)),
        Conv2D("b", ("p",), ("y",), np.full((1, 1, 1, 2), 2, np.float32), np.ones(1, np.float32), Window()),
    )
    pruned = prune(net)
    assert pruned.shape("p")[2] == 1
    assert float_reference.run_outputs(pruned, inputs(net)).tolist() == np.full((6, 2, 2, 1), 5.0).tolist()
