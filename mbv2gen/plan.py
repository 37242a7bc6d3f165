# SPDX-License-Identifier: Apache-2.0
"""Plan: the segments, and a place in the arena for every tensor, ring and scratch.

A tensor at a cut between two segments stands whole in the arena; inside a segment it is a ring of the few rows that
are needed. Cuts are chosen by dynamic programming so that the largest segment is as small as can be; then everything
is placed at once (planning/placement.py), so that outputs and rings overlay input that is dying.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mbv2gen.planning.cuts import Pieces, layer_by_layer
from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.layouts import Layout
from mbv2gen.planning.placement import place
from mbv2gen.planning.schedule import Step
from mbv2gen.planning.timeline import Problem, scratch_name, timeline
from mbv2gen.quantized_network import QuantizedNetwork

ARENA_ALIGN = 16


@dataclass(frozen=True)
class Buffer:
    """A tensor's home: row r stands at offset + (r mod rows) * row_bytes. ``rows`` below the height makes it a ring.

    Where a row of the tensor is cut into ``columns``, rows here are columns, counted row by row; in a view by whole
    rows each row is ``joined`` of them. ``spill``: bytes behind it that are read with it, whatever they are.
    """

    tensor: str
    layout: Layout
    offset: int
    row_bytes: int
    rows: int
    columns: int = 1
    joined: int = 1
    spill: int = 0

    @property
    def size(self) -> int:
        return self.rows * self.row_bytes

    def by_rows(self) -> Buffer:
        """The same bytes, for a kernel that reads or writes whole rows."""
        n = self.columns
        return replace(self, row_bytes=self.row_bytes * n, rows=self.rows // n, columns=1, joined=n)


@dataclass(frozen=True)
class Scratch:
    """Memory that one operator needs for itself, in ``parts`` that its units take in turn."""

    operator: str
    offset: int
    size: int
    parts: int = 1


@dataclass(frozen=True)
class Segment:
    """Operators that run together, row by row."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """Where and in which order everything runs. ``live_bytes``: per layer, the most bytes alive while it works.
    ``arena_align``: the arena stands at a multiple of it, and has a multiple of it in bytes."""

    candidates: tuple[Candidate, ...]
    segments: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    scratches: tuple[Scratch, ...]
    arena_bytes: int
    live_bytes: tuple[int, ...]
    feed: str
    keep_input: bool
    arena_align: int = ARENA_ALIGN

    @property
    def instructions(self) -> int:
        """The kernels' estimates for one inference."""
        return sum(round(candidate.instructions) for candidate in self.candidates)

    def buffer(self, tensor: str) -> Buffer:
        return next(b for b in self.buffers if b.tensor == tensor)

    def with_input_at(self, tensor: str, alignment: int) -> Plan:
        """The same plan with ``tensor``, the input, at a multiple of ``alignment``, a power of two: all of it moves up.

        The arena becomes a whole number of pieces of so many bytes, so that no piece of the input reaches beyond it:
        where pieces are a data cache's lines, a DMA may write the input and nothing else shares its lines. That costs
        less than twice the alignment.
        """
        align = max(ARENA_ALIGN, alignment)
        up = -self.buffer(tensor).offset % alignment
        end = (
            max([b.offset + b.size + b.spill for b in self.buffers] + [s.offset + s.size for s in self.scratches]) + up
        )
        return replace(
            self,
            buffers=tuple(replace(buffer, offset=buffer.offset + up) for buffer in self.buffers),
            scratches=tuple(replace(scratch, offset=scratch.offset + up) for scratch in self.scratches),
            arena_bytes=-(-end // align) * align,
            arena_align=align,
        )


def plan(
    network: QuantizedNetwork,
    chosen: tuple[Candidate, ...],
    *,
    feed: str = "frame",
    fuse: bool = True,
    keep_input: bool = False,
) -> Plan:
    """The plan with the least peak; ``fuse=False`` runs layer by layer, every tensor whole.

    ``feed`` is frame (the caller puts the whole input into the arena; ``keep_input``: and finds it there afterwards)
    or rows (the caller pushes rows into a ring).
    """
    problem = Problem.of(network, chosen, feed=feed, keep_input=keep_input)
    if not fuse:
        return placed(problem, layer_by_layer(problem))
    pieces = Pieces((problem,))
    path = pieces.fastest([0], pieces.least_peak([0]))
    return placed(problem, [piece.end for piece in path], *pieces.largest(path))


def placed(problem: Problem, ends: Sequence[int], goal: int = 0, seed: Mapping[str, int] | None = None) -> Plan:
    """The plan of segments that end at the steps ``ends``; ``goal`` and ``seed`` as ``placement.place`` takes them."""
    segments = tuple(problem.steps[a:b] for a, b in itertools.pairwise((0, *ends)))
    lines = timeline(problem, segments)
    offsets, arena_bytes = place(lines.items, goal=goal, seed=seed)
    return Plan(
        problem.chosen,
        tuple(Segment(s) for s in segments),
        tuple(
            Buffer(
                name,
                problem.layout(name),
                offsets[name],
                problem.place_bytes(name),
                places,
                problem.columns[problem.tensor(name)],
                spill=problem.spill(name),
            )
            for name, places in lines.places.items()
        ),
        tuple(Scratch(operator, offsets[scratch_name(operator)], *size) for operator, size in lines.scratches.items()),
        aligned(arena_bytes),
        lines.live_bytes(),
        problem.feed,
        problem.keep_input,
    )


def aligned(size: int) -> int:
    """An arena's bytes for ``size`` of them."""
    return -(-size // ARENA_ALIGN) * ARENA_ALIGN
