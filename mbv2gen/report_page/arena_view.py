# SPDX-License-Identifier: Apache-2.0
"""ArenaView: the arena over time as shapes. x counts units of work from the input's arrival, y bytes from the top."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

from mbv2gen.planning.occupancy import RING, SCRATCH, WHOLE, Home, Occupancy, Span
from mbv2gen.report_page.scale import Tick, ticks

BEFORE = 1  # a unit's width in which the caller's input stands there
KINDS = {WHOLE: "whole tensor", RING: "ring of rows", SCRATCH: "scratch"}


@dataclass(frozen=True)
class Buffer:
    """One buffer: ``path`` is an SVG path, ``shade`` tells it from its neighbour of the same kind."""

    name: str
    kind: str
    shade: int
    path: str
    text: str


@dataclass(frozen=True)
class Segment:
    """A segment of the plan, at fractions of the width."""

    label: str
    text: str
    left: float
    width: float


@dataclass(frozen=True)
class ArenaView:
    """``width`` units and ``height`` bytes; the peak at ``peak_left`` of the width, in bytes ``peak_bytes`` alive."""

    width: int
    height: int
    buffers: tuple[Buffer, ...]
    segments: tuple[Segment, ...]
    kinds: tuple[tuple[str, str, int], ...]
    bytes_ticks: tuple[Tick, ...]
    units_ticks: tuple[Tick, ...]
    peak_left: float
    peak_bytes: int
    peak_unit: int
    peak_layer: int
    peak_operator: str


def arena_view(occupied: Occupancy) -> ArenaView:
    units, homes, peak = occupied.spans[-1].end, occupied.homes, occupied.peak
    width = units + BEFORE
    counts = {kind: sum(home.kind == kind for home in homes) for kind in KINDS}
    shades = {kind: cycle((0, 1)) for kind in KINDS}
    return ArenaView(
        width=width,
        height=occupied.arena_bytes,
        buffers=tuple(_buffer(home, next(shades[home.kind]), occupied.arena_bytes) for home in homes),
        segments=tuple(_segment(span, width) for span in occupied.spans),
        kinds=tuple((kind, text, counts[kind]) for kind, text in KINDS.items() if counts[kind]),
        bytes_ticks=ticks(occupied.arena_bytes, 6),
        units_ticks=tuple(Tick((t.place * units + BEFORE) / width, t.label) for t in ticks(units, 8)),
        peak_left=(peak.unit + BEFORE + 0.5) / width,
        peak_bytes=peak.live_bytes,
        peak_unit=peak.unit,
        peak_layer=peak.layer,
        peak_operator=peak.operator,
    )


def _buffer(home: Home, shade: int, arena_bytes: int) -> Buffer:
    path = _outline(home, arena_bytes) if home.kind == WHOLE else _rectangles(home, arena_bytes)
    return Buffer(home.name, home.kind, shade, path, _text(home))


def _text(home: Home) -> str:
    """One line for whoever points at it."""
    first, last = int(home.first.min()), int(home.last.max())
    when = f"units {max(first, 0):,} to {last:,}" if last > first else f"unit {first:,}"
    where = f"bytes {home.offset:,} to {home.offset + home.size - 1:,}"
    if home.kind == SCRATCH:
        return f"scratch of {home.name}: {home.size:,} B, {where}, {when}"
    held = f"{home.rows} of {len(home.first)} rows" if home.kind == RING else f"{home.rows} rows"
    size = f"{home.size:,} B = {held} of {home.row_bytes:,} B"
    return f"{home.name}: {KINDS[home.kind]}, {home.layout}, {size}, {where}, {when}"


def _outline(home: Home, arena_bytes: int) -> str:
    """Row upon row as one staircase: up along the rows' births, down along their deaths."""
    y = arena_bytes - home.begin
    up = [f"H{first}V{low - home.row_bytes}" for first, low in zip(home.first + BEFORE, y, strict=True)]
    down = [f"H{last}V{low}" for last, low in zip(home.last + BEFORE + 1, y, strict=True)]
    return f"M{home.first[0] + BEFORE} {y[0]}" + "".join([*up, *reversed(down)]) + "z"


def _rectangles(home: Home, arena_bytes: int) -> str:
    """A rectangle a row; rows that follow each other in one place without a gap are one."""
    return "".join(
        f"M{first + BEFORE} {arena_bytes - begin}h{last + 1 - first}v{-home.row_bytes}H{first + BEFORE}z"
        for begin, first, last in _stays(home)
    )


def _stays(home: Home) -> Iterator[tuple[int, int, int]]:
    """(address, first, last) of each uninterrupted stay."""
    for begin in home.begin[: home.rows].tolist():
        here = home.begin == begin
        spans = sorted(zip(home.first[here].tolist(), home.last[here].tolist(), strict=True))
        first, last = spans[0]
        for next_first, next_last in spans[1:]:
            if next_first > last + 1:
                yield begin, first, last
                first = next_first
            last = max(last, next_last)
        yield begin, first, last


def _segment(span: Span, width: int) -> Segment:
    one = span.first_layer == span.last_layer
    label = str(span.first_layer) if one else f"{span.first_layer}\u2013{span.last_layer}"
    layers = f"layer {label}" if one else f"layers {label}, row by row"
    text = f"{layers}: units {span.start:,} to {span.end - 1:,}"
    return Segment(label, text, (span.start + BEFORE) / width, (span.end - span.start) / width)
