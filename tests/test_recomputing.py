# SPDX-License-Identifier: Apache-2.0
"""Plans that make rows again: columns of whole windows, their rings, MACs; random networks in NumPy and in C."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mobilenets import mobilenet_v2, one_block, random_blocks
from planned import planned_tight, rows_that_differ
from random_networks import random_images
from small_models import write_program
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import program_interpreter, row_work
from mbv2gen.candidates import candidates, choose
from mbv2gen.dsp.call_fields import FASTEST, BodySet
from mbv2gen.dsp.kernels import DSP
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Window
from mbv2gen.plan import Plan
from mbv2gen.planning.kernels import PLAIN
from mbv2gen.planning.objective import AGAIN, RAM, objective
from mbv2gen.planning.ring_columns import WindowColumns4
from mbv2gen.planning.schedule import lives, order, steps
from mbv2gen.planning.trade_offs import Options, front, plan_for
from mbv2gen.program import Program, program
from mbv2gen.quantized_network import QTensor, QuantizedNetwork
from mbv2gen.seeded_mobilenet import LINEAR, RELU6, Builder, inverted_residual
from mbv2gen.verification import verify

IN_C = (1, 12)  # seeds of networks that run in C in every test


def names(network: QuantizedNetwork) -> list[str]:
    return [operator.name for operator in network.operators]


def builder(shape: tuple[int, int, int]) -> Builder:
    b = Builder(np.random.default_rng(0), "torch")
    b.tensors["input"] = QTensor("input", shape, float(np.float32(1 / 64)), 0)
    return b


def recomputing(network: QuantizedNetwork, *, feed: str = "frame") -> Program:
    """Each depthwise convolution that can be, on windows whose rows are made for it."""
    return planned_tight(network, names(network), feed=feed, style=AGAIN)


def random_again(seed: int, bodies: BodySet = FASTEST) -> tuple[Program, np.random.Generator]:
    """A random network, its rows whole columns of four as far as strides go; all blocks may make rows again, or every
    second one, the others running by rows."""
    rng = np.random.default_rng([78, seed])
    size = int(rng.integers(9, 26)), int(rng.choice([16, 32, 64]))
    network = random_blocks(rng, size, name=f"again{seed}")
    share = (1.0, 0.5)[seed // 2 % 2]
    allowed = [name for block in network.blocks if rng.random() < share for _, name in block.roles]
    return planned_tight(network, allowed, feed=("frame", "rows")[seed % 2], style=AGAIN, bodies=bodies), rng


def test_random_networks_that_make_rows_again_equal_the_reference_in_every_row() -> None:
    """Each row is handed out once, however often it is made."""
    made_again = 0
    for seed in range(10):
        complete, rng = random_again(seed)
        program_interpreter.check_arena(complete)
        x = random_images(rng, complete.network.shape(complete.network.inputs[0]), 1)[0]
        assert rows_that_differ(complete, x) == [], seed
        made_again += complete.macs_again > 0
    assert made_again > 6


def rings(network: QuantizedNetwork) -> dict[str, int]:
    """Ring -> the places that it must hold where all operators run in one segment."""
    options = candidates(network, DSP + PLAIN, ranges(network))
    segment = steps(network, choose(network, options, AGAIN))
    return {ring: life.ring_places() for ring, life in lives(segment, order(segment), 0).items()}


@pytest.mark.parametrize(("stride", "padding", "waiting"), [(1, "torch", 2), (2, "torch", 2), (2, "same", 2)])
def test_of_the_expanded_tensor_three_columns_stand_and_of_the_narrow_one_three_rows(
    stride: int, padding: str, waiting: int
) -> None:
    made = rings(one_block((24, 24), stride, padding))
    assert made["block_expand"] == 3
    assert waiting * 6 < made["first"] <= 3 * 6
    assert "block_expand, passing" not in made


@pytest.mark.parametrize(
    ("stride", "padding", "rows"),
    [(1, "torch", 3 * 24 - 2), (2, "torch", 3 * 12 - 1), (2, "same", 3 * 12 - 1)],
)
def test_macs_are_counted_for_each_row_that_is_made(stride: int, padding: str, rows: int) -> None:
    """Windows of three rows each, less what lies outside the plane of 24 x 24, 4 to 16 channels."""
    complete = recomputing(one_block((24, 24), stride, padding), feed="rows")
    again = {call.operator: call.macs_again for call in complete.calls if call.macs_again}
    assert again == {"block_expand": (rows - 24) * 24 * 4 * 16}
    expand, plain = (
        next(call for call in one.calls if call.operator == "block_expand")
        for one in (complete, planned_tight(complete.network, names(complete.network)))
    )
    assert expand.estimated_instructions == pytest.approx(plain.estimated_instructions * rows / 24)
    work = row_work.rows(complete)
    assert work is not None
    assert sum(work.macs.counted) == sum(call.macs for call in complete.calls) + complete.macs_again


def test_rows_below_the_last_window_are_made_all_the_same() -> None:
    """At stride 2 without padding below, nothing reads the last row."""
    b = builder((10, 16, 4))
    x = b.depthwise(b.conv("input", "expand", 8, Window(), RELU6), "depthwise", Window(3, 3, 2, 2, 0, 1, 0, 0))
    b.conv(x, "project", 4, Window(), LINEAR)
    network = b.network("below")
    complete = recomputing(network)
    assert isinstance(complete.calls[0].output.layout, WindowColumns4)
    program_interpreter.check_arena(complete)
    assert rows_that_differ(complete, random_images(np.random.default_rng(1), (10, 16, 4), 1)[0]) == []


def test_a_column_is_the_three_rows_of_a_window_a_word_a_channel_in_the_order_of_its_positions() -> None:
    layout, shape, order = WindowColumns4(3, 2, 1), (5, 8, 3), (2, 0, 1, -1)
    assert (layout.rows(shape), layout.row_bytes(shape)) == (3 * 2, 3 * 4 * 4)
    assert [list(layout.rows_of(window, shape)) for window in range(3)] == [[0, 1], [1, 2, 3], [3, 4]]
    assert layout.rows_made(shape) == 7
    pixels = np.arange(12, dtype=np.int8).reshape(4, 3)
    place = np.zeros(48, np.int8)
    layout.part(place, 1, 2)[:] = layout.encode(pixels, shape, order)  # the second row of the window of 1, 2, 3
    assert not place[:16].any()
    assert not place[32:].any()
    for position, channel in enumerate(order):
        values = [int(pixels[p, channel]) + 128 if channel >= 0 else 0 for p in range(4)]
        assert [int(place.view(np.uint8)[16 + 4 * position + at]) for at in (0, 2, 1, 3)] == values
    np.testing.assert_array_equal(layout.decode(layout.part(place, 1, 2), shape, order), pixels)


def with_a_place_less(complete: Program, tensor: str) -> Program:
    def changed(ring):  # type: ignore[no-untyped-def]  # a buffer, or what holds one
        return replace(ring, rows=ring.rows - 1) if ring.tensor == tensor else ring

    calls = [replace(c, inputs=tuple(map(changed, c.inputs)), output=changed(c.output)) for c in complete.calls]
    return replace(complete, calls=tuple(calls))


@pytest.mark.parametrize("ring", ["block_expand", "first"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_ring_one_column_too_short_is_noticed(stride: int, ring: str) -> None:
    complete = recomputing(one_block((24, 24), stride, "torch"))
    with pytest.raises(CheckFailed, match=rf"reads row \d+ of {ring}"):
        program_interpreter.check_arena(with_a_place_less(complete, ring))


@pytest.fixture(scope="module")
def wide_options() -> tuple[QuantizedNetwork, Options]:
    """A stem and two inverted residuals on wide planes, with the kernels of a Cortex-M7."""
    b = builder((48, 64, 3))
    x = b.conv("input", "stem", 8, b.window((48, 64), 2), RELU6)
    b.block("stem", "Stem", "conv")
    x = inverted_residual(b, x, "first", expansion=6, channels=8, stride=1)
    x = inverted_residual(b, x, "second", expansion=6, channels=12, stride=2)
    x = b.fully_connected(b.mean(x, "pool"), "classifier", 5)
    b.block("head", "Head", "pool", "classifier")
    network = b.network("wide")
    return network, candidates(network, DSP + PLAIN, ranges(network))


def macs_again(network: QuantizedNetwork, plan: Plan) -> int:
    return program(network, plan, "cortex-m7", ranges(network)).macs_again


def test_a_limit_below_the_least_plan_takes_one_that_makes_rows_again(
    wide_options: tuple[QuantizedNetwork, Options],
) -> None:
    (network, options), feed = wide_options, "rows"
    ram = plan_for(network, options, RAM, feed=feed)
    assert macs_again(network, ram) == 0
    within = plan_for(network, options, objective(None, ram.arena_bytes - 16), feed=feed)
    assert within.arena_bytes < ram.arena_bytes
    assert macs_again(network, within) > 0
    assert plan_for(network, options, objective("ram", None), feed=feed).arena_bytes == ram.arena_bytes
    complete = program(network, within, "cortex-m7", ranges(network))
    program_interpreter.check_arena(complete)
    x = random_images(np.random.default_rng(2), network.shape(network.inputs[0]), 1)[0]
    assert rows_that_differ(complete, x) == []


def test_the_front_goes_on_below_the_least_plan_and_a_refusal_names_its_end(
    wide_options: tuple[QuantizedNetwork, Options],
) -> None:
    (network, options), feed = wide_options, "rows"
    ram, plans = plan_for(network, options, RAM, feed=feed), front(network, options, feed=feed)
    assert all(a.arena_bytes > b.arena_bytes and a.instructions < b.instructions for a, b in itertools.pairwise(plans))
    below = [plan.arena_bytes < ram.arena_bytes for plan in plans]
    assert below == [macs_again(network, plan) > 0 for plan in plans]
    assert any(below)
    least = plans[-1].arena_bytes
    with pytest.raises(Mbv2genError, match=f"the least takes {least:,} B"):
        plan_for(network, options, objective(None, least - 16), feed=feed)


def test_what_a_kernel_reads_behind_an_odd_channel_is_in_the_arena() -> None:
    """Where the arena would end with a tensor of 9 channels, which the expand behind it reads by twos."""
    complete, _ = random_again(105)
    ends = {b.tensor: b.offset + b.size for b in complete.buffers}
    calls = [call for call in complete.calls if call.body == "conv_1x1_windows_s8_dsp" and call.input_shape[2] % 2]
    assert calls
    assert all(ends[call.inputs[0].tensor] < complete.arena_bytes for call in calls)


@needs_host_compiler
@pytest.mark.parametrize(("seed", "bodies"), [(IN_C[0], FASTEST), (IN_C[1], BodySet(solver=False))])
def test_c_of_a_random_network_equals_numpy_in_every_row(seed: int, bodies: BodySet, tmp_path: Path) -> None:
    """Under sanitizers, dead bytes overwritten; each row comes once. Without the solver the fallback bodies run."""
    complete, rng = random_again(seed, bodies)
    folder = write_program(complete, tmp_path / "out")
    inputs = random_images(rng, complete.network.shape(complete.network.inputs[0]), 1)
    result = verify(folder, Place(None), iter([inputs]), 1)
    assert (result.difference, result.poisoned) == (None, True)


@pytest.mark.prove
@needs_host_compiler
@pytest.mark.parametrize("seed", range(100, 160))
def test_c_of_many_random_networks_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    test_c_of_a_random_network_equals_numpy_in_every_row(seed, FASTEST, tmp_path)


@needs_arm_compiler
@needs_qemu
def test_the_board_makes_rows_again_as_numpy_in_every_row(tmp_path: Path) -> None:
    network = mobilenet_v2(0.35, 32, 10, padding="same")
    complete = recomputing(network, feed="rows")
    assert "conv_stem_windows_s8_dsp" in complete.bodies
    folder = write_program(complete, tmp_path / "out")
    inputs = random_images(np.random.default_rng(1), network.shape(network.inputs[0]), 1)
    assert verify(folder, Place(boards.load("mps2-an500")), iter([inputs]), 1).difference is None


def test_the_seeds_run_every_kernel_on_windows() -> None:
    every = {contract.body for contract in DSP if contract.recomputes}
    assert {body for seed in IN_C for body in random_again(seed)[0].bodies if "windows" in body} == every
