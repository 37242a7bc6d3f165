# SPDX-License-Identifier: Apache-2.0
"""Streams of weights of 4 bits: read word by word as the bodies do they give what the int8 reference says; faults in
them are noticed; the C of whole networks equals the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dsp_emulation
import dsp_networks
import numpy as np
import pytest
from four_bits import is_stored_so, with_four_bits
from mobilenets import mobilenet_v2
from numpy.typing import NDArray
from random_networks import random_network
from small_models import write_network, write_program
from test_dsp_check import one
from test_dsp_inferences import M7
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import compiler, program, report
from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.compiler import Options
from mbv2gen.dsp import check as dsp_check
from mbv2gen.dsp.call_fields import BodySet
from mbv2gen.dsp.fully_connected import PackedFullyConnected, pack_fully_connected, refuses_fully_connected
from mbv2gen.dsp.packing import PackedLinear, PackedRelu, pack_linear, pack_relu, refuses_linear, refuses_relu
from mbv2gen.dsp.ranges import Layer, ranges
from mbv2gen.dsp.tiles import expand_pairs
from mbv2gen.errors import CheckFailed
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.packing import check as packing_check
from mbv2gen.pixels import network_inputs
from mbv2gen.planning.occupancy import occupancy
from mbv2gen.quantized_network import QFullyConnected, QuantizedNetwork
from mbv2gen.verification import verify

Ints = NDArray[np.int64]


def wrapped(values: Ints) -> Ints:
    return ((values + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def signed(words: Ints) -> Ints:
    return np.ascontiguousarray(words).view("<i4").astype(np.int64)


def halves(word: int) -> tuple[list[int], list[int]]:
    """(16 * weight that its low half is, the byte) of the four bytes of a word."""
    parts = [(word >> 8 * i & 255 ^ 128) - 128 for i in range(4)]
    return [((byte & 15 ^ 8) - 8) * 16 for byte in parts], parts


def sums(word_lists: list[list[int]], tile: Ints) -> tuple[Ints, Ints]:
    """(A, B) without their starts, [m][pairs of channels], of a tile [m][pair][2]."""
    a, b = [], []
    for words in word_lists:
        low = np.zeros((tile.shape[1], 2), np.int64)
        whole = np.zeros_like(low)
        for k, word in enumerate(words):
            weights, parts = halves(int(word))
            for byte in range(4):
                at = 2 * k + byte % 2, byte // 2
                low[at], whole[at] = 256 * weights[byte], parts[byte]
        a.append((tile * low).sum(axis=(1, 2)))
        b.append((tile * whole).sum(axis=(1, 2)))
    return np.stack(a, axis=1), np.stack(b, axis=1)


def rows_of(data: bytes, words: int) -> Ints:
    return np.frombuffer(data, "<u4").reshape(-1, words)


def accumulated(rows: Ints, tile: Ints, scale: int = 8) -> tuple[Ints, Ints, Ints]:
    """(acc0 << scale, acc1, END): the loop of a pointwise body over one pair of channels a row of words."""
    count = tile.shape[1] // 2
    block = rows[:, 2 : 2 + count]
    assert (np.ascontiguousarray(block).view("<i4") >= -0x7F800000).all(), "an END word among the weights"
    a, b = sums([list(words) for words in block], tile)
    y0, total = wrapped((a >> 8 - scale) + signed(rows[:, 0])), wrapped(b + signed(rows[:, 1]))
    end = rows[:, 2 + count].astype(np.int64)
    assert (end >> 23 == 0x100).all(), "no END word"
    return y0, wrapped(total - (y0 >> scale + 4)), end


def run_relu(layer: Layer, packed: PackedRelu, x: Ints) -> Ints:
    tile, count = dsp_emulation._tile(x, packed.pairs), len(packed.pairs) // 2
    outputs = []
    if packed.common.channels:
        rows = rows_of(packed.common.data, count + 5)
        y0, acc1, end = accumulated(rows, tile)
        ys = y0, wrapped((acc1 << 8) + (end & 0xFF))
        out = [(y * signed(rows[:, c - 2]) >> 32 >> 11).clip(0, 255) for c, y in enumerate(ys)]
        outputs.append(np.stack(out, axis=2).reshape(len(x), -1))
    if packed.own.channels:
        rows = rows_of(packed.own.data, count + 7)
        y0, acc1, end = accumulated(rows, tile)
        out = []
        for c, y in enumerate((y0, wrapped(acc1 << 8))):
            v = wrapped((y * signed(rows[:, 2 * c - 4]) >> 32) + signed(rows[:, 2 * c - 3]))
            out.append((v >> (end >> 8 * c & 0xFF)).clip(0, 255))
        outputs.append(np.stack(out, axis=2).reshape(len(x), -1))
    whole = np.concatenate(outputs, axis=1)
    dsp_emulation._overwrite(layer, whole, packed.general, tile, offset=128)
    return dsp_emulation._canonical(whole - 128, packed.order, len(layer.bias))


def run_linear(layer: Layer, packed: PackedLinear, x: Ints, offset: int) -> Ints:
    tile, n = dsp_emulation._tile(x + offset, packed.pairs), len(layer.bias)
    out = np.zeros((len(x), n), np.int64)
    for stream, first in ((packed.stream, 0), (packed.rest, n - 2)):
        if stream.channels:
            centre = int(signed(np.frombuffer(stream.data[:4], "<u4"))[0])
            rows = rows_of(stream.data[4:], len(packed.pairs) // 2 + 5)
            y0, acc1, end = accumulated(rows, tile, scale=0 if packed.unpacked else 8)
            made = []
            for c, twice in enumerate((2 * y0 if packed.unpacked else y0 >> 7, 2 * acc1)):
                shift = end >> 8 * c & 0xFF
                t = (centre << shift) + (twice >> 63)
                product = wrapped(((t << 32) + wrapped(twice) * signed(rows[:, c - 2]) + (1 << 31)) >> 32)
                made.append(product >> shift + 1)
            out[:, first : first + stream.channels] = np.stack(made, axis=2).reshape(len(x), -1).clip(-128, 127)
    dsp_emulation._overwrite(layer, out, packed.general, tile, offset=0)
    return out


def run_fully_connected(layer: Layer, packed: PackedFullyConnected, x: Ints) -> Ints:
    columns = np.array(packed.columns)
    values = np.where(columns < 0, 0, np.concatenate([x + 128, np.zeros_like(x[:, :1])], axis=1)[:, columns])
    groups = []
    for group in rows_of(packed.stream.data, 8 + len(columns)):
        total = np.tile(signed(group[:8]), (len(x), 1))
        words = group[8:].reshape(-1, 2)
        for begin, end in zip((0, *packed.folds), (*packed.folds, len(columns)), strict=True):
            for half in (0, 1):
                a, b = np.zeros((len(x), 2), np.int64), np.zeros((len(x), 2), np.int64)
                for pair in range(begin // 2, end // 2):
                    low, parts = halves(int(words[pair, half]))
                    for byte in range(4):
                        a[:, byte % 2] += 256 * low[byte] * values[:, 2 * pair + byte // 2]
                        b[:, byte % 2] += parts[byte] * values[:, 2 * pair + byte // 2]
                a = wrapped(a)
                total[:, 4 * half : 4 * half + 4 : 2] += a >> 8
                total[:, 4 * half + 1 : 4 * half + 4 : 2] += wrapped(b) - (a >> 12)
        groups.append(wrapped(total))
    acc = np.concatenate(groups, axis=1)[:, : packed.outputs]
    scaled = multiply_by_quantized_multiplier(acc, layer.multiplier, layer.shift)
    return (scaled + layer.output_zero_point).clip(layer.act_min, layer.act_max)


def tried(network: QuantizedNetwork, rng: np.random.Generator) -> list[str]:
    """Packs every layer of 4 bits in each form that takes it, runs and checks it; the forms that were tried."""
    known, forms = ranges(network), []
    for operator in dsp_networks.weighted(network):
        layer = known.layer(operator)
        if not is_stored_so(operator) or (layer.weights % 16).any():
            continue
        x = dsp_emulation.draws(layer, rng, 8)
        wanted = dsp_emulation.reference(network, operator, x)
        pairs = dsp_networks.pairs_of(layer, rng)
        if isinstance(operator, QFullyConnected):
            columns = rng.permutation(layer.weights.shape[1])
            if refuses_fully_connected(layer, columns, four_bits=True) is None:
                dense = pack_fully_connected(layer, columns, four_bits=True)
                np.testing.assert_array_equal(run_fully_connected(layer, dense, x), wanted)
                dsp_check.check_fully_connected(network, operator, known, dense)
                forms.append("dense")
            continue
        if refuses_relu(layer) is None:
            for solver in (True, False):
                relu = pack_relu(layer, pairs, four_bits=True, solver=solver)
                np.testing.assert_array_equal(run_relu(layer, relu, x), wanted)
                dsp_check.check_relu(network, operator, known, relu)
                forms.append("relu")
        if refuses_linear(layer) is None:
            for offset in (0, 128):
                linear = pack_linear(layer, pairs, offset=offset, four_bits=True)
                np.testing.assert_array_equal(run_linear(layer, linear, x, offset), wanted)
                dsp_check.check_linear(network, operator, known, linear, offset=offset)
                forms.append("linear")
    return forms


def test_bodies_equal_the_reference_and_pass_the_check_on_random_networks() -> None:
    forms: list[str] = []
    for seed, network in enumerate(dsp_networks.random_networks(20)):
        forms += tried(with_four_bits(network), np.random.default_rng([41, seed]))
    assert min(forms.count(form) for form in ("relu", "linear", "dense")) >= 4


def four(kind: str) -> QuantizedNetwork:
    return with_four_bits(one(kind))


def packed_and_check(kind: str) -> tuple[object, Callable[[object], None]]:
    network = four(kind.removesuffix("_own"))
    operator, known = network.operators[0], ranges(network)
    layer = known.layer(operator)
    if kind == "linear":
        return pack_linear(layer, expand_pairs(24), four_bits=True), (
            lambda p: dsp_check.check_linear(network, operator, known, p)
        )
    if kind == "fully_connected":
        return pack_fully_connected(layer, range(24), four_bits=True), (
            lambda p: dsp_check.check_fully_connected(network, operator, known, p)
        )
    return pack_relu(layer, expand_pairs(24), four_bits=True, solver=kind == "relu"), (
        lambda p: dsp_check.check_relu(network, operator, known, p)
    )


FAULTS = {  # kind -> field, words in front, words a row, (word, what is added) each
    "relu": ("common", 0, 11,
             [(0, 256), (1, 1), (2, 1), (4, 16), (5, 1 << 8), (6, 16 << 24), (8, 1 << 23), (9, 1 << 20),
              (10, 1 << 20)]),
    "relu_own": ("own", 0, 13,
                 [(0, 256), (1, 1), (3, 1), (8, 1), (8, 1 << 8), (9, 1 << 22), (10, 1 << 10), (12, -(1 << 10))]),
    "linear": ("stream", 1, 11,
               [(0, 256), (1, 1), (2, 16 << 8), (7, 1), (8, 1), (8, 1 << 8), (9, 1 << 22), (10, 1 << 22)]),
    "fully_connected": ("stream", 0, 32, [(0, 1), (1, 1), (8, 1), (9, 1 << 8), (20, 16 << 16), (31, 1)]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "at", "value"), [(kind, *fault) for kind, (_, _, _, faults) in FAULTS.items() for fault in faults]
)
def test_a_fault_in_a_stream_is_noticed(kind: str, at: int, value: int) -> None:
    packed, check = packed_and_check(kind)
    check(packed)
    field, front, columns, _ = FAULTS[kind]
    stream = getattr(packed, field)
    words = np.frombuffer(stream.data, "<u4").copy()
    rows = words[front:].reshape(-1, columns).view(np.int32)
    with np.errstate(over="ignore"):
        rows[1 if len(rows) > 1 else 0, at] += value
    with pytest.raises(CheckFailed, match=r"packing check: y"):
        check(replace(packed, **{field: replace(stream, data=words.tobytes())}))  # type: ignore[type-var]  # one of three


def test_accumulators_too_wide_for_the_first_of_a_pair_are_unpacked() -> None:
    """600 inputs of up to 255 times 112: more than 2**23."""
    network = one("linear", k=600, n=4)
    weights = np.where(np.arange(600) % 5 == 0, 127, 112) * np.ones((4, 1, 1, 1), np.int64)
    conv = network.operators[0]
    wide = with_four_bits(replace(network, operators=(replace(conv, weights=weights.astype(np.int8)),)))
    operator, known = wide.operators[0], ranges(wide)
    packed = pack_linear(known.layer(operator), expand_pairs(600), four_bits=True)
    assert packed.unpacked
    assert packed.general.positions == ()
    dsp_check.check_linear(wide, operator, known, packed)
    words = np.frombuffer(packed.stream.data, "<u4")
    for start in (1, 2):  # a fault in one of them is noticed
        faulty = (words + (np.arange(len(words)) == start)).astype("<u4").tobytes()
        with pytest.raises(CheckFailed, match="bias"):
            dsp_check.check_linear(wide, operator, known, replace(packed, stream=replace(packed.stream, data=faulty)))
    x = dsp_emulation.draws(known.layer(operator), np.random.default_rng(3), 6)
    np.testing.assert_array_equal(
        run_linear(known.layer(operator), packed, x, 128), dsp_emulation.reference(wide, operator, x)
    )


@pytest.mark.parametrize(
    ("place", "optimize"),
    [pytest.param(HOST, "size", marks=needs_host_compiler, id="host-size"),
     pytest.param(Place(M7), "balanced", marks=[needs_arm_compiler, needs_qemu], id="cortex-m7-balanced")],
)  # fmt: skip
def test_a_mobilenet_runs_on_dsp_kernels_alone(place: Place, optimize: str, tmp_path: Path) -> None:
    """Rows of 36, 18, 9, 5 and 3 pixels: all bodies, or with ``size`` those made of others."""
    network = with_four_bits(mobilenet_v2(0.1, 72, 10))
    folder = write_network(network, tmp_path / "out", optimize=optimize)
    assert all(layer["kernel"].endswith("_dsp") for layer in folder.report()["layers"])
    assert (folder.path / "mbv2_dsp_four_bits_few.h").is_file() == (optimize == "size")
    inputs = network_inputs.synthetic(network, 2)
    assert verify(folder, place, iter([inputs]), len(inputs)).difference is None


@needs_host_compiler
def test_shifts_of_their_own_compute_the_same(tmp_path: Path) -> None:
    """No solver: no channel but constant ones has the common shift."""
    network, options = with_four_bits(mobilenet_v2(0.1, 72, 10)), Options(optimize="size")
    known = ranges(network)
    planned = compiler.plan_network(network, options, known)
    complete = program.program(network, planned, "cortex-m7", known, BodySet(solver=False))
    packing_check.check_packing(complete)
    assert any(body.endswith("_nsh_dsp") for body in complete.inner_bodies)
    about = report.report(complete, occupancy(planned), options.objective, command="test")
    inputs = network_inputs.synthetic(network, 1)
    assert verify(write_program(complete, tmp_path / "out", about), HOST, iter([inputs]), 1).difference is None


@needs_host_compiler
@pytest.mark.parametrize("seed", range(2))
def test_the_c_of_the_dsp_family_equals_the_reference_in_every_row(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([43, seed])
    network = random_network(rng, size=(12, 8), max_channels=12, blocks=2, head="mobilenet", name="net")
    network = with_four_bits(network, lambda operator: is_stored_so(operator) and bool(rng.integers(4)))
    folder = write_network(network, tmp_path / "out", target="cortex-m7")
    assert verify(folder, HOST, iter([network_inputs.synthetic(network, 6)]), 6).difference is None
