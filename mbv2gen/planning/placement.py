# SPDX-License-Identifier: Apache-2.0
"""Placement: offsets in one arena for items whose bytes come alive and die row by row.

An item is a set of byte ranges, each alive over a closed interval of time. Two items conflict at a distance of their
offsets where two ranges alive at one time would share a byte. The distances that conflict are found exactly, pair by
pair; then items are placed one after the other at the offset that lengthens the arena least. So rings and outputs come
to lie over dying input by themselves, and nothing is assumed of the shapes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ALIGN = 8
FEW = 5  # items of which all orders are tried
FEW_PAIRS = 4096  # of ranges, of which each is looked at


@dataclass(frozen=True, eq=False)
class Item:
    """``size`` bytes; range i is [begin[i], end[i]) and alive at the times first[i] .. last[i], both inclusive.

    ``over`` names an item onto whose rows this one may be written exactly, row i onto row i (the unit that makes a row
    reads that very row and works element by element); it may also be overwritten in the moment of its last read.
    """

    name: str
    size: int
    begin: Ints
    end: Ints
    first: Ints
    last: Ints
    over: str | None = None


@dataclass
class _Distances:
    """Forbidden distances (offset of b less offset of a) of a pair: disjoint closed intervals, ascending."""

    low: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    high: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def mirrored(self) -> _Distances:
        """Of b and a."""
        return _Distances(-self.high[::-1], -self.low[::-1])


@dataclass(frozen=True, eq=False)
class _Conflicts:
    """Of an item with ``others``: its offset less theirs must not be in low..high."""

    others: Ints
    low: Ints
    high: Ints


def place(
    items: tuple[Item, ...],
    alignment: int = ALIGN,
    rounds: int = 8,
    goal: int = 0,
    seed: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], int]:
    """-> ({name: offset}, bytes of the arena). Offsets are multiples of ``alignment``.

    Greedy in several orders (all orders of a few items), then rounds that move the item at the far end to the front;
    stops at the bound no placement can beat: the largest sum of bytes alive at one time, or ``goal`` where the caller
    knows a higher one. ``seed`` is a good placement of some items, to be tried first with the others around it.
    """
    if not items:
        return {}, 0
    conflicts = _by_item(_conflicts(items), len(items))
    bound = max(goal, least_bytes(items, alignment))
    best: tuple[int, dict[int, int]] | None = None
    seeded = {i: seed[item.name] for i, item in enumerate(items) if seed and item.name in seed}
    starts = [(seeded, ranking) for ranking in _rankings(items)] if seeded else []
    for start, ranking in starts + [({}, ranking) for ranking in _rankings(items)]:
        order = [i for i in ranking if i not in start]
        for _ in range(1 if len(items) <= FEW else rounds):
            offsets = _greedy(items, order, conflicts, alignment, start)
            total = _span(items, offsets, alignment)
            if best is None or total < best[0]:
                best = total, offsets
            if best[0] <= bound:
                return _result(items, best)
            far = max(offsets, key=lambda i: offsets[i] + items[i].size)
            if far in start or order[0] == far:
                break
            order = [far, *(i for i in order if i != far)]
    assert best is not None
    return _result(items, best)


def _result(items: tuple[Item, ...], best: tuple[int, dict[int, int]]) -> tuple[dict[str, int], int]:
    total, offsets = best
    low = min(offsets.values())
    return {items[i].name: offset - low for i, offset in offsets.items()}, total


def _rankings(items: tuple[Item, ...]) -> list[list[int]]:
    indices = range(len(items))
    if len(items) <= FEW:
        return [list(order) for order in itertools.permutations(indices)]
    return [
        sorted(indices, key=lambda i: -items[i].size),
        sorted(indices, key=lambda i: (int(items[i].first.min()), -items[i].size)),
        sorted(indices, key=lambda i: (-int(items[i].last.max()), -items[i].size)),
    ]


def _align_up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def _span(items: tuple[Item, ...], offsets: dict[int, int], alignment: int) -> int:
    return _align_up(max(o + items[i].size for i, o in offsets.items()) - min(offsets.values()), alignment)


def least_bytes(items: tuple[Item, ...], alignment: int = ALIGN) -> int:
    """What no placement can do without: the largest item, and the largest sum of bytes alive at one time."""
    first = np.concatenate([item.first for item in items])
    last = np.concatenate([item.last for item in items])
    size = np.concatenate([item.end - item.begin for item in items])
    times = np.concatenate([first, last + 1])
    sort = np.argsort(times, kind="stable")
    changes = np.concatenate([size, -size])[sort]
    ends = np.append(np.nonzero(np.diff(times[sort]))[0], len(times) - 1)
    in_place = sum(int((i.end - i.begin).max()) for i in items if i.over)
    alive = int(np.cumsum(changes)[ends].max()) - in_place
    return _align_up(max(alive, *(item.size for item in items)), alignment)


def _conflicts(items: tuple[Item, ...]) -> dict[tuple[int, int], _Distances]:
    spans = [(int(i.first.min()), int(i.last.max())) for i in items]
    runs = [_runs(item) for item in items]
    result = {}
    for a, b in itertools.combinations(range(len(items)), 2):
        if spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]:
            if len(runs[a]) < len(runs[b]):
                distances = _forbidden(items[b], items[a], runs[a]).mirrored
            else:
                distances = _forbidden(items[a], items[b], runs[b])
            if len(distances.low):
                result[a, b], result[b, a] = distances, distances.mirrored
    return result


def _runs(item: Item) -> Ints:
    """Where ranges begin that stand one behind the other, without a gap, and are written and die in that order; each
    is a run by itself where not all ranges are written and die in order."""
    ascends = (item.first[1:] >= item.first[:-1]).all() and (item.last[1:] >= item.last[:-1]).all()
    breaks = (item.begin[1:] != item.end[:-1]) | (not ascends)
    return np.flatnonzero(np.append(True, breaks))


def _meetings(a: Item, b: Item, runs: Ints) -> tuple[Ints, Ints, Ints]:
    """(i, j, k): range i of ``a`` is alive at one time with all of the ranges j..k of ``b``, of one of its ``runs``."""
    if len(runs) == len(b.begin) or len(a.begin) * len(b.begin) <= FEW_PAIRS:
        i, j = np.nonzero((a.first[:, None] <= b.last) & (b.first <= a.last[:, None]))
        return i, j, j
    begin, end = np.searchsorted(b.last, a.first), np.searchsorted(b.first, a.last, "right")
    i = np.flatnonzero(begin < end)
    begin, end = begin[i], end[i]
    first = np.searchsorted(runs, begin, "right") - 1
    counts = np.searchsorted(runs, end) - first
    i, begin, end = (np.repeat(values, counts) for values in (i, begin, end))
    run = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(len(i))
    return i, np.maximum(begin, runs[run]), np.minimum(end, np.append(runs[1:], len(b.begin))[run]) - 1


def _forbidden(a: Item, b: Item, runs: Ints) -> _Distances:
    """Of ranges that follow each other in a run of ``b`` the forbidden distances follow each other too."""
    over = a.over == b.name or b.over == a.name
    i, j, k = _meetings(a, b, np.arange(len(b.begin)) if over else runs)
    low, high = a.begin[i] - b.end[k] + 1, a.end[i] - b.begin[j] - 1
    if over:
        reader, writer = (b, a) if a.over == b.name else (a, b)
        r, w = (j, i) if a.over == b.name else (i, j)
        touch = (r == w) & (reader.last[r] == writer.first[w]) & (a.end[i] - a.begin[i] == b.end[j] - b.begin[j])
        exact = (a.begin[i] - b.begin[j])[touch]
        low, high = (
            np.concatenate([low[~touch], low[touch], exact + 1]),
            np.concatenate([high[~touch], exact - 1, high[touch]]),
        )
        keep = low <= high
        low, high = low[keep], high[keep]
    return _merged(low, high)


def _merged(low: Ints, high: Ints) -> _Distances:
    if not len(low):
        return _Distances()
    sort = np.argsort(low, kind="stable")
    low, reach = low[sort], np.maximum.accumulate(high[sort])
    starts = np.append(True, low[1:] > reach[:-1] + 1)
    ends = np.append(np.nonzero(starts)[0][1:] - 1, len(low) - 1)
    return _Distances(low[starts], reach[ends])


def _by_item(conflicts: dict[tuple[int, int], _Distances], count: int) -> list[_Conflicts]:
    found: list[list[tuple[int, _Distances]]] = [[(item, _Distances())] for item in range(count)]
    for (a, b), distances in conflicts.items():
        found[b].append((a, distances))
    return [
        _Conflicts(
            np.repeat([a for a, _ in pairs], [len(distances.low) for _, distances in pairs]),
            np.concatenate([distances.low for _, distances in pairs]),
            np.concatenate([distances.high for _, distances in pairs]),
        )
        for pairs in found
    ]


def _greedy(
    items: tuple[Item, ...], order: list[int], conflicts: list[_Conflicts], alignment: int, start: Mapping[int, int]
) -> dict[int, int]:
    offsets = dict(start)
    bottom = min(offsets.values(), default=0)
    top = max((offset + items[i].size for i, offset in offsets.items()), default=0)
    at, is_placed = np.zeros(len(items), np.int64), np.zeros(len(items), bool)
    at[list(offsets)], is_placed[list(offsets)] = list(offsets.values()), True
    for index in order:
        others, low, high = conflicts[index].others, conflicts[index].low, conflicts[index].high
        here = is_placed[others]
        base = at[others[here]]
        size = items[index].size
        offset = _best_offset(size, base + low[here], base + high[here], bottom, top, alignment) if offsets else 0
        offsets[index] = at[index] = offset
        is_placed[index] = True
        bottom, top = min(bottom, offset), max(top, offset + size)
    return offsets


def _best_offset(size: int, low: Ints, high: Ints, bottom: int, top: int, alignment: int) -> int:
    """The offset outside all forbidden intervals low..high that lengthens the arena, now bottom..top, least; of those
    the lowest."""
    ends = np.array([bottom, _align_up(top - size, alignment) - alignment])
    if not len(low):
        return _least_growth(ends, size, bottom, top)
    choices = np.concatenate([-(-(high + 1) // alignment) * alignment, (low - 1) // alignment * alignment, ends])
    sort = np.argsort(low)
    reach = np.maximum.accumulate(high[sort])
    slot = np.searchsorted(low[sort], choices, "right")  # intervals that begin at or below a choice
    free = (slot == 0) | (choices > reach[slot - 1])
    return _least_growth(choices[free], size, bottom, top)


def _least_growth(choices: Ints, size: int, bottom: int, top: int) -> int:
    growth = np.maximum(choices + size, top) - np.minimum(choices, bottom)
    return int(choices[growth == growth.min()].min())
