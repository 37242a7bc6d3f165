# SPDX-License-Identifier: Apache-2.0
"""Objective: what a plan is to be good at, as styles of kernels it may take and a limit of its arena."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mbv2gen.planning.kernels import GROUPS, Contract
from mbv2gen.planning.ring_columns import RingColumns4


@dataclass(frozen=True)
class Style:
    """A way to run a piece of a network: the fastest of the kernels it ``admits``, with as many as can be of those it
    ``prefers``."""

    name: str
    admits: Callable[[Contract], bool]
    prefers: Callable[[Contract], bool] = lambda contract: False


def _split(groups: int) -> Style:
    """Small planes whole, but in so many groups of channels."""

    def admits(contract: Contract) -> bool:
        return not contract.tight and (not contract.wide or contract.groups == groups)

    return Style(f"split {groups}", admits)


FAST = Style("fast", lambda contract: not contract.tight and contract.groups == 1)
LEAN = Style("lean", lambda contract: not (contract.tight or contract.wide))
TIGHT = Style(
    "tight", lambda contract: not (contract.wide or contract.recomputes), prefers=lambda contract: contract.tight
)
AGAIN = Style(
    "again",
    lambda contract: contract.recomputes or not (contract.wide or RingColumns4 in (contract.reads, contract.writes)),
    prefers=lambda contract: contract.tight,
)
SPLIT = tuple(map(_split, GROUPS))
COMPACT = Style("compact", lambda contract: not (contract.tight or contract.wide or contract.special))


@dataclass(frozen=True)
class Objective:
    """The fewest instructions with kernels of ``styles``, in an arena as small as ``arena_styles`` alone allow.

    ``limit``: in so many bytes at most. ``rivals``: objectives that must not turn out to need less memory.
    """

    name: str
    arena_styles: tuple[Style, ...]
    styles: tuple[Style, ...]
    rivals: tuple[Objective, ...] = ()
    limit: int | None = None

    def within(self, limit: int | None) -> Objective:
        """The same in at most ``limit`` bytes: tight kernels too, where the styles are free."""
        styles = self.styles if self.is_small or limit is None else RAM.styles
        return replace(self, styles=styles, limit=limit)

    @property
    def is_small(self) -> bool:
        """Whether few bytes of code count more than instructions."""
        return self.styles == SIZE.styles

    @property
    def unlimited(self) -> Objective:
        """What takes the least memory with the styles of this one."""
        return SIZE if self.is_small else RECOMPUTING if AGAIN in self.styles else RAM


SPEED = Objective("speed", (FAST,), (FAST,))
BALANCED = Objective("balanced", (LEAN,), (FAST, *SPLIT, LEAN))
_ALL = (FAST, *SPLIT, LEAN, TIGHT)
# Where the pieces of the fastest plan fit one by one, but not all together, those of slower ones may.
_SLOWER = tuple(Objective("ram", styles, styles) for styles in ((LEAN, TIGHT), (TIGHT,)))
RAM = Objective("ram", _ALL, _ALL, rivals=(BALANCED, *_SLOWER))
_ANY = (*_ALL, AGAIN)
RECOMPUTING = Objective("recomputing", _ANY, _ANY, rivals=(Objective("recomputing", (TIGHT, AGAIN), (TIGHT, AGAIN)),))
SIZE = Objective("size", (COMPACT,), (COMPACT,))
OBJECTIVES = {objective.name: objective for objective in (RAM, BALANCED, SPEED, SIZE)}


def objective(optimize: str | None, limit: int | None) -> Objective:
    """``optimize`` is a name of OBJECTIVES; None: balanced, or where there is a ``limit`` the fastest within it."""
    chosen = OBJECTIVES[optimize] if optimize is not None else BALANCED if limit is None else SPEED
    return chosen.within(limit)
