# SPDX-License-Identifier: Apache-2.0
"""Timeline: when every byte range of a run of segments is alive, as items to place.

Time counts units of work, from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mbv2gen.planning import schedule
from mbv2gen.planning.kernels import Candidate, scratch_parts
from mbv2gen.planning.layouts import Layout, RowNHWC, UInt8Lines
from mbv2gen.planning.placement import Item
from mbv2gen.planning.schedule import FEED, Lives, Step, lives, order
from mbv2gen.planning.tight import tensor_columns
from mbv2gen.quantized_network import QuantizedNetwork

Times = NDArray[np.int64]
Segments = tuple[tuple[Step, ...], ...]
ScratchSize = tuple[int, int]  # bytes, and in how many parts that units take in turn


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
        steps = schedule.steps(network, chosen)
        caller = (schedule.feed(network, steps),) if feed == "rows" else ()
        return cls(network, chosen, (*caller, *steps), keep_input)

    def with_kernels(self, chosen: tuple[Candidate, ...]) -> Problem:
        return Problem.of(self.network, chosen, feed=self.feed, keep_input=self.keep_input)

    @property
    def feed(self) -> str:
        return "rows" if self.is_fed else "frame"

    @property
    def is_fed(self) -> bool:
        return self.steps[0].layer == FEED

    @cached_property
    def columns(self) -> dict[str, int]:
        """Tensor -> columns a row."""
        return tensor_columns(self.network, self.chosen)

    def kernels(self, first: int, end: int) -> tuple[Candidate, ...]:
        """Of the steps first .. end - 1."""
        return self.chosen[max(0, first - self.is_fed) : max(0, end - self.is_fed)]

    @cached_property
    def _rings(self) -> dict[str, tuple[str, Layout]]:
        """Ring -> its tensor, and the layout it is written in."""
        rings: dict[str, tuple[str, Layout]] = {name: (name, RowNHWC()) for name in self.network.inputs}
        for step in self.steps:
            if step.layer != FEED:
                ring = step.writes, self.chosen[step.layer].output_layout
                rings |= {name: ring for name in (step.writes, step.passing) if name is not None}
        return rings

    def tensor(self, ring: str) -> str:
        """The tensor that stands in a ring."""
        return self._rings[ring][0]

    def layout(self, ring: str) -> Layout:
        """The layout of the tensor in a ring."""
        return self._rings[ring][1]

    def place_bytes(self, ring: str) -> int:
        """Bytes of a row, or of a column where rows are cut into columns."""
        layout, tensor = self.layout(ring), self.tensor(ring)
        size = layout.row_bytes(self.network.shape(tensor))
        return size // self.columns[tensor] if isinstance(layout, RowNHWC) else size

    @cached_property
    def _in_pairs(self) -> frozenset[str]:
        readers = zip(self.network.operators, self.chosen, strict=True)
        return frozenset(operator.inputs[0] for operator, kernel in readers if kernel.contract.in_pairs)

    def spill(self, ring: str) -> int:
        """Bytes behind a tensor that are read with it, whatever they are, so that the arena must not end before."""
        return self.network.shape(self.tensor(ring))[2] % 2 if ring in self._in_pairs else 0

    def places(self, ring: str) -> int:
        """Rows or columns of the whole tensor, as its layout counts them."""
        layout, tensor = self.layout(ring), self.tensor(ring)
        rows = layout.rows(self.network.shape(tensor))
        return rows * self.columns[tensor] if isinstance(layout, RowNHWC) else rows


@dataclass(frozen=True, eq=False)
class Timeline:
    """``places``: of each tensor the rows (or columns) that stand in the arena at a time, a ring where fewer than it
    has; ``scratches``: of operators that have some; ``times``: when each layer's units run."""

    items: tuple[Item, ...]
    places: dict[str, int]
    scratches: dict[str, ScratchSize]
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
    places = _places(segments, all_lives, crossing)
    over = {step.writes: step.reads[0].tensor for segment in segments for step in segment if step.in_place}
    pushed = problem.network.inputs if fed else ()
    tensors = [
        _tensor_item(problem, name, life, places[name], name in pushed, over.get(name))
        for name, life in all_lives.items()
    ]
    scratches = _scratches(problem, segments)
    return Timeline((*tensors, *_scratch_items(problem, scratches, times)), places, scratches, times)


def _lives(segments: Segments) -> tuple[dict[str, Lives], set[str], dict[int, Times], int]:
    """Lives of all tensors, those that cross a cut, the times of each layer's units, and the end."""
    merged: dict[str, Lives] = {}
    crossing: set[str] = set()
    times: dict[int, Times] = {}
    now = 0
    for segment in segments:
        sequence = order(segment)
        written_here = {name for step in segment for name in (step.writes, step.passing)}
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


def _places(segments: Segments, all_lives: dict[str, Lives], crossing: set[str]) -> dict[str, int]:
    """Whole tensors at cuts, and where a unit reads all rows and wants them in order; else rings, of whole bands, and
    of whole rows where columns are read or written by rows."""
    reads = [read for segment in segments for step in segment for read in step.reads]
    whole = crossing | {read.tensor for read in reads if read.stride == 0}
    turns: dict[str, int] = {step.writes: step.band for segment in segments for step in segment}
    for read in reads:
        if read.columns.stride == 0:
            turns[read.tensor] = math.lcm(turns.get(read.tensor, 1), read.columns.count)
    places = {}
    for name, life in all_lives.items():
        height, turn = len(life.written), turns.get(name, 1)
        places[name] = height if name in whole else min(height, -(-life.ring_places() // turn) * turn)
    return places


def _tensor_item(problem: Problem, name: str, life: Lives, places: int, pushed: bool, over: str | None) -> Item:
    place_bytes = problem.place_bytes(name)
    begin = np.arange(len(life.written)) % places * place_bytes
    end, first, last = begin + place_bytes, life.written, life.last_read
    if isinstance(problem.layout(name), UInt8Lines):  # a slot is cleared once, for all its rows
        begin, end, first, last = _slots(begin[:places], place_bytes, first, last)
    if pushed:  # as soon as the ring has room, not only when a row is due
        begin, end = np.array([0]), np.array([places * place_bytes])
        first, last = np.array([-1]), np.array([life.last_read.max()])
    return Item(name, places * place_bytes + problem.spill(name), begin, end, first, last, over)


def _slots(begin: Times, row_bytes: int, first: Times, last: Times) -> tuple[Times, Times, Times, Times]:
    """One range a slot of a ring, alive from its first row's write to its last row's last read."""
    n = len(begin)
    firsts = np.array([first[slot::n].min() for slot in range(n)])
    lasts = np.array([last[slot::n].max() for slot in range(n)])
    return begin, begin + row_bytes, firsts, lasts


def _scratches(problem: Problem, segments: Segments) -> dict[str, ScratchSize]:
    sizes = {}
    for segment in segments:
        for step in segment:
            if step.layer != FEED:
                kernel, operator = problem.chosen[step.layer], problem.network.operators[step.layer]
                size = kernel.contract.scratch_bytes(operator, problem.network)
                sizes[step.operator] = size, scratch_parts(kernel, operator, problem.network)
    return {operator: size for operator, size in sizes.items() if size[0]}


def _scratch_items(problem: Problem, scratches: dict[str, ScratchSize], times: dict[int, Times]) -> list[Item]:
    items = []
    for layer, at in sorted(times.items()):
        name = problem.network.operators[layer].name if layer != FEED else ""
        if name in scratches:
            size, parts = scratches[name]
            keeps = problem.chosen[layer].contract.keeps_scratch
            first, last = (at[:parts], at[-parts:]) if keeps else (at, at)
            begin = np.arange(len(first)) % parts * (size // parts)
            items.append(Item(scratch_name(name), size, begin, begin + size // parts, first, last))
    return items
