# SPDX-License-Identifier: Apache-2.0
"""The arena check, tried on planted faults. Whatever it lets pass must give the right rows all the same (slack)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from planned import planned, rows_that_differ
from random_networks import random_images, random_network

from mbv2gen import program_interpreter
from mbv2gen.errors import CheckFailed
from mbv2gen.plan import Buffer
from mbv2gen.planning import tagged_arena
from mbv2gen.planning.placement import ALIGN
from mbv2gen.program import Call, Program

SEEDS = range(5)


@functools.cache
def sound_program(seed: int, mode: str) -> tuple[Program, NDArray[np.int8]]:
    rng = np.random.default_rng([7, seed])
    size = (int(rng.integers(7, 13)), int(rng.integers(7, 13)))
    network = random_network(rng, size=size, blocks=2, max_channels=8, head="mobilenet")
    return planned(network, mode)[1], random_images(rng, network.shape("input"), 1)[0]


def noticed(program: Program) -> bool:
    try:
        program_interpreter.check_arena(program)
    except CheckFailed:
        return True
    return False


@pytest.fixture
def unchecked_rows_that_differ(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # fixtures and plants are functions of many forms
    """rows_that_differ on an arena that knows no owners: what the C would compute, whatever the check thinks of it."""

    def differ(program: Program, x: NDArray[np.int8]) -> list[str]:
        def read(self: tagged_arena.TaggedArena, where: slice, *_: object) -> NDArray[np.int8]:
            return self.data[where].copy()

        with monkeypatch.context() as patch:
            patch.setattr(tagged_arena.TaggedArena, "read", read)
            return rows_that_differ(program, x)

    return differ


def with_buffer(program: Program, changed: Buffer) -> Program:
    """The planner's mistake: the tensor's buffer is another one everywhere."""

    def swap(buffer: Buffer) -> Buffer:
        return changed if buffer.tensor == changed.tensor else buffer

    calls = (replace(c, inputs=tuple(map(swap, c.inputs)), output=swap(c.output)) for c in program.calls)
    return replace(program, calls=tuple(calls), input=swap(program.input), output=swap(program.output))


def with_call(program: Program, changed: Call) -> Program:
    return replace(program, calls=tuple(changed if c.layer == changed.layer else c for c in program.calls))


def buffers(program: Program) -> list[Buffer]:
    return list({b.tensor: b for c in program.calls for b in (*c.inputs, c.output)}.values())


def height(program: Program, buffer: Buffer) -> int:
    return buffer.layout.rows(program.network.shape(buffer.tensor))


def moved_buffers(program: Program) -> Iterator[Program]:
    """Every buffer one alignment step up and down, where that touches another buffer's bytes."""
    for buffer in buffers(program):
        for step in (-ALIGN, ALIGN):
            there = replace(buffer, offset=buffer.offset + step)
            if there.offset >= 0 and there.offset + there.size <= program.arena_bytes:
                yield with_buffer(program, there)


def shorter_rings(program: Program) -> Iterator[Program]:
    for buffer in buffers(program):
        if 1 < buffer.rows < height(program, buffer):
            yield with_buffer(program, replace(buffer, rows=buffer.rows - 1))


def hastier_needs(program: Program) -> Iterator[Program]:
    """A unit that goes ahead one row too early, where that row is one it reads."""
    for call in program.calls:
        for index, need in enumerate(call.needs):
            if need.columns == 0:  # unit u needs row u
                needs = list(call.needs)
                needs[index] = replace(need, height=call.units, stride=1, columns=1, column_first=1)
                yield with_call(program, replace(call, needs=tuple(needs)))
                continue
            wanted = [min(need.height, max(0, unit * need.stride + need.first)) for unit in range(call.units)]
            less = [min(need.height, max(0, unit * need.stride + need.first - 1)) for unit in range(call.units)]
            if wanted != less:
                needs = list(call.needs)
                needs[index] = replace(need, first=need.first - 1)
                yield with_call(program, replace(call, needs=tuple(needs)))


def swapped_segments(program: Program) -> Iterator[Program]:
    for i in range(len(program.segments) - 1):
        if i == 0 and program.is_fed:
            continue  # the caller belongs to the first segment
        s = list(program.segments)
        s[i], s[i + 1] = s[i + 1], s[i]
        yield replace(program, segments=tuple(s))


def left_out_segments(program: Program) -> Iterator[Program]:
    for i in range(1 if program.is_fed else 0, len(program.segments)):
        yield replace(program, segments=program.segments[:i] + program.segments[i + 1 :])


def moved_scratches(program: Program) -> Iterator[Program]:
    """Onto the input, one step up, one step down."""
    for call in program.calls:
        if call.scratch_offset is not None:
            for offset in (call.inputs[0].offset, call.scratch_offset + ALIGN, call.scratch_offset - ALIGN):
                if 0 <= offset != call.scratch_offset:
                    yield with_call(program, replace(call, scratch_offset=offset))


def shifted_in_place(program: Program) -> Iterator[Program]:
    """An output that lies on its input, one row up and one row down."""
    for call in program.calls:
        if call.kind in ("add", "activation") and call.output.offset == call.inputs[0].offset:
            for step in (-call.output.row_bytes, call.output.row_bytes):
                if 0 <= call.output.offset + step <= program.arena_bytes - call.output.size:
                    yield with_buffer(program, replace(call.output, offset=call.output.offset + step))


def mistaken_readers(program: Program) -> Iterator[Program]:
    """One reader of a tensor believes it elsewhere, in longer rows, or in a ring of another length."""
    for call in program.calls:
        source = call.inputs[0]
        faults = [replace(source, offset=source.offset + 1), replace(source, row_bytes=source.row_bytes + 1)]
        if source.rows > 1:
            faults += [replace(source, rows=source.rows - 1)]
        for fault in faults:
            if fault.row_bytes != source.row_bytes and height(program, source) == 1:
                continue  # one row begins where it began
            yield with_call(program, replace(call, inputs=(fault, *call.inputs[1:])))


MUST_BE_NOTICED = (shorter_rings, swapped_segments, left_out_segments, mistaken_readers)
MAY_BE_SLACK = (moved_buffers, hastier_needs, moved_scratches, shifted_in_place)


@pytest.mark.parametrize("mode", ["frame", "rows"])
@pytest.mark.parametrize("plant", MUST_BE_NOTICED, ids=lambda plant: plant.__name__)
def test_faults_that_always_touch_live_rows_are_noticed(plant, mode: str) -> None:  # type: ignore[no-untyped-def]  # fixtures and plants are functions of many forms
    faults = [fault for seed in SEEDS for fault in plant(sound_program(seed, mode)[0])]
    unnoticed = [fault for fault in faults if not noticed(fault)]
    assert len(faults) >= 5
    assert unnoticed == []


@pytest.mark.parametrize("mode", ["frame", "rows"])
def test_every_unnoticed_fault_is_slack(unchecked_rows_that_differ, mode: str) -> None:  # type: ignore[no-untyped-def]  # fixtures and plants are functions of many forms
    """Moves into free bytes, needs that another input's need implies: the rows come out right even so."""
    counts: Counter[tuple[str, str]] = Counter()
    for seed in SEEDS:
        program, x = sound_program(seed, mode)
        for plant in MAY_BE_SLACK:
            for fault in plant(program):
                if noticed(fault):
                    counts[plant.__name__, "noticed"] += 1
                    continue
                counts[plant.__name__, "slack"] += 1
                try:
                    assert unchecked_rows_that_differ(fault, x) == [], plant.__name__
                except (CheckFailed, ValueError, IndexError) as error:
                    pytest.fail(f"{plant.__name__}: unnoticed, but {error}")
    print(sorted(counts.items()))
    assert all(counts[plant.__name__, "noticed"] for plant in MAY_BE_SLACK[:3])


def test_a_buffer_moved_onto_live_bytes_is_noticed() -> None:
    """Live by another count than the check's: the output of each layer is laid onto the input it is still reading."""
    planted = found = 0
    for seed in SEEDS:
        program = sound_program(seed, "frame")[0]
        for call in program.calls:
            source, result = call.inputs[0], call.output
            if call.units < 2 or call.body in program_interpreter.ELEMENTWISE:
                continue
            # row 0 of the output onto the last row that unit 0 reads, which is there and is read after row 0 is made
            access = call.reads[0]
            last = access.wanted(0) - 1
            if last < 0 or access.oldest(1) > last or result.row_bytes == 0:
                continue
            offset = source.offset + last % source.rows * source.row_bytes
            planted += 1
            larger = replace(program, arena_bytes=program.arena_bytes + result.size)
            found += noticed(with_buffer(larger, replace(result, offset=offset)))
    assert planted >= 10
    assert found == planted


@pytest.mark.parametrize("mode", ["frame", "rows"])
def test_sound_programs_pass(mode: str) -> None:
    for seed in SEEDS:
        program, x = sound_program(seed, mode)
        assert not noticed(program)
        assert rows_that_differ(program, x) == []


def test_a_buffer_outside_the_arena_is_named() -> None:
    program = sound_program(0, "frame")[0]
    with pytest.raises(CheckFailed, match=r"^arena check: row \d+ of \S+ at \d+\.\.\d+ is outside the \d+ B$"):
        program_interpreter.check_arena(replace(program, arena_bytes=program.arena_bytes // 2))


def test_an_overwritten_row_is_named_with_its_reader_and_its_overwriter() -> None:
    program = sound_program(0, "frame")[0]
    fault = next(shorter_rings(program))
    pattern = r"^arena check: unit \d+ of \S+ reads row \d+ of \S+, but byte \d+ holds (row \d+ of \S+|what was .*)$"
    with pytest.raises(CheckFailed, match=pattern):
        program_interpreter.check_arena(fault)


def test_a_scratch_that_its_own_units_output_overwrites_is_noticed() -> None:
    """The mean's sums are read while its output is written: the two may not share a byte."""
    programs = [sound_program(seed, "frame")[0] for seed in SEEDS]
    calls = [(program, call) for program in programs for call in program.calls if call.scratch_offset is not None]
    assert len(calls) == len(SEEDS)
    for program, call in calls:
        larger = replace(program, arena_bytes=program.arena_bytes + call.scratch_bytes)
        assert noticed(with_call(larger, replace(call, scratch_offset=call.output.offset)))


def test_a_schedule_that_stops_names_the_layer() -> None:
    program = sound_program(0, "frame")[0]
    call = next(c for c in program.calls if c.needs)
    stuck = replace(call, needs=(replace(call.needs[0], height=999, first=998), *call.needs[1:]))
    with pytest.raises(CheckFailed, match=f"the schedule stops before {call.operator} is complete"):
        program_interpreter.check_arena(with_call(program, stuck))
