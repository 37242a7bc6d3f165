# SPDX-License-Identifier: Apache-2.0
"""The packing check of the ``dsp`` family accepts what is right and notices every planted fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import dsp_networks
import numpy as np
import pytest
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder

from mbv2gen.dsp import check as dsp_check
from mbv2gen.dsp import fully_connected as dsp_fully_connected
from mbv2gen.dsp import packing as dsp_packing
from mbv2gen.dsp import parameters as dsp_parameters
from mbv2gen.dsp import partial as dsp_partial
from mbv2gen.dsp import range_check as dsp_range_check
from mbv2gen.dsp import ranges as dsp_ranges
from mbv2gen.dsp import requantization as dsp_requantization
from mbv2gen.dsp.proof import Canonical, LinearBody, ReluBody, linear_holds, relu_holds, wanted
from mbv2gen.dsp.ranges import Reach
from mbv2gen.dsp.requantization import solve_add
from mbv2gen.dsp.streams import position_pairs
from mbv2gen.dsp.tiles import expand_pairs
from mbv2gen.errors import CheckFailed
from mbv2gen.network import Window
from mbv2gen.quantized_network import QAdd, QuantizedNetwork

WINDOW = Window(3, 3, 1, 1, 1, 1, 1, 1)


def test_ranges_and_adds_of_random_and_trained_networks_pass() -> None:
    adds = 0
    networks = [*dsp_networks.random_networks(20), *dsp_networks.edges(), dsp_networks.trained("flowers_w035_r96")]
    for network in networks:
        dsp_range_check.check_ranges(network, dsp_ranges.ranges(network))
        for operator in network.operators:
            coefficients = solve_add(network, operator) if isinstance(operator, QAdd) else None
            if coefficients:
                dsp_range_check.check_add(network, operator, coefficients)
                adds += 1
    assert adds > 10


def one(kind: str, k: int = 24, n: int = 12) -> QuantizedNetwork:
    """A ReLU, depthwise, linear or fully connected layer in which every channel lives."""
    rng = np.random.default_rng(7)
    b = NetworkBuilder(rng)
    x = b.input((1, 1, k) if kind == "fully_connected" else (4, 4, k), -128, scale=0.02)
    multiplier = rng.uniform(0.002, 0.006, k if kind == "depthwise" else n)
    bias = rng.integers(-500, 500, len(multiplier))
    signs = rng.choice([-1, 1], (n, 1, 1, k))
    weights = rng.integers(1, 128, (n, 1, 1, k)) * signs
    if kind == "depthwise":
        b.depthwise(x, "y", WINDOW, RELU6, zero_point=-128, scale=6 / 255, multiplier=multiplier, bias=bias,
                    weights=rng.integers(1, 128, (3, 3, k)))  # fmt: skip
    elif kind == "relu":
        b.conv(x, "y", n, POINTWISE, RELU6, zero_point=-128, scale=6 / 255, multiplier=multiplier, bias=bias,
               weights=weights)  # fmt: skip
    elif kind in ("linear", "partial"):
        b.conv(x, "y", n, POINTWISE, NONE, zero_point=5, multiplier=multiplier, bias=bias, weights=weights)
    else:
        b.fully_connected(x, "y", n, zero_point=5, multiplier=multiplier, bias=bias, weights=weights[:, 0, 0])
    return b.network(kind, "y")


def packed_and_check(kind: str, *, solver: bool = True):
    """(packed, check(packed)) of the only layer of ``one(kind)``."""
    network = one(kind.removesuffix("_unpacked"), k=12 if kind.endswith("unpacked") else 24)
    operator, ranges = network.operators[0], dsp_ranges.ranges(network)
    layer = ranges.layer(operator)
    k = layer.weights.shape[1]
    if kind == "depthwise":
        p = dsp_packing.pack_depthwise(layer, range(24))
        return p, lambda q: dsp_check.check_depthwise(network, operator, ranges, q)
    if kind == "linear":
        p = dsp_packing.pack_linear(layer, expand_pairs(k))
        return p, lambda q: dsp_check.check_linear(network, operator, ranges, q)
    if kind == "fully_connected":
        p = dsp_fully_connected.pack_fully_connected(layer, range(k))
        return p, lambda q: dsp_check.check_fully_connected(network, operator, ranges, q)
    if kind == "partial":
        p = dsp_partial.pack_partial(layer, [position_pairs(range(12)), position_pairs(range(12, 24))])
        return p, lambda q: dsp_check.check_partial(network, operator, ranges, q)
    p = dsp_packing.pack_relu(layer, expand_pairs(k), unpacked=kind.endswith("unpacked"), solver=solver)
    return p, lambda q: dsp_check.check_relu(network, operator, ranges, q)


def with_words(packed, change: Callable[[np.ndarray], None], field: str, columns: int, skip: int = 0):
    """``columns`` words a row, behind the ``skip`` first words of the stream."""
    stream = getattr(packed, field)
    words = np.frombuffer(stream.data, "<i4").copy()
    change(words[skip:].reshape(-1, columns))
    return replace(packed, **{field: replace(stream, data=words.tobytes())})


def added(at: int, value: int) -> Callable[[np.ndarray], None]:
    def change(words: np.ndarray) -> None:
        words[1, at] += value

    return change


def exchanged(a: int, b: int) -> Callable[[np.ndarray], None]:
    def change(words: np.ndarray) -> None:
        words[:, [a, b]] = words[:, [b, a]]

    return change


WEIGHT_FAULTS = {
    "a weight of the first": (1, 1),
    "a weight of the second": (2, 256),
    "a weight of the other column": (2, 1 << 16),
}
STREAMS = {  # kind -> field of the stream, words before the weights, behind them, in front of all
    "relu": ("common", 1, 3, 0),
    "relu_own": ("own", 2, 5, 0),
    "linear": ("stream", 2, 3, 1),
}
POINTWISE_FAULTS = {  # word (before the weights, or from the end), what to add
    "relu": {
        "both biases": (0, 256),
        "what END says of the first bias": (-3, 1 << 8),
        "the first multiplier": (-2, 1 << 20),
        "the second multiplier": (-1, 1 << 20),
    },
    "relu_own": {
        "bias of the first off by one": (0, 1),
        "bias of the second off by one": (1, 256),
        "the first shift": (-5, 1),
        "the second shift": (-5, 1 << 8),
        "the first multiplier": (-4, 1 << 22),
        "the first addend": (-3, 1 << 10),
        "the second multiplier": (-2, 1 << 22),
        "the second addend": (-1, -(1 << 10)),
    },
    "linear": {
        "bias of the first off by one": (0, 1),
        "bias of the second off by one": (1, 256),
        "the first shift": (-3, 1),
        "the second shift": (-3, 1 << 8),
        "the first multiplier": (-2, 1 << 22),
        "the second multiplier": (-1, 1 << 22),
    },
}


def stream_of(kind: str):
    """(packed, check, with_words' arguments behind the change, words before the weights)."""
    packed, check = packed_and_check(kind.removesuffix("_own"), solver=kind != "relu_own")
    field, before, behind, front = STREAMS[kind]
    return packed, check, (field, before + len(packed.pairs) + behind, front), before


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in STREAMS for fault in POINTWISE_FAULTS[kind]])
def test_a_fault_in_the_parameters_of_a_pointwise_stream_is_noticed(kind: str, fault: str) -> None:
    packed, check, place, _ = stream_of(kind)
    check(packed)
    with np.errstate(over="ignore"), pytest.raises(CheckFailed, match=r"packing check: y"):
        check(with_words(packed, added(*POINTWISE_FAULTS[kind][fault]), *place))


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
@pytest.mark.parametrize("kind", STREAMS)
def test_a_fault_in_the_weights_of_a_pointwise_stream_is_noticed(kind: str, fault: str) -> None:
    packed, check, place, before = stream_of(kind)
    at, value = WEIGHT_FAULTS[fault]
    with pytest.raises(CheckFailed, match=r"packing check: y"):
        check(with_words(packed, added(before + at, value), *place))


@pytest.mark.parametrize("kind", STREAMS)
def test_words_in_wrong_places_and_a_missing_end_are_noticed(kind: str) -> None:
    packed, check, place, before = stream_of(kind)
    step = 2 if kind == "relu_own" else 1
    end = before + len(packed.pairs)
    for change in (
        exchanged(before, before + 1),
        exchanged(-step, -2 * step),
        lambda words: words[:, end].__iand__(np.int32(0x7FFFFFFF)),
    ):
        with pytest.raises(CheckFailed, match=r"packing check: y"):
            check(with_words(packed, change, *place))


def test_another_zero_point_of_a_linear_stream_is_noticed() -> None:
    packed, check = packed_and_check("linear")
    data = np.frombuffer(packed.stream.data, "<i4").copy()
    data[0] += 2
    with pytest.raises(CheckFailed, match="zero point"):
        check(replace(packed, stream=replace(packed.stream, data=data.tobytes())))


@pytest.mark.parametrize("at", [0, 1, 3, 5, -3, -2, -1])
def test_a_fault_in_an_unpacked_stream_is_noticed(at: int) -> None:
    packed, check = packed_and_check("relu_unpacked")
    check(packed)
    value = {0: 128, 1: 128, -3: 1, -2: 1 << 22, -1: 1 << 22}.get(at, 1 << 8)
    with pytest.raises(CheckFailed):
        check(with_words(packed, added(at, value), "common", len(packed.pairs) + 5))


@pytest.mark.parametrize(("at", "value"), [(0, 1 << 10), (1, 1 << 20), (2, 1), (2, 1 << 8), (3, 1 << 24), (4, 1 << 16)])
def test_a_fault_in_a_depthwise_stream_is_noticed(at: int, value: int) -> None:
    packed, check = packed_and_check("depthwise")
    check(packed)
    with np.errstate(over="ignore"), pytest.raises(CheckFailed):
        check(with_words(packed, added(at, value), "stream", 5))


@pytest.mark.parametrize(("at", "value"), [(0, 1), (1, 256), (8, 1), (9, 1 << 24), (20, 256)])
def test_a_fault_in_a_fully_connected_stream_is_noticed(at: int, value: int) -> None:
    packed, check = packed_and_check("fully_connected")
    check(packed)
    with pytest.raises(CheckFailed):
        check(with_words(packed, added(at, value), "stream", 8 + 2 * 24))


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize(("at", "value"), [(0, 1), (1, 256), (2, 1), (3, 256), (3, 1 << 16), (-1, 1), (-1, 1 << 31)])
def test_a_fault_in_the_stream_of_a_group_of_channels_is_noticed(group: int, at: int, value: int) -> None:
    packed, check = packed_and_check("partial")
    check(packed)
    words = np.frombuffer(packed.streams[group].data, "<u4").copy().reshape(-1, len(packed.pairs[group]) + 3)
    words[1, at] ^= np.uint32(value)
    streams = list(packed.streams)
    streams[group] = replace(streams[group], data=words.tobytes())
    with pytest.raises(CheckFailed, match=r"packing check: y"):
        check(replace(packed, streams=tuple(streams)))


def test_groups_out_of_order_and_wrong_parameters_are_noticed() -> None:
    packed, check = packed_and_check("partial")
    for wrong in (
        replace(packed, pairs=(packed.pairs[0], packed.pairs[0])),
        replace(packed, streams=packed.streams[::-1], pairs=packed.pairs[::-1]),
        replace(packed, centre=packed.centre + 2),
        replace(packed, multiplier=(packed.multiplier[0] // 2, *packed.multiplier[1:])),
        replace(packed, shift=(packed.shift[0] + 1, *packed.shift[1:])),
    ):
        with pytest.raises(CheckFailed, match=r"packing check: y"):
            check(wrong)


def test_a_group_over_24_bits_is_refused_and_noticed() -> None:
    rng = np.random.default_rng(0)
    b = NetworkBuilder(rng)
    weights = np.full((4, 1, 1, 600), 127)
    b.conv(b.input((1, 1, 600), -128), "y", 4, POINTWISE, NONE, weights=weights, bias=0, multiplier=1e-5)
    network = b.network("wide", "y")
    operator, ranges = network.operators[0], dsp_ranges.ranges(network)
    layer = ranges.layer(operator)
    assert dsp_partial.refuses_partial(layer, 256) is None
    assert "2**23" in str(dsp_partial.refuses_partial(layer, 264))
    for sizes, holds in (((0, 256, 512, 600), True), ((0, 264, 528, 600), False)):
        groups = [position_pairs(range(a, e)) for a, e in itertools.pairwise(sizes)]
        packed = dsp_partial.pack_partial(layer, groups)
        if holds:
            dsp_check.check_partial(network, operator, ranges, packed)
        else:
            with pytest.raises(CheckFailed, match="bound of a packed pair within a group"):
                dsp_check.check_partial(network, operator, ranges, packed)


def test_a_missing_fold_is_noticed() -> None:
    rng = np.random.default_rng(0)
    b = NetworkBuilder(rng)
    b.fully_connected(b.input((1, 1, 600), -128), "y", 4, weights=np.full((4, 600), 127), bias=0, multiplier=1e-5)
    network = b.network("fc", "y")
    operator, ranges = network.operators[0], dsp_ranges.ranges(network)
    p = dsp_fully_connected.pack_fully_connected(ranges.layer(operator), range(600))
    dsp_check.check_fully_connected(network, operator, ranges, p)
    assert len(p.folds) == 2
    with pytest.raises(CheckFailed, match="between folds"):
        dsp_check.check_fully_connected(network, operator, ranges, replace(p, folds=p.folds[:1]))
    with pytest.raises(CheckFailed, match="no fold can stand"):
        dsp_check.check_fully_connected(network, operator, ranges, replace(p, folds=(p.folds[0] - 4, p.folds[1])))


def test_a_wrong_order_or_tile_is_noticed() -> None:
    packed, check = packed_and_check("relu")
    first, second, *others = packed.order
    pairs = (packed.pairs[1], packed.pairs[0], *packed.pairs[2:])
    for wrong in (
        replace(packed, order=(second, first, *others)),
        replace(packed, order=(first, first, *others)),
        replace(packed, pairs=pairs),
    ):
        with pytest.raises(CheckFailed, match="packing check: y"):
            check(wrong)


@pytest.mark.parametrize(("kind", "name"), [
    ("relu", "PACKED_SHIFT"), ("relu_unpacked", "UNPACKED_SHIFT"), ("depthwise", "DEPTHWISE_SHIFT"),
])  # fmt: skip
@pytest.mark.parametrize("step", [-1, 1])
def test_a_stream_for_another_common_shift_than_the_bodies_is_noticed(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str, step: int
) -> None:
    monkeypatch.setattr(dsp_parameters, name, getattr(dsp_parameters, name) + step)
    packed, check = packed_and_check(kind)
    assert packed.statistics.solved > 0
    with pytest.raises(CheckFailed, match="requantization"):
        check(packed)


def test_a_wrong_record_of_the_general_body_is_noticed() -> None:
    network = wide_network()
    operator, ranges = network.operators[0], dsp_ranges.ranges(network)
    p = dsp_packing.pack_relu(ranges.layer(operator), expand_pairs(600))
    assert len(p.general.positions) == 2
    dsp_check.check_relu(network, operator, ranges, p)
    data = np.frombuffer(p.general.data, np.uint8)
    for byte in (0, 4, 8, 12, 16, 17, len(data) - 3):
        changed = data.copy()
        changed[byte] += 1
        with pytest.raises(CheckFailed, match="record of the general body"):
            dsp_check.check_relu(
                network, operator, ranges, replace(p, general=replace(p.general, data=changed.tobytes()))
            )
    without = replace(p.general, data=b"", positions=())
    with pytest.raises(CheckFailed):
        dsp_check.check_relu(network, operator, ranges, replace(p, general=without))


def wide_network() -> QuantizedNetwork:
    b = NetworkBuilder(np.random.default_rng(0))
    weights = np.full((4, 1, 1, 600), 127)
    weights[2:] = np.where(np.arange(600) % 2, 1, -1)
    b.conv(b.input((2, 2, 600), -128), "y", 4, POINTWISE, RELU6, zero_point=-128, scale=6 / 255, weights=weights,
           multiplier=[1e-5, 1e-5, 0.01, 0.01], bias=0)  # fmt: skip
    return b.network("wide", "y")


def test_ranges_that_a_tensor_can_leave_are_noticed() -> None:
    network = one("relu")
    ranges = dsp_ranges.ranges(network)
    dsp_range_check.check_ranges(network, ranges)
    for name in ("input", "y"):
        reach = ranges.tensor(name)
        for narrow in (Reach(reach.low + 1, reach.high), Reach(reach.low, reach.high - 1)):
            others = tuple((n, narrow if n == name else r) for n, r in ranges.tensors)
            with pytest.raises(CheckFailed, match=f"tensor {name}"):
                dsp_range_check.check_ranges(network, replace(ranges, tensors=others))


def test_wrong_coefficients_of_an_add_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = next(n for n in dsp_networks.edges() if n.name == "add_equal_scales")
    operator = network.operators[-1]
    found = solve_add(network, operator)
    assert found is not None
    dsp_range_check.check_add(network, operator, found)
    for wrong in (
        replace(found, a=found.a + 20000),
        replace(found, b=-found.b),
        replace(found, c=found.c + (1 << 21)),
    ):
        with pytest.raises(CheckFailed, match="is not TFLite's"):
            dsp_range_check.check_add(network, operator, wrong)
    monkeypatch.setattr(dsp_requantization, "ADD_SHIFT", 21)
    for_another_shift = solve_add(network, operator)
    assert for_another_shift is not None
    with pytest.raises(CheckFailed, match="is not TFLite's"):
        dsp_range_check.check_add(network, operator, for_another_shift)


def canonical_of(multiplier, shift, low, high, zero_point: int) -> Canonical:
    n, none = len(multiplier), np.zeros(0, np.int64)
    rows, bias = np.zeros((n, 0), np.int64), np.zeros(n, np.int64)
    return Canonical("y", rows, bias, multiplier, shift, 0, zero_point, -128, 127, none, none, low, high)


def test_the_verdict_on_random_parameters_is_that_of_trying_every_accumulator() -> None:
    rng = np.random.default_rng(11)
    n = 400
    multiplier, right = rng.integers(1 << 30, 1 << 31, n), rng.integers(4, 9, n)
    low = rng.integers(-2000, 2000, n)
    layer = canonical_of(multiplier, -right, low, low + rng.integers(0, 3000, n), -128)
    relu = ReluBody(
        np.full(n, 256), rng.choice([0, 0, 3, -200, 256], n),
        (multiplier >> (right - 4)) + rng.choice([0, 0, 1, 1 << 14], n),
        (1 << 10) + (1 << (10 - right)) + rng.choice([0, 0, 1, -3, 90], n), np.full(n, 11),
    )  # fmt: skip
    linear_layer = replace(layer, output_zero_point=7)
    linear = LinearBody(
        np.ones(n, np.int64), np.zeros(n, np.int64),
        multiplier + rng.choice([0, 0, 1, 1 << 20], n).clip(max=(1 << 31) - 1 - multiplier),
        (1 << (right - 1)) + (7 << right) + rng.choice([0, 0, 1, -1], n), right, -128, 127,
    )  # fmt: skip
    verdicts = relu_holds(layer, relu), linear_holds(linear_layer, linear)
    assert all(50 < verdict.sum() < n - 50 for verdict in verdicts)
    acc = layer.low[:, None] + np.arange(3000)
    inside = acc <= layer.high[:, None]
    y = relu.scale[:, None] * acc + relu.start[:, None]
    made = (((y * relu.multiplier[:, None] >> 32) + relu.addend[:, None]) >> 11).clip(0, 255) - 128
    assert ((made == wanted(layer)(acc)) | ~inside).all(axis=1).tolist() == verdicts[0].tolist()
    v = ((2 * acc * linear.multiplier[:, None] + (1 << 31)) >> 32) + linear.addend[:, None] - (acc < 0)
    made = (v >> right[:, None]).clip(-128, 127)
    assert ((made == wanted(linear_layer)(acc)) | ~inside).all(axis=1).tolist() == verdicts[1].tolist()
