"""Cuts: where one segment ends and the next begins. What stands whole in the arena is only what crosses a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mbv2gen.planning.placement import Item, place
from mbv2gen.planning.timeline import Problem, Timeline, timeline
from mbv2gen.quantized_network import QuantizedNetwork

MAX_CHAIN = 8  # blocks pulled together in one segment


@dataclass(frozen=True)
class Cuts:
    """``marks``: first step of each segment and one past the last; the largest segment's bytes and its offsets."""

    marks: tuple[int, ...]
    peak_bytes: int
    peak_offsets: dict[str, int]


def best_cuts(problem: Problem) -> Cuts:
    """The cuts that make the largest segment smallest, and of those the ones with the fewest operators in chains."""
    marks = _boundaries(problem.network)
    if problem.is_fed:
        marks = [0, *(mark + 1 for mark in marks[1:])]
    placements: dict[tuple[int, int], dict[str, int]] = {}

    def cost(a: int, b: int, enough: int) -> int:
        placements[marks[a], marks[b]], size = _place_segment(problem, marks[a], marks[b], enough)
        return size

    path = _least_peak(marks, cost)
    return Cuts(path.marks, path.peak, placements[path.largest])


def layer_by_layer(problem: Problem) -> Cuts:
    """A cut behind every operator; the caller who pushes rows goes with the first."""
    first = 2 if problem.is_fed else 1
    return Cuts((0, *range(first, len(problem.steps) + 1)), 0, {})


def _boundaries(network: QuantizedNetwork) -> list[int]:
    """Operator indices at which a segment may begin: between blocks, and anywhere but in an inverted residual."""
    index = {operator.name: k for k, operator in enumerate(network.operators)}
    inside: set[int] = set()
    for block in network.blocks:
        if block.kind in ("InvertedResidual", "SeparableConv"):
            members = sorted(index[name] for _, name in block.roles)
            inside |= set(members[1:])
    return [k for k in range(len(network.operators) + 1) if k not in inside]


@dataclass(frozen=True, order=True)
class _Path:
    """Ordered by its peak, then by the sum of squared lengths of its segments."""

    peak: int
    length: int
    marks: tuple[int, ...]
    largest: tuple[int, int]


def _least_peak(marks: list[int], cost: Callable[[int, int, int], int]) -> _Path:
    """The best path through ``marks``. ``cost`` (from, to, enough) need not look for less than ``enough``: the path
    costs that much already."""
    best = [_Path(0, 0, (marks[0],), (marks[0], marks[0]))]
    for b in range(1, len(marks)):
        found: _Path | None = None
        for a in range(b - 1, max(-1, b - 1 - MAX_CHAIN), -1):
            before = best[a]
            length = before.length + (marks[b] - marks[a]) ** 2
            if found and (before.peak, length) >= (found.peak, found.length):
                continue  # no chain from here can be smaller
            size = cost(a, b, before.peak)
            largest = (marks[a], marks[b]) if size > before.peak else before.largest
            path = _Path(max(size, before.peak), length, (*before.marks, marks[b]), largest)
            found = path if found is None else min(found, path)
        assert found is not None
        best.append(found)
    return best[-1]


def _place_segment(problem: Problem, a: int, b: int, enough: int) -> tuple[dict[str, int], int]:
    """Offsets and bytes of the segment of steps a..b-1 alone, its whole input and output included; ``enough`` bytes
    are few enough."""
    lines = timeline(problem, (problem.steps[a:b],))
    later = {read.tensor for step in problem.steps[b:] for read in step.reads} | set(problem.network.outputs)
    end = max(int(item.last.max()) for item in lines.items) + 1
    items = [_whole(problem, lines, item, end) if item.name in later else item for item in lines.items]
    here = {item.name for item in items}
    earlier = {step.writes for step in problem.steps[:a]} | set(() if problem.is_fed else problem.network.inputs)
    for name in sorted((earlier & later) - here):  # tensors that wait for a later segment
        size = problem.row_bytes(name) * problem.layout(name).rows(problem.network.shape(name))
        zero = np.zeros(1, np.int64)
        items.append(Item(name, size, zero, zero + size, zero - 1, zero + end))
    return place(tuple(items), goal=enough)


def _whole(problem: Problem, lines: Timeline, item: Item, end: int) -> Item:
    """A tensor that a later segment reads: all its rows, alive to the end."""
    row, height = item.size // lines.rows[item.name], problem.layout(item.name).rows(problem.network.shape(item.name))
    begin = np.arange(height) * row if height == len(item.first) else np.zeros(1, np.int64)
    stop = begin + row if height == len(item.first) else begin + height * row
    return Item(item.name, height * row, begin, stop, item.first[: len(begin)], np.full(len(begin), end), item.over)
