# SPDX-License-Identifier: Apache-2.0
"""Occupancy: what lies where in the arena, and from when to when, as plain numbers that a drawing or report.json holds.

Time counts units of work, from 0; -1 is before the inference begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.plan import Plan
from mbv2gen.planning.schedule import FEED, lives, order

Ints = NDArray[np.int64]

WHOLE, RING, SCRATCH = "whole", "ring", "scratch"


@dataclass(frozen=True, eq=False)
class Home:
    """A tensor that stands whole, a ring of its rows, or an operator's scratch: row i lies at offset + (i mod rows) *
    row_bytes and is alive from first[i] to last[i], inclusive."""

    name: str
    kind: str
    layout: str
    offset: int
    rows: int
    row_bytes: int
    first: Ints
    last: Ints

    @property
    def size(self) -> int:
        return self.rows * self.row_bytes

    @property
    def begin(self) -> Ints:
        """The address of each row."""
        return self.offset + np.arange(len(self.first)) % self.rows * self.row_bytes


@dataclass(frozen=True)
class Span:
    """A segment: its layers, both inclusive, and the units [start, end) of time that it takes."""

    first_layer: int
    last_layer: int
    start: int
    end: int


@dataclass(frozen=True)
class Peak:
    """The moment of most bytes alive."""

    layer: int
    operator: str
    unit: int
    live_bytes: int


@dataclass(frozen=True)
class Occupancy:
    """``homes`` by first use."""

    arena_bytes: int
    spans: tuple[Span, ...]
    homes: tuple[Home, ...]
    peak: Peak

    def as_json(self) -> dict[str, Any]:
        """The ``plan`` of report.json."""
        return {
            "arena_bytes": self.arena_bytes,
            "units": self.spans[-1].end,
            "peak": vars(self.peak),
            "segments": [vars(span) for span in self.spans],
            "buffers": [
                {**vars(home), "first": home.first.tolist(), "last": home.last.tolist(), "bytes": home.size}
                for home in self.homes
            ],
        }


def from_json(document: Any) -> Occupancy:
    """``as_json`` undone; Mbv2genError for what is no such document."""
    try:
        homes = tuple(
            Home(
                **{key: buffer[key] for key in ("name", "kind", "layout", "offset", "rows", "row_bytes")},
                first=np.array(buffer["first"], np.int64),
                last=np.array(buffer["last"], np.int64),
            )
            for buffer in document["buffers"]
        )
        spans = tuple(Span(**span) for span in document["segments"])
        return Occupancy(document["arena_bytes"], spans, homes, Peak(**document["peak"]))
    except (KeyError, TypeError, ValueError):
        raise Mbv2genError("report.json: has no plan that can be drawn; compile again") from None


def occupancy(plan: Plan) -> Occupancy:
    """What the plan keeps in the arena. Rows that the caller pushes live from when they are due."""
    first: dict[str, Ints] = {}
    last: dict[str, Ints] = {}
    works: dict[int, Ints] = {}
    spans: list[Span] = []
    now = 0
    for segment in plan.segments:
        sequence = order(segment.steps)
        for name, life in lives(segment.steps, sequence, now).items():
            first.setdefault(name, life.written)
            last[name] = np.maximum(last[name], life.last_read) if name in last else life.last_read
        for index, step in enumerate(segment.steps):
            works[step.layer] = np.nonzero(sequence[:, 0] == index)[0] + now
        layers = [step.layer for step in segment.steps if step.layer != FEED]
        spans.append(Span(layers[0], layers[-1], now, now + len(sequence)))
        now += len(sequence)
    for name in _kept(plan):
        last[name] = np.full_like(last[name], now - 1)
    homes = [
        Home(
            b.tensor, WHOLE if b.rows >= len(first[b.tensor]) else RING, type(b.layout).__name__,
            b.offset, b.rows, b.row_bytes, first[b.tensor], last[b.tensor],
        )
        for b in plan.buffers
    ]  # fmt: skip
    homes += _scratch_homes(plan, works)
    homes.sort(key=lambda home: (int(home.first.min()), home.offset, home.name))
    return Occupancy(plan.arena_bytes, tuple(spans), tuple(homes), _peak(plan, homes, works))


def _kept(plan: Plan) -> set[str]:
    """Tensors that stay to the end: what nobody reads, and the input where it is to be kept."""
    steps = [step for segment in plan.segments for step in segment.steps]
    read = {access.tensor for step in steps for access in step.reads}
    made = {step.writes for step in steps}
    kept = (read - made) if plan.keep_input else set()
    return kept | (made - read)


def _scratch_homes(plan: Plan, works: dict[int, Ints]) -> list[Home]:
    layers = {candidate.operator: layer for layer, candidate in enumerate(plan.candidates)}
    homes = []
    for scratch in plan.scratches:
        layer = layers[scratch.operator]
        times = works[layer]
        first, last = times, times
        if plan.candidates[layer].contract.keeps_scratch:
            first, last = times[: scratch.parts], times[-scratch.parts :]
        size = scratch.size // scratch.parts
        homes.append(Home(scratch.operator, SCRATCH, "", scratch.offset, scratch.parts, size, first, last))
    return homes


def _peak(plan: Plan, homes: list[Home], works: dict[int, Ints]) -> Peak:
    """Where the layer works at which most bytes are alive: the first such unit."""
    layer = int(np.argmax(plan.live_bytes))
    times = works[layer]
    alive = np.zeros(len(times), np.int64)
    for home in homes:
        rows = (home.first[:, np.newaxis] <= times) & (times <= home.last[:, np.newaxis])
        alive += home.row_bytes * rows.sum(axis=0)
    return Peak(layer, plan.candidates[layer].operator, int(times[np.argmax(alive)]), plan.live_bytes[layer])
