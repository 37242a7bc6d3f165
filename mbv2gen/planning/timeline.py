"""Timeline: when every byte range of a run of segments is alive, as items to place.

Time counts units of work, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.planning import schedule
from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.layouts import Layout, RowNHWC, UInt8Lines
from mbv2gen.planning.placement import Item
from mbv2gen.planning.schedule import FEED, Lives, Step, lives, order
from mbv2gen.quantized_network import QuantizedNetwork

Times = NDArray[np.int64]
Segments = tuple[tuple[Step, ...], ...]


@dataclass(frozen=True)
class Problem:
    """What is to be planned: a network with a kernel an operator, and the steps of the whole run."""

    network: QuantizedNetwork
    chosen: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    keep_input: bool

    @classmethod
    def of(cls, network: QuantizedNetwork, chosen: tuple[Candidate, ...], *, feed: str, keep_input: bool) -> Problem:
        """``feed`` is frame or rows."""
        caller = (schedule.feed(network),) if feed == "rows" else ()
        return cls(network, chosen, (*caller, *schedule.steps(network, chosen)), keep_input)

    def with_kernels(self, chosen: tuple[Candidate, ...]) -> Problem:
        return Problem.of(self.network, chosen, feed=self.feed, keep_input=self.keep_input)

    @property
    def feed(self) -> str:
        return "rows" if self.is_fed else "frame"

    @property
    def is_fed(self) -> bool:
        return self.steps[0].layer == FEED

    def layout(self, tensor: str) -> Layout:
        if tensor in self.network.inputs:
            return RowNHWC()
        operators = zip(self.network.operators, self.chosen, strict=True)
        return next(candidate.output_layout for operator, candidate in operators if operator.outputs[0] == tensor)

    def kernels(self, first: int, end: int) -> tuple[Candidate, ...]:
        """Of the steps first .. end - 1."""
        return self.chosen[max(0, first - self.is_fed) : end - self.is_fed]

    def row_bytes(self, tensor: str) -> int:
        return self.layout(tensor).row_bytes(self.network.shape(tensor))


@dataclass(frozen=True, eq=False)
class Timeline:
    """``rows``: of each tensor the rows that stand in the arena at a time (a ring where fewer than it has);
    ``scratches``: bytes an operator; ``times``: when each layer's units run."""

    items: tuple[Item, ...]
    rows: dict[str, int]
    scratches: dict[str, int]
    times: dict[int, Times]

    def live_bytes(self) -> tuple[int, ...]:
        """Per layer, the most bytes alive while it works."""
        end = max(int(item.last.max()) for item in self.items) + 2
        change = np.zeros(end + 2, np.int64)
        for item in self.items:
            np.add.at(change, item.first + 1, item.end - item.begin)
            np.add.at(change, item.last + 2, item.begin - item.end)
        alive = np.cumsum(change)
        return tuple(int(alive[times + 1].max()) for layer, times in sorted(self.times.items()) if layer != FEED)


def scratch_name(operator: str) -> str:
    """The name of an operator's scratch among the items."""
    return f"scratch of {operator}"


def timeline(problem: Problem, segments: Segments) -> Timeline:
    """The timeline of ``segments``, which are consecutive steps of the problem."""
    all_lives, crossing, times, end = _lives(segments)
    fed = any(step.layer == FEED for segment in segments for step in segment)
    kept = problem.network.inputs if problem.keep_input else ()
    for name in {*problem.network.outputs, *kept} & set(all_lives):
        all_lives[name] = Lives(all_lives[name].written, np.full_like(all_lives[name].last_read, end))
    crossing |= {*problem.network.outputs, *(() if fed else problem.network.inputs)}
    rows = _rows(segments, all_lives, crossing)
    over = {step.writes: step.reads[0].tensor for segment in segments for step in segment if step.in_place}
    pushed = problem.network.inputs if fed else ()
    tensors = [
        _tensor_item(problem, name, life, rows[name], name in pushed, over.get(name))
        for name, life in all_lives.items()
    ]
    scratches = _scratches(problem, segments)
    return Timeline((*tensors, *_scratch_items(problem, scratches, times)), rows, scratches, times)


def _lives(segments: Segments) -> tuple[dict[str, Lives], set[str], dict[int, Times], int]:
    """Lives of all tensors, those that cross a cut, the times of each layer's units, and the end."""
    merged: dict[str, Lives] = {}
    crossing: set[str] = set()
    times: dict[int, Times] = {}
    now = 0
    for segment in segments:
        sequence = order(segment)
        written_here = {step.writes for step in segment}
        for name, life in lives(segment, sequence, now).items():
            if name not in written_here:
                crossing.add(name)
            before = merged.get(name)
            if before is None:
                merged[name] = life
            else:
                merged[name] = Lives(before.written, np.maximum(before.last_read, life.last_read))
        for index, step in enumerate(segment):
            times[step.layer] = np.nonzero(sequence[:, 0] == index)[0] + now
        now += len(sequence)
    return merged, crossing, times, now


def _rows(segments: Segments, all_lives: dict[str, Lives], crossing: set[str]) -> dict[str, int]:
    """Whole tensors at cuts, and where a unit reads all rows and wants them in order; else rings, of whole bands."""
    reads = [read for segment in segments for step in segment for read in step.reads]
    whole = crossing | {read.tensor for read in reads if read.stride == 0}
    bands = {step.writes: step.band for segment in segments for step in segment}
    rows = {}
    for name, life in all_lives.items():
        height = len(life.written)
        rows[name] = height if name in whole else min(height, -(-life.ring_rows() // bands[name]) * bands[name])
    return rows


def _tensor_item(problem: Problem, name: str, life: Lives, rows: int, pushed: bool, over: str | None) -> Item:
    row_bytes = problem.row_bytes(name)
    begin = np.arange(len(life.written)) % rows * row_bytes
    end, first, last = begin + row_bytes, life.written, life.last_read
    if isinstance(problem.layout(name), UInt8Lines):  # a slot is cleared once, for all its rows
        begin, end, first, last = _slots(begin, row_bytes, first, last)
    if pushed:  # as soon as the ring has room, not only when a row is due
        begin, end = np.array([0]), np.array([rows * row_bytes])
        first, last = np.array([-1]), np.array([life.last_read.max()])
    return Item(name, rows * row_bytes, begin, end, first, last, over)


def _slots(begin: Times, row_bytes: int, first: Times, last: Times) -> tuple[Times, Times, Times, Times]:
    """One range a slot of a ring, alive from its first row's write to its last row's last read."""
    slots = np.unique(begin)
    firsts = np.array([first[begin == slot].min() for slot in slots])
    lasts = np.array([last[begin == slot].max() for slot in slots])
    return slots, slots + row_bytes, firsts, lasts


def _scratches(problem: Problem, segments: Segments) -> dict[str, int]:
    sizes = {}
    for segment in segments:
        for step in segment:
            if step.layer != FEED:
                contract, operator = problem.chosen[step.layer].contract, problem.network.operators[step.layer]
                sizes[step.operator] = contract.scratch_bytes(operator, problem.network)
    return {operator: size for operator, size in sizes.items() if size}


def _scratch_items(problem: Problem, scratches: dict[str, int], times: dict[int, Times]) -> list[Item]:
    items = []
    for layer, at in sorted(times.items()):
        name = problem.network.operators[layer].name if layer != FEED else ""
        if name in scratches:
            keeps = problem.chosen[layer].contract.keeps_scratch
            first, last = (at[:1], at[-1:]) if keeps else (at, at)
            begin = np.zeros(len(first), np.int64)
            items.append(Item(scratch_name(name), scratches[name], begin, begin + scratches[name], first, last))
    return items
