"""Plan: the segments, and a place in the arena for every tensor, ring and scratch.

A tensor at a cut between two segments stands whole in the arena; inside a segment it is a ring of the few rows that
are needed. Cuts are chosen by dynamic programming so that the largest segment is as small as can be; then everything
is placed at once (placement.py), so that outputs and rings overlay input that is dying.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.candidates import choose, without
from mbv2gen.kernels import Candidate
from mbv2gen.layouts import Layout, RowNHWC, UInt8Lines
from mbv2gen.placement import Item, place
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.schedule import FEED, Lives, Step, lives, order, steps
from mbv2gen.schedule import feed as caller

Times = NDArray[np.int64]

MAX_CHAIN = 8  # blocks pulled together in one segment
ARENA_ALIGN = 16


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
    layouts = _layouts(network, chosen)
    cuts = [0, *range(2 if feed == "rows" else 1, len(all_steps) + 1)]
    goal = 0
    seed: dict[str, int] = {}
    if fuse:
        goal, cuts, seed = _best_cuts(network, all_steps, layouts, chosen, keep_input)
    segments = tuple(all_steps[a:b] for a, b in itertools.pairwise(cuts))
    timeline = _Timeline(network, segments, layouts, chosen, keep_input)
    offsets, size = place(timeline.items, goal=goal, seed=seed)
    buffers = tuple(
        Buffer(name, layouts[name], offsets[name], layouts[name].row_bytes(network.shape(name)), rows)
        for name, rows in timeline.rows.items()
    )
    scratches = tuple(
        Scratch(operator, offsets[_scratch_name(operator)], size) for operator, size in timeline.scratches.items()
    )
    return Plan(
        chosen,
        tuple(Segment(s) for s in segments),
        buffers,
        scratches,
        -(-size // ARENA_ALIGN) * ARENA_ALIGN,
        timeline.live_bytes(),
        feed,
        keep_input,
    )


def _slots(begin: Times, row_bytes: int, first: Times, last: Times) -> tuple[Times, Times, Times, Times]:
    """One range a slot of a ring, alive from its first row's write to its last row's last read."""
    slots = np.unique(begin)
    firsts = np.array([first[begin == slot].min() for slot in slots])
    lasts = np.array([last[begin == slot].max() for slot in slots])
    return slots, slots + row_bytes, firsts, lasts


def affordable(
    network: QuantizedNetwork, options: dict[str, tuple[Candidate, ...]], *, feed: str, keep_input: bool
) -> Plan:
    """The plan of the fastest kernels that need no more memory than the least: wide ones only where there is room."""
    names = {operator.name for operator in network.operators}
    lean = plan(network, choose(network, without(options, names)), feed=feed, keep_input=keep_input)
    refused: set[str] = set()
    while refused != names:
        chosen = choose(network, without(options, refused))
        if chosen == lean.candidates:
            break
        fast = plan(network, chosen, feed=feed, keep_input=keep_input)
        if fast.arena_bytes <= lean.arena_bytes:
            return fast
        refused |= _wide_at_peak(fast, lean.arena_bytes) or names
    return lean


def _wide_at_peak(fast: Plan, limit: int) -> set[str]:
    """Operators with wide kernels, in the segments whose operators keep more than ``limit`` bytes alive; where
    there is none (the placement is the trouble), in the fullest segment that has any."""
    live = {s: max(fast.live_bytes[step.layer] for step in s.steps if step.layer != FEED) for s in fast.segments}
    wide = {
        s: {step.operator for step in s.steps if step.layer != FEED and fast.candidates[step.layer].contract.wide}
        for s in fast.segments
    }
    over = set().union(*(names for s, names in wide.items() if live[s] > limit))
    fullest = max(fast.segments, key=lambda s: live[s] if wide[s] else -1)
    return over or wide[fullest]


def _scratch_name(operator: str) -> str:
    return f"scratch of {operator}"


def _layouts(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> dict[str, Layout]:
    layouts: dict[str, Layout] = {name: RowNHWC() for name in network.inputs}
    for operator, candidate in zip(network.operators, chosen, strict=True):
        layouts[operator.outputs[0]] = candidate.output_layout
    return layouts


class _Timeline:
    """The lives of all rows over a run of segments, as items to place. Time: one unit of work a tick, from 0."""

    def __init__(
        self,
        network: QuantizedNetwork,
        segments: tuple[tuple[Step, ...], ...],
        layouts: dict[str, Layout],
        chosen: tuple[Candidate, ...],
        keep_input: bool,
    ) -> None:
        merged: dict[str, Lives] = {}
        crossing: set[str] = set()
        self._unit_times: dict[int, Times] = {}
        time = 0
        for segment in segments:
            sequence = order(segment)
            written_here = {step.writes for step in segment}
            for name, life in lives(segment, sequence, time).items():
                if name not in written_here:
                    crossing.add(name)
                if name in merged:
                    life = Lives(merged[name].written, np.maximum(merged[name].last_read, life.last_read))
                merged[name] = life
            for index, step in enumerate(segment):
                self._unit_times[step.layer] = np.nonzero(sequence[:, 0] == index)[0] + time
            time += len(sequence)
        fed = any(step.layer == FEED for segment in segments for step in segment)
        crossing |= {*network.outputs, *(() if fed else network.inputs)}
        for name in (*network.outputs, *(network.inputs if keep_input else ())):
            if name in merged:
                merged[name] = Lives(merged[name].written, np.full_like(merged[name].last_read, time))
        bands = {step.writes: step.band for segment in segments for step in segment}
        self.rows = {
            n: len(l.written) if n in crossing else min(len(l.written), -(-l.ring_rows() // bands[n]) * bands[n])
            for n, l in merged.items()
        }
        whole = {read.tensor for segment in segments for step in segment for read in step.reads if read.stride == 0}
        self.rows |= {n: len(merged[n].written) for n in whole if n in merged}  # a unit that reads all rows wants them in order
        over = {s.writes: s.reads[0].tensor for segment in segments for s in segment if s.in_place}
        items = []
        for name, life in merged.items():
            row_bytes = layouts[name].row_bytes(network.shape(name))
            begin = np.arange(len(life.written)) % self.rows[name] * row_bytes
            size = self.rows[name] * row_bytes
            end, first, last = begin + row_bytes, life.written, life.last_read
            if isinstance(layouts[name], UInt8Lines):  # a slot is cleared once, for all its rows
                begin, end, first, last = _slots(begin, row_bytes, first, last)
            if fed and name in network.inputs:  # rows are pushed as soon as the ring has room, not only when due
                begin, end = np.array([0]), np.array([size])
                first, last = np.array([-1]), np.array([life.last_read.max()])
            items.append(Item(name, size, begin, end, first, last, over.get(name)))
        self.scratches: dict[str, int] = {}
        for segment in segments:
            for step in segment:
                if step.layer == FEED:
                    continue
                contract = chosen[step.layer].contract
                size = contract.scratch_bytes(network.operators[step.layer], network)
                if size:
                    self.scratches[step.operator] = size
                    times = self._unit_times[step.layer]
                    first, last = (times[:1], times[-1:]) if contract.keeps_scratch else (times, times)
                    zero = np.zeros(len(first), np.int64)
                    items.append(Item(_scratch_name(step.operator), size, zero, zero + size, first, last))
        self.items = tuple(items)

    def live_bytes(self) -> tuple[int, ...]:
        end = max(int(item.last.max()) for item in self.items) + 2
        change = np.zeros(end + 2, np.int64)
        for item in self.items:
            np.add.at(change, item.first + 1, item.end - item.begin)
            np.add.at(change, item.last + 2, item.begin - item.end)
        alive = np.cumsum(change)
        return tuple(int(alive[times + 1].max()) for layer, times in sorted(self._unit_times.items()) if layer != FEED)


def _boundaries(network: QuantizedNetwork) -> list[int]:
    """Operator indices at which a segment may begin: between blocks, and anywhere but in an inverted residual."""
    index = {operator.name: k for k, operator in enumerate(network.operators)}
    inside: set[int] = set()
    for block in network.blocks:
        if block.kind in ("InvertedResidual", "SeparableConv"):
            members = sorted(index[name] for _, name in block.roles)
            inside |= set(members[1:])
    return [k for k in range(len(network.operators) + 1) if k not in inside]


def _best_cuts(
    network: QuantizedNetwork,
    all_steps: tuple[Step, ...],
    layouts: dict[str, Layout],
    chosen: tuple[Candidate, ...],
    keep_input: bool,
) -> tuple[int, list[int]]:
    """(bytes of the largest segment, cuts): the cuts that make the largest segment it smallest, of those the ones with the fewest operators in chains."""
    marks = _boundaries(network)
    if all_steps[0].layer == FEED:
        marks = [0, *(mark + 1 for mark in marks[1:])]

    placements: dict[tuple[int, int], dict[str, int]] = {}

    def cost(a: int, b: int, enough: int) -> int:
        offsets, size = _place_segment(network, all_steps, layouts, chosen, keep_input, marks[a], marks[b], enough)
        placements[marks[a], marks[b]] = offsets
        return size

    peak, cuts, largest = _least_peak(marks, cost)
    return peak, cuts, placements[largest]


def _least_peak(
    marks: list[int], cost: Callable[[int, int, int], int]
) -> tuple[int, list[int], tuple[int, int]]:
    """The path through ``marks`` that minimises (largest cost, sum of squared lengths), and its largest segment.

    ``cost`` (from, to, enough) need not look for less than ``enough``: the path costs that much already.
    """
    best: list[tuple[int, int, list[int], tuple[int, int]]] = [(0, 0, [marks[0]], (marks[0], marks[0]))]
    for b in range(1, len(marks)):
        found: tuple[int, int, list[int], tuple[int, int]] | None = None
        for a in range(b - 1, max(-1, b - 1 - MAX_CHAIN), -1):
            peak, length, path, largest = best[a]
            length += (marks[b] - marks[a]) ** 2
            if found and (peak, length) >= found[:2]:
                continue  # no chain from here can be smaller
            size = cost(a, b, peak)
            if size > peak:
                peak, largest = size, (marks[a], marks[b])
            option = (peak, length, [*path, marks[b]], largest)
            if found is None or option < found:
                found = option
        assert found is not None
        best.append(found)
    return best[-1][0], best[-1][2], best[-1][3]


def _place_segment(
    network: QuantizedNetwork,
    all_steps: tuple[Step, ...],
    layouts: dict[str, Layout],
    chosen: tuple[Candidate, ...],
    keep_input: bool,
    a: int,
    b: int,
    enough: int,
) -> tuple[dict[str, int], int]:
    """Offsets and bytes of the segment of steps a..b-1 alone, its whole input and output included; ``enough`` bytes
    are few enough."""
    members = all_steps[a:b]
    later = {read.tensor for step in all_steps[b:] for read in step.reads} | set(network.outputs)
    timeline = _Timeline(network, (members,), layouts, chosen, keep_input)
    end = max(int(item.last.max()) for item in timeline.items) + 1
    items = []
    for item in timeline.items:
        if item.name in later:
            row = item.size // timeline.rows[item.name]
            height = layouts[item.name].rows(network.shape(item.name))
            begin = np.arange(height) * row if height == len(item.first) else np.zeros(1, np.int64)
            stop = begin + row if height == len(item.first) else begin + height * row
            first, last = item.first[: len(begin)], np.full(len(begin), end)
            item = Item(item.name, height * row, begin, stop, first, last, item.over)
        items.append(item)
    here = {item.name for item in items}
    earlier = {step.writes for step in all_steps[:a]}
    if all_steps[0].layer != FEED:
        earlier |= set(network.inputs)
    for name in sorted((earlier & later) - here):  # tensors that wait for a later segment
        size = layouts[name].row_bytes(network.shape(name)) * layouts[name].rows(network.shape(name))
        one = np.array([-1])
        items.append(Item(name, size, one * 0, one * 0 + size, one, one * 0 + end))
    return place(tuple(items), goal=enough)
