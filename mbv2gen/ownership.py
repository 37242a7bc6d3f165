# SPDX-License-Identifier: Apache-2.0
"""Ownership: which step makes a tensor's rows and which steps need them, as the debug build with poison is told it.

The C (mbv2_poison.h) works out from these few numbers, after each unit, which bytes are somebody's, and overwrites all
others. They are the planner's own beliefs: a kernel that reads more than it promised then computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.network import Shape
from mbv2gen.plan import Buffer
from mbv2gen.planning.kernels import Access
from mbv2gen.planning.layouts import RowNHWC, UInt8Lines
from mbv2gen.program import Call, Program

CALLER = -1  # the writer of an input that is there before the first step


@dataclass(frozen=True)
class Owned:
    """A tensor, or scratch that lasts from unit to unit, in the words of mbv2_owned; ``form`` a mbv2_owned_form. Where
    rows are cut into columns, its rows are these."""

    name: str
    offset: int
    row_bytes: int
    rows: int
    form: str
    height: int
    writer: int
    accumulates: bool
    kept: bool


@dataclass(frozen=True)
class Reader:
    """A unit of ``step`` in row y needs no rows of ``tensor`` (its index) before y * stride - pad. Where rows are cut
    into ``columns``, the unit in column g needs of that row none before g * column_stride - column_pad."""

    tensor: int
    step: int
    stride: int
    pad: int
    columns: int
    column_stride: int
    column_pad: int


@dataclass(frozen=True)
class Ownership:
    owned: tuple[Owned, ...]
    readers: tuple[Reader, ...]


def ownership(program: Program) -> Ownership:
    """Of every tensor and every scratch that is kept. Steps are layers; where the caller pushes rows, layers + 1."""
    fed = int(program.is_fed)
    owned = [_input(program), *(tensor for call in program.calls for tensor in _tensors(call, fed, program))]
    index = {tensor.name: number for number, tensor in enumerate(owned)}
    readers = [_reader(index[read.tensor], call.layer + fed, read) for call in program.calls for read in call.reads]
    for call in program.calls:
        if call.keeps_scratch and call.scratch_offset is not None:
            step = call.layer + fed
            readers.append(Reader(len(owned), step, 0, 0, 1, 0, 0))
            name = f"scratch of {call.operator}"
            owned.append(Owned(name, call.scratch_offset, call.scratch_bytes, 1, _form("ROWS"), 1, step, True, False))
    return Ownership(tuple(owned), tuple(readers))


def _reader(tensor: int, step: int, read: Access) -> Reader:
    columns = read.columns
    return Reader(tensor, step, read.stride, read.pad, columns.count, columns.stride, columns.pad)


def _input(program: Program) -> Owned:
    form, writer = ("RING", 0) if program.is_fed else ("ROWS", CALLER)
    shape = program.network.shape(program.network.inputs[0])
    return _owned(_home(program, program.input.tensor), form, shape, writer, kept=program.keeps_input)


def _tensors(call: Call, fed: int, program: Program) -> list[Owned]:
    """A call's output, and the second ring that it may write."""
    form = "SLOTS" if isinstance(call.output.layout, UInt8Lines) else "ROWS"
    kept = call.output.tensor in program.network.outputs
    rings = [call.output.tensor, *([call.passing.tensor] if call.passing is not None else [])]
    writer, homes = call.layer + fed, [_home(program, ring) for ring in rings]
    return [_owned(home, form, call.output_shape, writer, accumulates=call.accumulates, kept=kept) for home in homes]


def _home(program: Program, tensor: str) -> Buffer:
    """Where its columns stand, not a view by rows."""
    return next(buffer for buffer in program.buffers if buffer.tensor == tensor)


def _owned(
    buffer: Buffer, form: str, shape: Shape, writer: int, *, accumulates: bool = False, kept: bool = False
) -> Owned:
    where, height = (buffer.offset, buffer.row_bytes, buffer.rows), buffer.layout.rows(shape)
    if isinstance(buffer.layout, RowNHWC):
        height *= buffer.columns
    return Owned(buffer.tensor, *where, _form(form), height, writer, accumulates, kept)


def _form(name: str) -> str:
    return f"MBV2_OWNED_{name}"
