# SPDX-License-Identifier: Apache-2.0
"""Cuts: where one segment ends and the next begins, and which kernels run in it. What stands whole in the arena is only
what crosses a cut.

A piece is a stretch of the network as one segment with the kernels of one kit. The search is lazy: it finds the best
path of pieces by what they need at least, looks at the pieces of that path more closely, and begins again until nothing
on the best path is open. So only pieces that matter are ever placed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.placement import Item, least_bytes, place
from mbv2gen.planning.timeline import Problem, Timeline, timeline

MAX_CHAIN = 8  # blocks pulled together in one segment

Cost = tuple[int, int]  # what counts first, and what decides between equals: the sum of squared lengths


@dataclass(frozen=True)
class Piece:
    """Steps first .. end - 1 as one segment, with the kernels of kit number ``kit``."""

    first: int
    end: int
    kit: int


Path = tuple[Piece, ...]  # through the whole network


@dataclass
class _Known:
    """What is known of a piece, so far: it keeps ``items``, they need ``least`` bytes, and ``most`` suffice, placed at
    ``offsets``."""

    instructions: int
    items: tuple[Item, ...] = ()
    least: int = 0
    most: int | None = None
    offsets: dict[str, int] = field(default_factory=dict)


class Pieces:
    """The pieces of a network, and what is known of their bytes.

    ``kits`` are the same network, each with its own kernels. Pieces begin and end between blocks, where the layouts of
    all kits agree, so that a path may take them from several.
    """

    def __init__(self, kits: tuple[Problem, ...]) -> None:
        self._kits = list(kits)
        self._marks = _marks(kits)
        self._known: dict[Piece, _Known] = {}
        self._equal: dict[tuple[int, int, tuple[Candidate, ...]], _Known] = {}
        for kit in range(len(kits)):
            for b, end in enumerate(self._marks):
                for first in self._marks[max(0, b - MAX_CHAIN) : b]:
                    self._add(Piece(first, end, kit))

    def least_peak(self, kits: Collection[int]) -> int:
        """Bytes of the largest piece, on the path on which that is smallest."""

        def cost(before: Cost, piece: Piece) -> Cost | None:
            return max(before[0], self._known[piece].least), before[1] + (piece.end - piece.first) ** 2

        while True:
            path = self._best_path(kits, cost)
            peak = max(self._known[piece].least for piece in path)
            if not self._look_closer(path, peak):
                return peak

    def fastest(self, kits: Collection[int], limit: int) -> Path:
        """The path of the fewest instructions whose pieces fit into ``limit`` bytes each, of such the one with the
        shortest pieces; empty where there is none."""

        def cost(before: Cost, piece: Piece) -> Cost | None:
            known = self._known[piece]
            if known.least > limit:
                return None
            return before[0] + known.instructions, before[1] + (piece.end - piece.first) ** 2

        while True:
            path = self._best_path(kits, cost)
            if not self._look_closer(path, limit):
                return path

    def relaxed(self, path: Path, kits: Collection[int], limit: int) -> Path:
        """The path with faster kernels for single blocks of its pieces, as far as those keep within ``limit``."""
        return tuple(self._relaxed(piece, kits, limit) for piece in path)

    def faster(self, piece: Piece, kits: Collection[int], limit: int) -> list[Piece]:
        """What does the same in fewer instructions, and fits into ``limit`` bytes by itself; the fastest first."""
        others = {Piece(piece.first, piece.end, kit) for kit in kits}
        if piece.kit in kits:  # else it has been relaxed before
            others.add(self._relaxed(piece, kits, limit))
        known = self._known
        fewer = [other for other in others if known[other].instructions < known[piece].instructions]
        return sorted((p for p in fewer if self._fits(p, limit)), key=lambda p: (known[p].instructions, p.kit))

    def kernels(self, path: Path) -> tuple[Candidate, ...]:
        return tuple(kernel for p in path for kernel in self._kits[p.kit].kernels(p.first, p.end))

    def largest(self, path: Path) -> tuple[int, dict[str, int]]:
        """Bytes and offsets of the largest piece of a path that ``fastest`` has found, by itself."""
        known = max((self._known[piece] for piece in path), key=lambda known: known.most or 0)
        return known.most or 0, known.offsets

    def _add(self, piece: Piece) -> None:
        kernels = self._kits[piece.kit].kernels(piece.first, piece.end)
        cost = sum(round(candidate.instructions) for candidate in kernels)
        self._known[piece] = self._equal.setdefault((piece.first, piece.end, kernels), _Known(cost))

    def _relaxed(self, piece: Piece, kits: Collection[int], limit: int) -> Piece:
        """Block by block, what saves most first."""
        marks = [mark for mark in self._marks if piece.first <= mark <= piece.end]
        if len(marks) == 2:
            return piece
        saved: dict[Piece, int] = {}
        for first, end in itertools.pairwise(marks):
            now = self._known[Piece(first, end, piece.kit)].instructions
            saved |= {part: now - self._known[part].instructions for part in (Piece(first, end, kit) for kit in kits)}
        for part in sorted((part for part in saved if saved[part] > 0), key=lambda part: -saved[part]):
            blend = self._blended(piece, part)
            if self._known[blend].instructions < self._known[piece].instructions and self._fits(blend, limit):
                piece = blend
        return piece

    def _blended(self, piece: Piece, part: Piece) -> Piece:
        """``piece`` with the kernels of ``part`` in it: a kit of its own."""
        kit, other = self._kits[piece.kit], self._kits[part.kit]
        before, after = kit.kernels(0, part.first), kit.kernels(part.end, len(kit.steps))
        self._kits.append(kit.with_kernels((*before, *other.kernels(part.first, part.end), *after)))
        blend = Piece(piece.first, piece.end, len(self._kits) - 1)
        self._add(blend)
        return blend

    def _fits(self, piece: Piece, limit: int) -> bool:
        while self._known[piece].least <= limit:
            if not self._look_closer((piece,), limit):
                return True
        return False

    def _best_path(self, kits: Collection[int], cost: Callable[[Cost, Piece], Cost | None]) -> Path:
        """The cheapest way from the first mark to the last; empty where there is none."""
        best: dict[int, tuple[Cost, Path]] = {self._marks[0]: ((0, 0), ())}
        for b, end in enumerate(self._marks[1:], 1):
            for first in reversed(self._marks[max(0, b - MAX_CHAIN) : b]):
                for piece in (Piece(first, end, kit) for kit in kits if first in best):
                    before, path = best[first]
                    total = cost(before, piece)
                    if total is not None and (end not in best or total < best[end][0]):
                        best[end] = total, (*path, piece)
        return best[self._marks[-1]][1] if self._marks[-1] in best else ()

    def _look_closer(self, path: Path, limit: int) -> bool:
        """At the pieces of which it is open whether they fit into ``limit``; False where there is none."""
        unknown = [piece for piece in path if (most := self._known[piece].most) is None or most > limit]
        for piece in unknown:
            known = self._known[piece]
            if not known.items:
                known.items = piece_items(self._kits[piece.kit], piece.first, piece.end)
                known.least = least_bytes(known.items)
                continue
            known.offsets, known.most = place(known.items, goal=limit)
            if known.most > limit:
                known.least = known.most
        return bool(unknown)


def layer_by_layer(problem: Problem) -> tuple[int, ...]:
    """Segments that end behind every operator; the caller who pushes rows goes with the first."""
    return tuple(range(2 if problem.is_fed else 1, len(problem.steps) + 1))


def _marks(kits: tuple[Problem, ...]) -> tuple[int, ...]:
    """Steps at which a piece may begin, and the end: between blocks, where the kits agree in every layout."""
    problem = kits[0]
    index = {step.operator: k for k, step in enumerate(problem.steps)}
    inside = {1} if problem.is_fed else set()  # the caller who pushes rows goes with the first operator
    for block in problem.network.blocks:
        if block.kind in ("InvertedResidual", "SeparableConv"):
            members = sorted(index[name] for _, name in block.roles)
            inside |= set(members[1:])
    for k, step in enumerate(problem.steps):
        readers = [j for j, other in enumerate(problem.steps) if step.writes in {read.tensor for read in other.reads}]
        if len({kit.layout(step.writes) for kit in kits}) > 1:
            inside |= set(range(k + 1, max(readers, default=k) + 1))
    return tuple(k for k in range(len(problem.steps) + 1) if k not in inside)


def piece_items(problem: Problem, first: int, end: int) -> tuple[Item, ...]:
    """What a piece keeps in the arena if it runs alone: its whole input and output, and what waits for later ones."""
    lines = timeline(problem, (problem.steps[first:end],))
    later = {read.tensor for step in problem.steps[end:] for read in step.reads} | set(problem.network.outputs)
    over = max(int(item.last.max()) for item in lines.items) + 1
    items = [_whole(problem, lines, item, over) if item.name in later else item for item in lines.items]
    here = {item.name for item in items}
    earlier = {step.writes for step in problem.steps[:first]} | set(() if problem.is_fed else problem.network.inputs)
    for name in sorted((earlier & later) - here):
        size = problem.place_bytes(name) * problem.places(name)
        zero = np.zeros(1, np.int64)
        items.append(Item(name, size, zero, zero + size, zero - 1, zero + over))
    return tuple(items)


def _whole(problem: Problem, lines: Timeline, item: Item, end: int) -> Item:
    """A tensor that a later segment reads: all its rows, alive to the end."""
    row, height = problem.place_bytes(item.name), problem.places(item.name)
    begin = np.arange(height) * row if height == len(item.first) else np.zeros(1, np.int64)
    stop = begin + row if height == len(item.first) else begin + height * row
    return Item(item.name, height * row, begin, stop, item.first[: len(begin)], np.full(len(begin), end), item.over)
