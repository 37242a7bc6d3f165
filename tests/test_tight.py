# SPDX-License-Identifier: Apache-2.0
"""Tight kernels: units of four pixels, rings of columns, the passing ring; random networks in NumPy and in C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mobilenets import mobilenet_v2, one_block, random_blocks
from network_builder import POINTWISE, RELU6, NetworkBuilder
from planned import planned_tight, rows_that_differ
from random_networks import random_images
from small_models import write_program
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import candidates, program_interpreter, targets
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import CheckFailed
from mbv2gen.hardware import boards
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Window
from mbv2gen.planning.channel_order import even
from mbv2gen.planning.objective import TIGHT
from mbv2gen.planning.ring_columns import RingColumns4
from mbv2gen.planning.schedule import lives, order, steps
from mbv2gen.program import Program
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.verification import verify


def names(network: QuantizedNetwork) -> list[str]:
    return [operator.name for operator in network.operators]


def tight_random(seed: int) -> tuple[Program, np.random.Generator]:
    """A random network, its rows whole columns of four as far as strides go; all blocks may be tight, or every second
    one."""
    rng = np.random.default_rng([77, seed])
    size = int(rng.integers(9, 26)), int(rng.choice([16, 24, 32, 40]))
    network = random_blocks(rng, size, name=f"wide{seed}")
    share = (1.0, 0.5)[seed // 2 % 2]
    allowed = [name for block in network.blocks if rng.random() < share for _, name in block.roles]
    return planned_tight(network, allowed, feed=("frame", "rows")[seed % 2]), rng


def test_random_networks_in_columns_equal_the_reference_in_every_row() -> None:
    tight = mixed = 0
    for seed in range(16):
        program, rng = tight_random(seed)
        program_interpreter.check_arena(program)
        x = random_images(rng, program.network.shape(program.network.inputs[0]), 1)[0]
        assert rows_that_differ(program, x) == [], seed
        kinds = {call.tight for call in program.calls}
        tight += True in kinds
        mixed += len(kinds) == 2
    assert tight > 12
    assert mixed > 5


def test_an_activation_in_place_before_a_first_convolution_in_columns() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.activation(b.input((24, 32, 3), -128), "clip", -128, 100)
    x = b.conv(x, "stem", 8, Window(3, 3, 2, 2, 0, 0, 1, 1), RELU6, zero_point=-128, scale=6 / 255)
    x = b.depthwise(x, "depthwise", Window(3, 3, 1, 1, 1, 1, 1, 1), RELU6, zero_point=-128, scale=6 / 255)
    network = b.network("clipped", b.mean(b.conv(x, "project", 4, POINTWISE), "mean"))
    program = planned_tight(network, names(network))
    assert program.calls[1].tight
    program_interpreter.check_arena(program)


def pipeline(stride: int, padding: str = "torch", *, width: int = 24, residual: bool = False) -> QuantizedNetwork:
    """1x1 to 4 channels, then an inverted residual: expand to 16, depthwise, project."""
    return one_block((24, width), stride, padding, residual=residual)


def ring_columns(network: QuantizedNetwork) -> dict[str, int]:
    """Ring -> the columns that it must hold where all operators run in one segment."""
    options = candidates.candidates(network, targets.find("cortex-m7").family, ranges(network))
    segment = steps(network, candidates.choose(network, options, TIGHT))
    return {ring: life.ring_places() for ring, life in lives(segment, order(segment), 0).items()}


def test_at_stride_1_two_rows_and_three_columns_stay() -> None:
    assert ring_columns(pipeline(1))["block_expand"] == 2 * 6 + 3


@pytest.mark.parametrize("padding", ["torch", "same"])
def test_at_stride_2_one_row_and_three_columns_stay_and_three_columns_pass(padding: str) -> None:
    rings = ring_columns(pipeline(2, padding))
    assert (rings["block_expand"], rings["block_expand, passing"]) == (6 + 3, 3)


def test_of_the_depthwise_output_one_tile_stands_and_a_residual_that_is_made_by_rows_waits_in_two() -> None:
    rings = ring_columns(pipeline(1, residual=True))
    assert (rings["block_depthwise"], rings["block_project"], rings["first"]) == (1, 1, 2 * 6)


def test_rows_that_are_no_whole_columns_keep_their_kernels() -> None:
    for width, tight in ((24, True), (22, False), (20, True), (4, True), (3, False)):
        program = planned_tight(pipeline(1, width=width), ["block_expand", "block_depthwise", "block_project"])
        assert {call.tight for call in program.calls if call.operator == "block_depthwise"} == {tight}, width


def shorter_rings(program: Program) -> Iterator[Program]:
    """Each ring of expanded columns with one column less."""
    for call in program.calls:
        if isinstance(call.output.layout, RingColumns4):
            for ring in (call.output, call.passing):
                if ring is not None and ring.rows < ring.layout.rows(call.output_shape):
                    yield with_shorter(program, ring.tensor)


def with_shorter(program: Program, tensor: str) -> Program:
    def changed(ring):  # type: ignore[no-untyped-def]  # a buffer, or what holds one
        return replace(ring, rows=ring.rows - 1) if ring is not None and ring.tensor == tensor else ring

    calls = [
        replace(c, inputs=tuple(map(changed, c.inputs)), output=changed(c.output), passing=changed(c.passing))
        for c in program.calls
    ]
    return replace(program, calls=tuple(calls))


@pytest.mark.parametrize(("stride", "padding"), [(1, "torch"), (2, "torch"), (2, "same")])
def test_a_ring_one_column_too_short_is_noticed(stride: int, padding: str) -> None:
    network = pipeline(stride, padding)
    faults = list(shorter_rings(planned_tight(network, names(network))))
    assert len(faults) == stride
    for fault in faults:
        with pytest.raises(CheckFailed, match=r"reads row \d+ of block_expand"):
            program_interpreter.check_arena(fault)


@pytest.mark.parametrize(("mode", "most"), [("frame", 29_500), ("rows", 11_600)])
def test_mobilenet_v2_035_at_96_needs_no_more_than_two_rows_and_a_few_pixels(mode: str, most: int) -> None:
    network = mobilenet_v2(0.35, 96)
    first = [name for block in network.blocks[:4] for _, name in block.roles]
    program = planned_tight(network, first, feed=mode)
    assert program.arena_bytes <= most


def test_a_column_is_a_word_a_channel_in_the_order_of_its_positions() -> None:
    layout, shape, order = RingColumns4(2, 1), (5, 8, 3), (2, 0, 1, -1)
    assert (layout.columns(shape), layout.groups(shape), layout.rows(shape)) == (2, 3, 6)
    assert layout.row_bytes(shape) == 4 * even(3)
    assert [(layout.group(y), layout.is_kept(y)) for y in range(3)] == [(0, True), (1, False), (1, True)]
    pixels = np.arange(12, dtype=np.int8).reshape(4, 3)
    data = layout.encode(pixels, shape, order).view(np.uint8)
    for position, channel in enumerate(order):
        values = [int(pixels[p, channel]) + 128 if channel >= 0 else 0 for p in range(4)]
        assert [int(data[4 * position + at]) for at in (0, 2, 1, 3)] == values
    np.testing.assert_array_equal(layout.decode(data.view(np.int8), shape, order), pixels)


@needs_host_compiler
@pytest.mark.parametrize("seed", [0, 3])
def test_c_of_a_random_network_in_columns_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    """Under sanitizers, dead bytes overwritten."""
    program, rng = tight_random(seed)
    folder = write_program(program, tmp_path / "out")
    inputs = random_images(rng, program.network.shape(program.network.inputs[0]), 1)
    result = verify(folder, Place(None), iter([inputs]), 1)
    assert (result.difference, result.poisoned) == (None, True)


@pytest.mark.prove
@needs_host_compiler
@pytest.mark.parametrize("seed", range(100, 160))
def test_c_of_many_random_networks_in_columns_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    test_c_of_a_random_network_in_columns_equals_numpy_in_every_row(seed, tmp_path)


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("padding", ["torch", "same"])
def test_the_board_runs_columns_as_numpy_in_every_row(padding: str, tmp_path: Path) -> None:
    network = mobilenet_v2(0.1, 32, 10, padding=padding)
    program = planned_tight(network, names(network), feed="rows")
    folder = write_program(program, tmp_path / "out")
    inputs = random_images(np.random.default_rng(1), network.shape(network.inputs[0]), 1)
    assert verify(folder, Place(boards.load("mps2-an500")), iter([inputs]), 1).difference is None
