# SPDX-License-Identifier: Apache-2.0
"""Scale: axes of charts, whose marks lie at fractions of their length."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A mark at ``place``, 0 .. 1 of the axis."""

    place: float
    label: str


def ticks(top: float, most: int = 5) -> tuple[Tick, ...]:
    """Marks at round numbers of 0 .. ``top``, at most ``most`` besides 0."""
    if top <= 0:
        return (Tick(0.0, "0"),)
    step = next(s for s in _steps(top / most) if top / s <= most)
    return tuple(Tick(n * step / top, f"{n * step:,.0f}") for n in range(int(top / step + 1e-9) + 1))


def _steps(least: float) -> list[int]:
    """1, 2, 5, 10, 20 ... from about ``least`` on."""
    power = 10 ** max(0, math.floor(math.log10(max(least, 1))))
    return [factor * power for factor in (1, 2, 5, 10)]


def short(value: float) -> str:
    """A number for people in a hurry: 950, 12.3 k, 3.08 M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            scaled = value / (unit if name != "k" else 1e3)
            return f"{scaled:.3g} {name}" if scaled < 1000 else f"{scaled:,.0f} {name}"
    return f"{value:,.0f}"
