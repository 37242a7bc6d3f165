# SPDX-License-Identifier: Apache-2.0
"""Plan drawing: the arena over time in ASCII. Time runs to the right, addresses upwards; each buffer is a letter.

A cell shows the buffer whose live rows fill most of it, so that a dying input is a staircase, an output that slides
over it the one above, and a ring a band. Segments share the width by their units of work, one column each at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray

from mbv2gen.identifiers import comment
from mbv2gen.planning.occupancy import RING, SCRATCH, WHOLE, Home, Occupancy, Span

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MARGIN = 9  # addresses, and a bar
NAME = 20
ALPHABETS = {WHOLE: ascii_uppercase, RING: ascii_lowercase, SCRATCH: digits}
GRID = 16  # lines of the picture itself, at least
CAPTION = "upper case: whole tensors, lower case: rings, digits: scratch, '.': free or dead; bytes, rows held, offset"


def draw(occupied: Occupancy, width: int = 100, height: int = 40) -> str:
    """``occupied`` as lines of at most ``width`` (60 or more) characters, ``height`` (30 or more) of them at most.

    The title names the layer at whose work most bytes are alive, ``^`` marks the moment. Where the legend does not
    fit, its smallest buffers are left out and counted. Rows that the caller pushes are drawn when they are due.
    """
    homes, peak = occupied.homes, occupied.peak
    starts = np.array([*(span.start for span in occupied.spans), occupied.spans[-1].end])
    columns = _columns(starts, max(width, 60) - MARGIN)
    alphabets = [ALPHABETS[home.kind] for home in homes]
    letters = [letters[i % len(letters)] for letters, i in zip(alphabets, _numbers(homes), strict=True)]
    height = max(height, 30)
    legend = _legend(homes, letters, width, height - 6 - GRID)
    grid = _grid(homes, letters, columns, occupied.arena_bytes, min(24, height - 6 - len(legend)))
    operator = comment(peak.operator, max(width, 60) - 24)
    title = f"Arena of {occupied.arena_bytes:,} B; most alive, {peak.live_bytes:,} B, at layer {peak.layer}:"
    at = int(np.searchsorted(columns, peak.unit, "right")) - 1
    lines = [title, f"  {operator}", *_marks(occupied.spans, starts, columns), *grid]
    lines += [" " * (MARGIN + at) + "^", *([CAPTION] if len(CAPTION) <= width else []), *legend]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _numbers(homes: Sequence[Home]) -> list[int]:
    """How many homes of the same kind stand before each."""
    seen = dict.fromkeys(ALPHABETS, 0)
    result = []
    for home in homes:
        result.append(seen[home.kind])
        seen[home.kind] += 1
    return result


def _columns(starts: Ints, count: int) -> Floats:
    """The times at which the columns begin, and the end: in proportion to units, a segment at least one column."""
    units = np.diff(starts)
    room = max(0, count - len(units))
    shares = np.concatenate([[0.0], np.cumsum(min(1.0, count / len(units)) + room * units / units.sum())])
    if room:
        shares = np.floor(shares + 0.5)
    return np.asarray(np.interp(np.arange(count + 1), shares, starts), np.float64)


def _grid(homes: Sequence[Home], letters: list[str], columns: Floats, arena_bytes: int, height: int) -> list[str]:
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


def _marks(spans: Sequence[Span], starts: Ints, columns: Floats) -> list[str]:
    """A line of segment numbers, a line of the layers in them, as far as there is room."""
    places = np.searchsorted(columns, starts[:-1] + 1e-9, "right") - 1
    rooms = np.diff([*places, len(columns) - 1])
    lines = []
    for title, labels in (
        ("segment", [str(number) for number in range(len(spans))]),
        ("layers", [_layers(span.first_layer, span.last_layer) for span in spans]),
    ):
        line = [" "] * (len(columns) - 1)
        for place, room, label in zip(places.tolist(), rooms.tolist(), labels, strict=True):
            text = "|" + (label if len(label) < room else "")
            line[place : place + len(text)] = text
        lines.append(f"{title:>{MARGIN - 2}}  " + "".join(line))
    return lines


def _layers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _legend(homes: Sequence[Home], letters: list[str], width: int, lines: int) -> list[str]:
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
    entries = [f"{letters[i]} {_entry(homes[i])}" for i in sorted(shown)]
    down = -(-len(entries) // across)
    return ["  ".join(f"{text:<{entry}}" for text in entries[i::down]) for i in range(down)] + tail


def _entry(home: Home) -> str:
    shown = comment(home.name, len(home.name) + 3)
    shown = shown if len(shown) <= NAME else ".." + shown[2 - NAME :]
    held = f"{home.rows} of {len(home.first)}" if home.kind != SCRATCH else SCRATCH
    return f"{shown:<{NAME}} {home.size:>7,} {held:>9} {home.offset:>7,}"
