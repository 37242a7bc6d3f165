"""Ownership: which step makes a tensor's rows and which steps need them, as the debug build with poison is told it.

The C (mbv2_poison.h) works out from these few numbers, after each unit, which bytes are somebody's, and overwrites all
others. They are the planner's own beliefs: a kernel that reads more than it promised then computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.plan import Buffer
from mbv2gen.planning.layouts import UInt8Lines
from mbv2gen.program import Call, Program

CALLER = -1  # the writer of an input that is there before the first step


@dataclass(frozen=True)
class Owned:
    """A tensor, or scratch that lasts from unit to unit, in the words of mbv2_owned; ``form`` a mbv2_owned_form."""

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
    """Unit u of ``step`` needs no rows of ``tensor`` (its index) before u * stride - pad."""

    tensor: int
    step: int
    stride: int
    pad: int


@dataclass(frozen=True)
class Ownership:
    owned: tuple[Owned, ...]
    readers: tuple[Reader, ...]


def ownership(program: Program) -> Ownership:
    """Of every tensor and every scratch that is kept. Steps are layers; where the caller pushes rows, layers + 1."""
    fed = int(program.is_fed)
    owned = [_input(program), *(_tensor(call, fed, program) for call in program.calls)]
    index = {tensor.name: number for number, tensor in enumerate(owned)}
    readers = [
        Reader(index[read.tensor], call.layer + fed, read.stride, read.pad)
        for call in program.calls
        for read in call.reads
    ]
    for call in program.calls:
        if call.keeps_scratch and call.scratch_offset is not None:
            step = call.layer + fed
            readers.append(Reader(len(owned), step, 0, 0))
            name = f"scratch of {call.operator}"
            owned.append(Owned(name, call.scratch_offset, call.scratch_bytes, 1, _form("ROWS"), 1, step, True, False))
    return Ownership(tuple(owned), tuple(readers))


def _input(program: Program) -> Owned:
    height = program.network.shape(program.network.inputs[0])[0]
    form, writer = ("RING", 0) if program.is_fed else ("ROWS", CALLER)
    return _owned(program.input, form, height, writer, kept=program.keeps_input)


def _tensor(call: Call, fed: int, program: Program) -> Owned:
    form = "SLOTS" if isinstance(call.output.layout, UInt8Lines) else "ROWS"
    height = call.output.layout.rows(call.output_shape)
    kept = call.output.tensor in program.network.outputs
    return _owned(call.output, form, height, call.layer + fed, accumulates=call.accumulates, kept=kept)


def _owned(
    buffer: Buffer, form: str, height: int, writer: int, *, accumulates: bool = False, kept: bool = False
) -> Owned:
    where = buffer.offset, buffer.row_bytes, buffer.rows
    return Owned(buffer.tensor, *where, _form(form), height, writer, accumulates, kept)


def _form(name: str) -> str:
    return f"MBV2_OWNED_{name}"
