"""Plan drawing: the arena over time in ASCII. Time runs to the right, addresses upwards; each buffer is a letter.

A cell shows the buffer whose live rows fill most of it, so that a dying input is a staircase, an output that slides
over it the one above, and a ring a band. Segments share the width by their units of work, one column each at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray

from mbv2gen.identifiers import comment
from mbv2gen.plan import Plan
from mbv2gen.planning.schedule import FEED, lives, order

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MARGIN = 9  # addresses, and a bar
NAME = 20
GRID = 16  # lines of the picture itself, at least
CAPTION = "upper case: whole tensors, lower case: rings, digits: scratch, '.': free or dead; bytes, rows held, offset"


@dataclass(frozen=True)
class _Home:
    """A buffer or scratch: row i lies at ``begin[i]`` and is alive from ``first[i]`` to ``last[i]``, inclusive."""

    name: str
    letters: str
    offset: int
    size: int
    rows: int
    row_bytes: int
    begin: Ints
    first: Ints
    last: Ints

    @property
    def legend(self) -> str:
        shown = comment(self.name, len(self.name) + 3)
        shown = shown if len(shown) <= NAME else ".." + shown[2 - NAME :]
        held = f"{self.rows} of {len(self.begin)}" if self.letters != digits else "scratch"
        return f"{shown:<{NAME}} {self.size:>7,} {held:>9} {self.offset:>7,}"


def draw(plan: Plan, width: int = 100, height: int = 40) -> str:
    """``plan`` as lines of at most ``width`` (60 or more) characters, ``height`` (30 or more) of them at most.

    The title names the layer at whose work most bytes are alive, ``^`` marks the moment. Where the legend does not
    fit, its smallest buffers are left out and counted. Rows that the caller pushes are drawn when they are due.
    """
    homes, starts, works = _homes(plan)
    columns = _columns(starts, max(width, 60) - MARGIN)
    letters = [home.letters[i % len(home.letters)] for home, i in zip(homes, _numbers(homes), strict=True)]
    height = max(height, 30)
    legend = _legend(homes, letters, width, height - 6 - GRID)
    grid = _grid(homes, letters, columns, plan.arena_bytes, min(24, height - 6 - len(legend)))
    layer = int(np.argmax(plan.live_bytes))
    operator = comment(plan.candidates[layer].operator, max(width, 60) - 24)
    title = f"Arena of {plan.arena_bytes:,} B; most alive, {plan.live_bytes[layer]:,} B, at layer {layer}:"
    at = int(np.searchsorted(columns, _peak_time(homes, works[layer]), "right")) - 1
    lines = [title, f"  {operator}", *_marks(plan, starts, columns), *grid]
    lines += [" " * (MARGIN + at) + "^", *([CAPTION] if len(CAPTION) <= width else []), *legend]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _homes(plan: Plan) -> tuple[list[_Home], Ints, dict[int, Ints]]:
    """Everything that has a place, by first use; the time each segment starts, and the end; each layer's times."""
    first: dict[str, Ints] = {}
    last: dict[str, Ints] = {}
    starts, works, read = [0], {}, set()
    for segment in plan.segments:
        sequence = order(segment.steps)
        for name, life in lives(segment.steps, sequence, starts[-1]).items():
            first.setdefault(name, life.written)
            last[name] = np.maximum(last[name], life.last_read) if name in last else life.last_read
        for index, step in enumerate(segment.steps):
            read |= {access.tensor for access in step.reads}
            works[step.layer] = np.nonzero(sequence[:, 0] == index)[0] + starts[-1]
        starts.append(starts[-1] + len(sequence))
    homes = [_scratch_home(plan, operator, works) for operator in (scratch.operator for scratch in plan.scratches)]
    made = {step.writes for segment in plan.segments for step in segment.steps}
    for buffer in plan.buffers:
        count = len(first[buffer.tensor])
        is_kept = buffer.tensor not in read or (plan.keep_input and buffer.tensor not in made)
        end = np.full(count, starts[-1] - 1) if is_kept else last[buffer.tensor]
        letters = ascii_uppercase if buffer.rows >= count else ascii_lowercase
        begin = buffer.offset + np.arange(count) % buffer.rows * buffer.row_bytes
        homes.append(
            _Home(
                buffer.tensor, letters, buffer.offset, buffer.size, buffer.rows, buffer.row_bytes, begin,
                first[buffer.tensor], end,
            )
        )  # fmt: skip
    homes.sort(key=lambda home: (int(home.first.min()), home.offset, home.name))
    return homes, np.array(starts), works


def _scratch_home(plan: Plan, operator: str, works: dict[int, Ints]) -> _Home:
    layer = next(i for i, candidate in enumerate(plan.candidates) if candidate.operator == operator)
    scratch = next(s for s in plan.scratches if s.operator == operator)
    times = works[layer]
    first, last = (times[:1], times[-1:]) if plan.candidates[layer].contract.keeps_scratch else (times, times)
    begin = np.full(len(first), scratch.offset)
    return _Home(operator, digits, scratch.offset, scratch.size, 1, scratch.size, begin, first, last)


def _numbers(homes: list[_Home]) -> list[int]:
    """How many homes of the same kind stand before each."""
    seen = {ascii_uppercase: 0, ascii_lowercase: 0, digits: 0}
    result = []
    for home in homes:
        result.append(seen[home.letters])
        seen[home.letters] += 1
    return result


def _columns(starts: Ints, count: int) -> Floats:
    """The times at which the columns begin, and the end: in proportion to units, a segment at least one column."""
    units = np.diff(starts)
    room = max(0, count - len(units))
    shares = np.concatenate([[0.0], np.cumsum(min(1.0, count / len(units)) + room * units / units.sum())])
    if room:
        shares = np.floor(shares + 0.5)
    return np.asarray(np.interp(np.arange(count + 1), shares, starts), np.float64)


def _grid(homes: list[_Home], letters: list[str], columns: Floats, arena_bytes: int, height: int) -> list[str]:
    edges = np.linspace(0.0, float(arena_bytes), height + 1)
    areas = np.stack(
        [_overlaps(h.begin, h.begin + h.row_bytes, edges).T @ _overlaps(h.first, h.last + 1, columns) for h in homes]
    )
    best = np.where(areas.max(axis=0) > 0, areas.argmax(axis=0), len(homes))
    cells = np.array([*letters, "."])[best]
    labels = [f"{round(edge):>{MARGIN - 2},} |" for edge in edges[:-1]]
    return [label + "".join(row) for label, row in zip(reversed(labels), cells[::-1], strict=True)]


def _overlaps(begin: Ints, end: Ints, edges: Floats) -> Floats:
    """[ranges][cells]: how much of each range [begin, end) lies in each cell [edges[i], edges[i + 1])."""
    low = np.maximum(begin[:, None], edges[None, :-1])
    high = np.minimum(end[:, None], edges[None, 1:])
    return np.asarray(np.maximum(0.0, high - low), np.float64)


def _marks(plan: Plan, starts: Ints, columns: Floats) -> list[str]:
    """A line of segment numbers, a line of the layers in them, as far as there is room."""
    places = np.searchsorted(columns, starts[:-1] + 1e-9, "right") - 1
    rooms = np.diff([*places, len(columns) - 1])
    lines = []
    for title, labels in (
        ("segment", [str(number) for number in range(len(plan.segments))]),
        ("layers", [_layers(segment.steps[0].layer, segment.steps[-1].layer) for segment in plan.segments]),
    ):
        line = [" "] * (len(columns) - 1)
        for place, room, label in zip(places.tolist(), rooms.tolist(), labels, strict=True):
            text = "|" + (label if len(label) < room else "")
            line[place : place + len(text)] = text
        lines.append(f"{title:>{MARGIN - 2}}  " + "".join(line))
    return lines


def _layers(first: int, last: int) -> str:
    first = 0 if first == FEED else first
    return str(first) if first == last else f"{first}-{last}"


def _peak_time(homes: list[_Home], times: Ints) -> int:
    """The first of ``times`` at which most bytes are alive."""
    alive = [sum(h.row_bytes * int(((h.first <= t) & (t <= h.last)).sum()) for h in homes) for t in times.tolist()]
    return int(times[int(np.argmax(alive))])


def _legend(homes: list[_Home], letters: list[str], width: int, lines: int) -> list[str]:
    """One entry a buffer, in columns, at most ``lines`` lines; the smallest are left out where there are too many."""
    entry = NAME + 29
    across = max(1, (width + 2) // (entry + 2))
    room = max(1, lines) * across
    shown = set(range(len(homes)))
    tail = []
    if len(homes) > room:
        by_size = sorted(shown, key=lambda i: (-homes[i].size, i))
        shown = set(by_size[: max(1, lines - 1) * across])
        rest = by_size[len(shown) :]
        tail = [f"and {len(rest)} of at most {max(homes[i].size for i in rest):,} B"]
    entries = [f"{letters[i]} {homes[i].legend}" for i in sorted(shown)]
    down = -(-len(entries) // across)
    return ["  ".join(f"{text:<{entry}}" for text in entries[i::down]) for i in range(down)] + tail
