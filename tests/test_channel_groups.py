# SPDX-License-Identifier: Apache-2.0
"""Expanded channels in groups, one after the other (the paper's t-way split): layouts, rings, sums and their lives,
what the planner makes of them; random networks in NumPy and in C."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mobilenets import mobilenet_v2, one_block
from planned import rows_that_differ
from random_networks import random_images
from small_models import write_program
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import program_interpreter
from mbv2gen.candidates import candidates, choose
from mbv2gen.dsp.kernels import DSP
from mbv2gen.dsp.packing import PackedRelu
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import CheckFailed
from mbv2gen.hardware import boards
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Window
from mbv2gen.packing.check import check_packing
from mbv2gen.plan import plan
from mbv2gen.planning.channel_order import ChannelGroups
from mbv2gen.planning.kernels import GROUPS, PLAIN, split_blocks
from mbv2gen.planning.layouts import Planes, PlaneTiles
from mbv2gen.planning.objective import BALANCED, LEAN, RAM, SPLIT, Objective
from mbv2gen.planning.trade_offs import plan_for
from mbv2gen.program import Program, program
from mbv2gen.quantized_network import QConv2D, QTensor, QuantizedNetwork
from mbv2gen.seeded_mobilenet import LINEAR, Builder, inverted_residual
from mbv2gen.verification import verify

IN_C = (7, 9)  # seeds of networks that run in C in every test


def in_groups(network: QuantizedNetwork, groups: int) -> Program:
    """Each block on planes of 6x6 or 3x3 that can be in so many groups of channels."""
    known = ranges(network)
    options = candidates(network, DSP + PLAIN, known)
    style = SPLIT[GROUPS.index(groups)]
    return program(network, plan(network, choose(network, options, style)), "cortex-m7", known)


def random_planes(seed: int) -> tuple[Program, np.random.Generator]:
    """A random network on a plane of 6x6 or 3x3 pixels; numbers of channels odd and even, strides 1 and 2."""
    rng = np.random.default_rng([31, seed])
    b = Builder(rng, str(rng.choice(["torch", "same"])))
    size = int(rng.choice([6, 3]))
    b.tensors["input"] = QTensor("input", (size, size, int(rng.integers(3, 12))), float(np.float32(1 / 64)), 0)
    x = b.conv("input", "first", int(rng.integers(8, 20)), Window(), LINEAR)
    b.block("first", "Layer", "layer")
    for i in range(int(rng.integers(1, 4))):
        h, _, c = b.tensors[x].shape
        stride, channels = (1, c) if rng.random() < 0.5 else (int(rng.integers(1, 3)), int(rng.integers(2, 23)))
        stride = 1 if h == 3 else stride
        x = inverted_residual(b, x, f"block{i}", expansion=int(rng.integers(3, 9)), channels=channels, stride=stride)
    network = with_own_shifts(b.network(f"planes{seed}"), rng) if seed % 2 else b.network(f"planes{seed}")
    return in_groups(network, int(rng.choice(GROUPS))), rng


def with_own_shifts(network: QuantizedNetwork, rng: np.random.Generator) -> QuantizedNetwork:
    """Some channels of each expand with a multiplier of 1/4 and more, too large for the common shift."""
    operators = []
    for operator in network.operators:
        if isinstance(operator, QConv2D) and operator.name.endswith("expand"):
            large = rng.random(len(operator.bias)) < 0.4
            operators.append(replace(operator, shift=np.where(large, -1, operator.shift).astype(np.int32)))
        else:
            operators.append(operator)
    return replace(network, operators=tuple(operators))


def split_calls(complete: Program) -> list[str]:
    return [call.operator for call in complete.calls if call.body == "conv_1x1_partial_s8_dsp"]


def test_random_networks_in_groups_equal_the_reference_in_every_row() -> None:
    split = 0
    for seed in range(12):
        complete, rng = random_planes(seed)
        program_interpreter.check_arena(complete)
        check_packing(complete)
        x = random_images(rng, complete.network.shape(complete.network.inputs[0]), 1)[0]
        assert rows_that_differ(complete, x) == [], seed
        split += len(split_calls(complete))
    assert split > 12


@pytest.mark.parametrize(
    ("channels", "count", "sizes"),
    [(576, 5, [120, 120, 120, 120, 96]), (96, 2, [48, 48]), (33, 2, [24, 10]), (47, 3, [16, 16, 16]), (7, 1, [8])],
)
def test_groups_are_whole_turns_of_the_bodies_and_cover_all_positions(
    channels: int, count: int, sizes: list[int]
) -> None:
    groups = ChannelGroups(channels, count)
    cut = [groups.group(number) for number in range(count)]
    assert [s.stop - s.start for s in cut] == sizes
    assert all(a.stop == b.start for a, b in itertools.pairwise(cut))
    assert groups.are_full


def test_more_groups_than_turns_are_none() -> None:
    assert not ChannelGroups(24, 5).are_full
    assert ChannelGroups(24, 3).are_full


@pytest.mark.parametrize("size", [6, 3])
def test_a_row_of_planes_or_tiles_is_one_group_in_the_order_of_its_positions(size: int) -> None:
    shape, order = (size, size, 20), tuple(np.random.default_rng(0).permutation(20).tolist())
    rows = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    for layout, part in ((Planes(2), rows), (PlaneTiles(2), rows[: PlaneTiles(2).band(shape)])):
        assert layout.rows(shape) == (2 if isinstance(layout, Planes) else 2 * layout.bands(shape))
        for number in range(2):
            here = order[layout.channels(shape).group(number)]
            data = layout.encode_band(part, shape, here)
            assert len(data) == layout.row_bytes(shape)
            decoded = layout.decode_band(data, shape, here)
            np.testing.assert_array_equal(decoded[..., here], part[..., here])
            assert not np.delete(decoded, here, axis=2).any()


@pytest.mark.parametrize("groups", GROUPS)
def test_of_the_expanded_tensor_one_group_stands_in_the_arena(groups: int) -> None:
    network = mobilenet_v2(1.0, 96, 5)
    complete = in_groups(network, groups)
    size = ChannelGroups(576, groups).size
    block = {call.operator.removeprefix("block12_"): call for call in complete.calls}
    expand, depthwise, project = (block[name] for name in ("expand", "depthwise", "project"))
    assert (expand.output.rows, expand.output.row_bytes) == (1, 8 + 44 * size)
    assert (depthwise.output.rows, depthwise.output.row_bytes) == (1, 3 * 8 * size)
    assert (project.scratch_bytes, project.scratch_parts) == (4 * 36 * 96, 3)
    assert (expand.units, depthwise.units, project.units, project.idle) == (
        groups, 3 * groups, 3 * groups, 3 * (groups - 1),
    )  # fmt: skip


def with_call(complete: Program, operator: str, **changes: object) -> Program:
    calls = [replace(c, **changes) if c.operator == operator else c for c in complete.calls]  # type: ignore[arg-type]
    return replace(complete, calls=tuple(calls))


def test_sums_that_something_else_lies_on_are_noticed() -> None:
    complete = in_groups(one_block((6, 6), 1, "torch", residual=True), 2)
    call = next(call for call in complete.calls if call.operator in split_calls(complete))
    residual = next(c for c in complete.calls if c.kind == "add").inputs[1]
    for offset in (call.inputs[0].offset, residual.offset):
        with pytest.raises(CheckFailed, match="arena check"):
            program_interpreter.check_arena(with_call(complete, call.operator, scratch_offset=offset))


def test_sums_are_freed_band_by_band() -> None:
    """The output grows over them while they are requantized: of 36 pixels it needs 12 of its own."""
    b = Builder(np.random.default_rng(0), "torch")
    b.tensors["input"] = QTensor("input", (6, 6, 64), float(np.float32(1 / 64)), 0)
    inverted_residual(b, "input", "block", expansion=1, channels=128, stride=1)
    complete = in_groups(b.network("wide"), 2)
    project = next(call for call in complete.calls if call.operator == "block_project")
    program_interpreter.check_arena(complete)
    sums, output = 36 * 128 * 4, 36 * 128
    assert complete.arena_bytes < sums + output + project.inputs[0].row_bytes
    assert project.scratch_offset is not None
    begin, end = project.output.offset, project.output.offset + output
    assert begin < project.scratch_offset + sums
    assert project.scratch_offset < end


def test_splits_are_taken_where_they_win() -> None:
    """In the arena that kernels by rows need they are faster; and blocks by rows may need more than split ones."""
    network = mobilenet_v2(1.0, 96, 5)
    options = candidates(network, DSP + PLAIN, ranges(network))
    lean = plan_for(network, options, Objective("lean", (LEAN,), (LEAN,)), feed="rows")
    balanced = plan_for(network, options, BALANCED, feed="rows")
    assert balanced.arena_bytes == lean.arena_bytes
    assert split_blocks(balanced.candidates) == (2, 2, 2)
    assert split_blocks(lean.candidates) == ()
    assert balanced.instructions < lean.instructions
    whole = {name: tuple(c for c in found if c.contract.groups == 1) for name, found in options.items()}
    least, without = (plan_for(network, some, RAM, feed="rows") for some in (options, whole))
    assert least.arena_bytes < without.arena_bytes
    assert least.instructions < without.instructions


@needs_host_compiler
@pytest.mark.parametrize("seed", IN_C)
def test_c_of_a_random_network_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    """Under sanitizers, dead bytes overwritten; each value comes once."""
    complete, rng = random_planes(seed)
    assert split_calls(complete)
    folder = write_program(complete, tmp_path / "out")
    groups = {call.channel_groups for call in complete.calls if call.operator in split_calls(complete)}
    assert f"in {groups.pop()} groups of channels" in (folder.path / f"{folder.name}.c").read_text()
    assert not groups
    inputs = random_images(rng, complete.network.shape(complete.network.inputs[0]), 1)
    result = verify(folder, Place(None), iter([inputs]), 1)
    assert (result.difference, result.poisoned) == (None, True)


def test_the_seeds_cut_both_streams_of_an_expand_into_groups() -> None:
    """Channels with the common shift and with shifts of their own; a group that has some of both."""
    streams = [
        (
            call.work.packed.common.channels,
            call.work.packed.own.channels,
            call.output.layout.channels(call.output_shape),
        )
        for seed in IN_C
        for call in random_planes(seed)[0].calls
        if isinstance(call.work.packed, PackedRelu) and isinstance(call.output.layout, Planes)
    ]
    assert any(common and own and common % groups.size for common, own, groups in streams)


@pytest.mark.prove
@needs_host_compiler
@pytest.mark.parametrize("seed", range(100, 160))
def test_c_of_many_random_networks_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    complete, rng = random_planes(seed)
    folder = write_program(complete, tmp_path / "out")
    inputs = random_images(rng, complete.network.shape(complete.network.inputs[0]), 1)
    result = verify(folder, Place(None), iter([inputs]), 1)
    assert (result.difference, result.poisoned) == (None, True)


@needs_arm_compiler
@needs_qemu
def test_the_board_computes_groups_as_numpy_in_every_row(tmp_path: Path) -> None:
    network = mobilenet_v2(0.35, 96, 10, padding="same")
    complete = in_groups(network, 3)
    assert len(split_calls(complete)) > 6
    folder = write_program(complete, tmp_path / "out")
    inputs = random_images(np.random.default_rng(1), network.shape(network.inputs[0]), 1)
    assert verify(folder, Place(boards.load("mps2-an500")), iter([inputs]), 1).difference is None
