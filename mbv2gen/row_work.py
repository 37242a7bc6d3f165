# SPDX-License-Identifier: Apache-2.0
"""RowWork: what each pushed row of the input sets off, from the schedule: multiply-accumulates, exactly, and
instructions as the kernels' contracts estimate them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.planning import schedule
from mbv2gen.planning.layouts import PlanarLines, UInt8Lines
from mbv2gen.planning.ring_columns import WindowColumns4
from mbv2gen.planning.schedule import Step
from mbv2gen.program import Call, Program

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RowWork:
    """Of something that is counted: the mean over all rows, the most that a row sets off (but the last one), and what
    is left when the last row has been pushed: the network behind it. ``counted`` [row]."""

    counted: tuple[int, ...]

    @property
    def mean(self) -> float:
        return sum(self.counted) / len(self.counted)

    @property
    def worst(self) -> int:
        return max(self.counted[:-1], default=0)

    @property
    def last(self) -> int:
        return self.counted[-1]

    @property
    def greatest_rate(self) -> float | None:
        """Rows a second that can be pushed for each million of what is counted a second, while a picture arrives."""
        return 1_000_000 / self.worst if self.worst else None


@dataclass(frozen=True)
class Rows:
    macs: RowWork
    estimated_instructions: RowWork


def rows(program: Program) -> Rows | None:
    """What is set off from a row's push until the network is hungry again; None where the caller pushes no rows."""
    if not program.is_fed:
        return None
    first, rest = program.calls[: program.segments[0][1]], program.calls[program.segments[0][1] :]
    steps = tuple(map(_step, first))
    sequence = schedule.order((schedule.feed(program.network, steps), *steps))
    pushed = np.cumsum(sequence[:, 0] == 0)  # the caller is step 0 and runs when nothing else can
    row = np.maximum(pushed - 1, 0)  # rows of padding may be made before the first

    def counted(total: Callable[[Call], float]) -> RowWork:
        work = [_by_unit(total(call), call) for call in first]
        of_unit = [0.0 if step == 0 else work[step - 1][unit] for step, unit in sequence.tolist()]
        of_row = np.bincount(row, of_unit)
        of_row[-1] += sum(map(total, rest))
        return RowWork(tuple(int(n) for n in np.rint(of_row)))

    return Rows(counted(lambda call: call.macs + call.macs_again), counted(lambda call: call.estimated_instructions))


def _step(call: Call) -> Step:
    return Step(
        call.layer,
        call.operator,
        call.units,
        call.reads,
        call.output.tensor,
        in_place=False,
        idle=call.idle,
        accumulates=call.accumulates,
        band=call.places_a_unit,
    )


def _by_unit(total: float, call: Call) -> Floats:
    """An operator's work by units: the same for each, but that rows of padding cost nothing, nor do a window's rows
    outside the plane."""
    layout, shares = call.output.layout, np.ones(call.units)
    if isinstance(layout, PlanarLines | UInt8Lines):
        shares = np.array([layout.canonical_row(unit, call.output_shape) is not None for unit in range(call.units)])
    if isinstance(layout, WindowColumns4):
        windows = [len(layout.rows_of(window, call.output_shape)) for window in range(layout.windows)]
        shares = np.repeat(np.array(windows, np.float64), call.unit_columns)
    return np.asarray(total * shares / shares.sum(), np.float64)
