"""Plan: the segments, and a place in the arena for every tensor, ring and scratch.

A tensor at a cut between two segments stands whole in the arena; inside a segment it is a ring of the few rows that
are needed. Cuts are chosen by dynamic programming so that the largest segment is as small as can be; then everything
is placed at once (planning/placement.py), so that outputs and rings overlay input that is dying.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from mbv2gen.candidates import choose, without
from mbv2gen.planning.cuts import best_cuts, layer_by_layer
from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.layouts import Layout
from mbv2gen.planning.placement import place
from mbv2gen.planning.schedule import FEED, Step, steps
from mbv2gen.planning.schedule import feed as caller
from mbv2gen.planning.timeline import Problem, scratch_name, timeline
from mbv2gen.quantized_network import QuantizedNetwork

ARENA_ALIGN = 16
NEAR = 1.02  # an arena so much above the bytes alive in a segment is taken to be that segment's


@dataclass(frozen=True)
class Buffer:
    """A tensor's home: row r stands at offset + (r mod rows) * row_bytes. ``rows`` below the height makes it a ring."""

    tensor: str
    layout: Layout
    offset: int
    row_bytes: int
    rows: int

    @property
    def size(self) -> int:
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class Scratch:
    """Memory that one operator needs for itself."""

    operator: str
    offset: int
    size: int


@dataclass(frozen=True)
class Segment:
    """Operators that run together, row by row."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """Where and in which order everything runs. ``live_bytes``: per layer, the most bytes alive while it works."""

    candidates: tuple[Candidate, ...]
    segments: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    scratches: tuple[Scratch, ...]
    arena_bytes: int
    live_bytes: tuple[int, ...]
    feed: str
    keep_input: bool

    def buffer(self, tensor: str) -> Buffer:
        return next(b for b in self.buffers if b.tensor == tensor)


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
    all_steps = (*((caller(network),) if feed == "rows" else ()), *steps(network, chosen))
    problem = Problem(network, chosen, all_steps, keep_input)
    cuts = best_cuts(problem) if fuse else layer_by_layer(problem)
    segments = tuple(all_steps[a:b] for a, b in itertools.pairwise(cuts.marks))
    lines = timeline(problem, segments)
    offsets, arena_bytes = place(lines.items, goal=cuts.peak_bytes, seed=cuts.peak_offsets)
    return Plan(
        chosen,
        tuple(Segment(s) for s in segments),
        tuple(
            Buffer(name, problem.layout(name), offsets[name], problem.row_bytes(name), rows)
            for name, rows in lines.rows.items()
        ),
        tuple(Scratch(operator, offsets[scratch_name(operator)], size) for operator, size in lines.scratches.items()),
        -(-arena_bytes // ARENA_ALIGN) * ARENA_ALIGN,
        lines.live_bytes(),
        feed,
        keep_input,
    )


def affordable(
    network: QuantizedNetwork, options: dict[str, tuple[Candidate, ...]], *, feed: str, keep_input: bool
) -> Plan:
    """The plan of the fastest kernels that need no more memory than the least: wide ones only where there is room."""
    names = {operator.name for operator in network.operators}
    fast = plan(network, choose(network, options), feed=feed, keep_input=keep_input)
    elsewhere = max((alive for alive, wide in _alive(fast) if not wide), default=0)
    if fast.arena_bytes <= elsewhere * NEAR:
        return fast  # segments without wide kernels decide
    lean = plan(network, choose(network, without(options, names)), feed=feed, keep_input=keep_input)
    refused: set[str] = set()
    while fast.arena_bytes > lean.arena_bytes:
        alive = [(most, wide) for most, wide in _alive(fast) if wide]
        above = [wide for most, wide in alive if most > lean.arena_bytes]
        refused |= set().union(*(above or [max(alive, key=lambda pair: pair[0])[1]]))
        fast = plan(network, choose(network, without(options, refused)), feed=feed, keep_input=keep_input)
    return fast


def _alive(fast: Plan) -> list[tuple[int, set[str]]]:
    """Of each segment the most bytes alive, and its operators with wide kernels."""
    result = []
    for segment in fast.segments:
        layers = [step for step in segment.steps if step.layer != FEED]
        wide = {step.operator for step in layers if fast.candidates[step.layer].contract.wide}
        result.append((max(fast.live_bytes[step.layer] for step in layers), wide))
    return result
