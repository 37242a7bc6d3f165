# SPDX-License-Identifier: Apache-2.0
"""Program: the plan with every number filled in: calls with literal arguments, tables, kernel bodies, bytes.

The C is a rendering of this and adds nothing; the NumPy interpreter (program_interpreter.py) runs the same calls.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace

from mbv2gen.dsp.call_fields import FASTEST, BodySet
from mbv2gen.dsp.calls import DSP_BODIES, DspPacker
from mbv2gen.dsp.depthwise_calls import rests
from mbv2gen.dsp.ranges import Ranges
from mbv2gen.packing.plain_calls import plain_work
from mbv2gen.packing.tables import Table
from mbv2gen.plan import Buffer, Plan
from mbv2gen.planning.kernels import Access, macs, macs_again
from mbv2gen.planning.layouts import Planes, PlaneTiles
from mbv2gen.planning.schedule import FEED, Step
from mbv2gen.planning.work import Work
from mbv2gen.quantized_network import QuantizedNetwork


@dataclass(frozen=True)
class Need:
    """A unit needs min(height, max(0, y * stride + first)) rows made by step ``source`` of its segment; y is the unit's
    row. Where the source's rows are cut into ``columns``, it needs of the last of these rows only
    min(columns, g * column_stride + column_first); g is the unit's place in its row. ``columns`` 0: unit u needs just
    the u-th of what the source makes.

    Where the caller pushes rows, he is step 0 of the first segment and its layers are the steps behind."""

    source: int
    height: int
    stride: int
    first: int
    columns: int
    column_stride: int
    column_first: int


@dataclass(frozen=True)
class Call:
    """One operator as a kernel call. A unit of a ``tight`` one is a column of four pixels, ``unit_columns`` a row;
    ``passing`` is the second ring that it writes. ``inputs`` are all rings that it reads. ``macs_again``:
    multiply-accumulates that are done once more, ``macs`` apart."""

    layer: int
    operator: str
    kind: str
    block: str
    body: str
    work: Work
    inputs: tuple[Buffer, ...]
    output: Buffer
    passing: Buffer | None
    scratch_offset: int | None
    scratch_bytes: int
    scratch_parts: int
    keeps_scratch: bool
    tight: bool
    units: int
    unit_columns: int
    idle: int
    accumulates: bool
    band: int
    reads: tuple[Access, ...]
    needs: tuple[Need, ...]
    last_consumer: int
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    macs: int
    macs_again: int
    estimated_instructions: float
    live_bytes: int

    @property
    def places_a_unit(self) -> int:
        """Rows, or columns where rows are cut, that a unit makes."""
        return self.band * self.output.joined

    @property
    def channel_groups(self) -> int:
        """In how many groups, one after the other, the kernel takes the channels of an expanded tensor."""
        layouts = (self.output.layout, self.inputs[0].layout)
        return max(layout.groups if isinstance(layout, Planes | PlaneTiles) else 1 for layout in layouts)

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.work.tables

    @property
    def arguments(self) -> tuple[tuple[str, int], ...]:
        return self.work.arguments

    @property
    def struct(self) -> str:
        return self.work.struct

    @property
    def weights_bytes(self) -> int:
        return sum(t.weights_bytes for t in self.tables)


@dataclass(frozen=True)
class Program:
    """What runs: ``segments`` are half-open ranges of layers; ``bodies`` the kernels
    needed and ``inner_bodies`` what those call, sorted. Packed streams are exact over the values ``known``."""

    network: QuantizedNetwork
    known: Ranges
    target: str
    feed: str
    calls: tuple[Call, ...]
    segments: tuple[tuple[int, int], ...]
    buffers: tuple[Buffer, ...]
    input: Buffer
    output: Buffer
    bodies: tuple[str, ...]
    inner_bodies: tuple[str, ...]
    arena_bytes: int
    peak_layer: int
    keeps_input: bool
    arena_align: int

    @property
    def weights_bytes(self) -> int:
        return sum(call.weights_bytes for call in self.calls)

    @property
    def macs_again(self) -> int:
        """Multiply-accumulates that are done once more to save memory."""
        return sum(call.macs_again for call in self.calls)

    @property
    def parameters_bytes(self) -> int:
        return sum(t.values.nbytes for call in self.calls for t in call.tables) - self.weights_bytes

    @property
    def is_fed(self) -> bool:
        """Whether the caller pushes rows instead of putting the whole input into the arena."""
        return self.feed == "rows"

    @property
    def longest_segment(self) -> int:
        """Steps of the longest segment, the caller included."""
        first_end = self.segments[0][1] + self.is_fed
        return max(first_end, *(end - start for start, end in self.segments))

    @property
    def input_align(self) -> int:
        """What the address of the input, or of the ring of its rows, is a multiple of in an arena that is aligned."""
        return math.gcd(self.input.offset, self.arena_align)

    @property
    def context_bytes(self) -> int:
        """sizeof(NAME_ctx) where pointers have 32 bits: the arena, halfwords, a multiple of four."""
        halfwords = 2 + self.longest_segment + (2 if self.is_fed else 0)
        return 4 + -(-2 * halfwords // 4) * 4

    @functools.cached_property
    def fingerprint(self) -> str:
        """32 bits of a digest of tables, addresses and order, as C: it names this compile in each of its files."""
        places = [(buffer.offset, buffer.row_bytes, buffer.rows) for buffer in (*self.buffers, self.output)]
        digest = hashlib.sha256(repr((self.target, self.feed, self.segments, places)).encode())
        for call in self.calls:
            digest.update(
                repr((call.body, call.work.fields, call.work.structs, call.scratch_offset, call.needs)).encode()
            )
            for table in call.tables:
                digest.update(table.values.tobytes())
        return f"0x{digest.hexdigest()[:8]}"

    @property
    def segment_starts(self) -> tuple[int, ...]:
        """The first step of each segment, and one past the last step."""
        steps = [first + self.is_fed for first, _ in self.segments]
        return (0, *steps[1:], len(self.calls) + self.is_fed)

    @property
    def feed_last_consumer(self) -> int:
        return max((step for step, _, _ in self.feeds), default=0)

    @property
    def feeds(self) -> tuple[tuple[int, int, int], ...]:
        """(step of the first segment, stride, pad) of each layer that reads pushed rows: a unit of row y no longer
        needs rows before y * stride - pad."""
        first = self.calls[: self.segments[0][1]] if self.is_fed else ()
        return tuple(
            (call.layer + 1, access.stride, access.pad)
            for call in first
            for access in call.reads
            if access.tensor == self.input.tensor
        )


def program(network: QuantizedNetwork, plan: Plan, target: str, known: Ranges, bodies: BodySet = FASTEST) -> Program:
    """Fill in the plan: every call with its literal arguments and packed tables; dsp kernels with inner ``bodies``."""
    block_of = {name: block.name for block in network.blocks for _, name in block.roles}
    bodies = replace(bodies, rests=rests(network, plan.candidates))
    dsp = DspPacker(network, known, bodies) if any(c.contract.body in DSP_BODIES for c in plan.candidates) else None
    calls = []
    segments = []
    for segment in plan.segments:
        working = [step for step in segment.steps if step.layer != FEED]
        segments.append((working[0].layer, working[-1].layer + 1))
        calls += [_call(network, plan, segment.steps, step, block_of, dsp) for step in working]
    return Program(
        network,
        known,
        target,
        plan.feed,
        tuple(calls),
        tuple(segments),
        plan.buffers,
        plan.buffer(network.inputs[0]).by_rows(),
        plan.buffer(network.outputs[0]).by_rows(),
        tuple(sorted({call.body for call in calls})),
        tuple(sorted({body for call in calls for body in call.work.bodies})),
        plan.arena_bytes,
        max(range(len(calls)), key=lambda layer: calls[layer].live_bytes),
        plan.keep_input,
        plan.arena_align,
    )


def _call(
    network: QuantizedNetwork,
    plan: Plan,
    segment: tuple[Step, ...],
    step: Step,
    block_of: dict[str, str],
    dsp: DspPacker | None,
) -> Call:
    operator = network.operators[step.layer]
    body = plan.candidates[step.layer].contract.body
    producers = {other.writes: index for index, other in enumerate(segment)}  # in rows mode the caller is step 0
    consumers = [i for i, other in enumerate(segment) if any(r.tensor == step.writes for r in other.reads)]
    tight = plan.candidates[step.layer].contract.tight
    inputs = tuple(plan.buffer(access.tensor) for access in step.reads)
    output = plan.buffer(step.writes)
    passing = plan.buffer(step.passing) if step.passing is not None else None
    if not tight:
        inputs, output = tuple(buffer.by_rows() for buffer in inputs), output.by_rows()
    scratch = next((s for s in plan.scratches if s.operator == operator.name), None)
    room = scratch.offset if scratch else None
    if body in DSP_BODIES:
        assert dsp is not None
        work = dsp.work(operator, body, inputs, output, room, passing)
    else:
        work = plain_work(network, operator, body, inputs, output, room)
    return Call(
        step.layer,
        operator.name,
        operator.kind,
        block_of.get(operator.name, "layer"),  # networks that were not lowered here may have no blocks
        body,
        work,
        inputs,
        output,
        passing,
        room,
        scratch.size if scratch else 0,
        scratch.parts if scratch else 1,
        plan.candidates[step.layer].contract.keeps_scratch,
        tight,
        step.units,
        step.unit_columns,
        step.idle,
        step.accumulates,
        step.band // output.joined,
        step.reads,
        tuple(_need(producers[r.tensor], r, step.units) for r in step.reads if r.tensor in producers),
        max([segment.index(step), *consumers]),
        network.shape(operator.inputs[0]),
        network.shape(operator.outputs[0]),
        macs(operator, network),
        macs_again(plan.candidates[step.layer], operator, network),
        plan.candidates[step.layer].instructions,
        plan.live_bytes[step.layer],
    )


def _need(source: int, read: Access, units: int) -> Need:
    c = read.columns
    if read.is_own_place and units <= read.places:
        return Need(source, 0, 0, 0, 0, 0, 0)
    return Need(source, read.height, read.stride, read.span - read.pad, c.count, c.stride, c.span - c.pad)
