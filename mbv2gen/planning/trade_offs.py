# SPDX-License-Identifier: Apache-2.0
"""Trade-offs: plans of one network between the least memory and the fewest instructions.

Kernels are chosen for the whole network once a style (candidates.choose); a plan takes each piece of the network in the
style that is fastest in the arena it may have (planning/cuts). So only the pieces that decide the arena are lean or
tight, and the others use the room that is there anyway.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from mbv2gen.candidates import choose
from mbv2gen.errors import Mbv2genError
from mbv2gen.plan import ARENA_ALIGN, Plan, aligned, placed
from mbv2gen.planning.cuts import Path, Pieces
from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.objective import RAM, RECOMPUTING, SPEED, Objective, Style
from mbv2gen.planning.timeline import Problem
from mbv2gen.quantized_network import QuantizedNetwork

Options = dict[str, tuple[Candidate, ...]]
Known = dict[Hashable, Plan]  # what searches of one network have placed: they come to the same paths


def plan_for(
    network: QuantizedNetwork,
    options: Options,
    objective: Objective,
    *,
    feed: str = "frame",
    keep_input: bool = False,
    input_align: int = 1,
) -> Plan:
    """The plan that does best by ``objective``; ``feed`` and ``keep_input`` as ``plan.plan`` takes them,
    ``input_align`` as ``Plan.with_input_at`` does.

    Raises Mbv2genError where no plan keeps within the objective's limit.
    """

    known: Known = {}

    def found(aim: Objective) -> Plan:
        search = _Search(network, options, (*aim.styles, *aim.arena_styles), feed, keep_input, known, input_align)
        return search.found(aim)

    best = found(objective)
    if objective.limit is None or best.arena_bytes <= objective.limit:
        return best
    if not objective.is_small and _can_recompute(options):
        best = min(best, found(replace(RECOMPUTING, limit=objective.limit)), key=lambda plan: plan.arena_bytes)
    if best.arena_bytes > objective.limit:
        raise Mbv2genError(_refusal(network, options, best, objective))
    return best


def front(
    network: QuantizedNetwork, options: Options, *, feed: str = "frame", keep_input: bool = False
) -> tuple[Plan, ...]:
    """The plans that no other beats in arena and instructions at once, the fastest first; those that recompute take
    less memory than all others."""
    known: Known = {}
    search = _Search(network, options, RAM.styles, feed, keep_input, known)
    found = list(search.plans(RAM.styles, search.least_bytes(SPEED.styles)))
    found.append(search.best(RAM))
    if _can_recompute(options):
        recomputing = _Search(network, options, RECOMPUTING.styles, feed, keep_input, known)
        found += recomputing.plans(RECOMPUTING.styles, min(plan.arena_bytes for plan in found) - ARENA_ALIGN)
        found.append(recomputing.best(RECOMPUTING))
    best: list[Plan] = []
    for plan in sorted(found, key=lambda plan: (plan.instructions, plan.arena_bytes)):
        if not best or plan.arena_bytes < best[-1].arena_bytes:
            best.append(plan)
    return tuple(best)


def _can_recompute(options: Options) -> bool:
    return any(one.contract.recomputes for found in options.values() for one in found)


class _Search:
    """The pieces of a network with one kit of kernels a style; ``known`` is of searches of the same run of it."""

    def __init__(
        self,
        network: QuantizedNetwork,
        options: Options,
        styles: tuple[Style, ...],
        feed: str,
        keep_input: bool,
        known: Known,
        input_align: int = 1,
    ) -> None:
        chosen = {style: choose(network, options, style) for style in styles}
        kits = list(dict.fromkeys(chosen.values()))
        self._kit = {style: kits.index(kernels) for style, kernels in chosen.items()}
        problems = tuple(Problem.of(network, kit, feed=feed, keep_input=keep_input) for kit in kits)
        self._problem = problems[0]
        self._pieces = Pieces(problems)
        self._known = known
        self._input, self._input_align = network.inputs[0], input_align

    def found(self, objective: Objective) -> Plan:
        """The best plan; where none keeps within the limit, the one in the least memory."""
        if objective.limit is None:
            return self.best(objective)
        within = self.plans(objective.styles, min(self.least_bytes(objective.arena_styles), objective.limit))
        fitting = next((plan for plan in within if plan.arena_bytes <= objective.limit), None)
        return fitting or self.best(objective.unlimited)

    def best(self, objective: Objective) -> Plan:
        """The plan in the least memory that ``objective`` allows, whatever its limit, and of such the fastest."""
        plan, path = self._least(objective)
        return self._moved(self._sped_up(plan, path, self._kits(objective.styles)) if objective.rivals else plan)

    def _moved(self, plan: Plan) -> Plan:
        """With the input where it is to be."""
        return plan if self._input_align == 1 else plan.with_input_at(self._input, self._input_align)

    def _least(self, objective: Objective) -> tuple[Plan, Path]:
        least = self.least_bytes(objective.arena_styles)
        found = [next(self._ways(objective.styles, least))]
        first = found[0][0].arena_bytes
        if first > aligned(least):  # its pieces fit one by one, but not all together
            found.append(next(self._ways(objective.arena_styles, least)))
            found += self._ways(objective.styles, first - ARENA_ALIGN)
            found += [self._least(rival) for rival in objective.rivals]
        return min(found, key=lambda way: (way[0].arena_bytes, way[0].instructions))

    def _sped_up(self, plan: Plan, path: Path, kits: list[int]) -> Plan:
        """``plan``, whose pieces are those of ``path``, with faster ones where all together still fit."""
        return self._with_faster(plan, path, range(len(path)), kits)[0]

    def _with_faster(self, plan: Plan, path: Path, pieces: Sequence[int], kits: list[int]) -> tuple[Plan, Path]:
        """With the fastest of ``pieces``; where these do not fit all together, of one half and then of the other."""
        faster = {index: self._pieces.faster(path[index], kits, plan.arena_bytes) for index in pieces}
        left = [index for index in pieces if faster[index]]
        if len(left) == 1:
            tries = [{left[0]: piece} for piece in faster[left[0]]]
        else:
            tries = [{index: faster[index][0] for index in left}] if left else []
        for tried in tries:
            other = tuple(tried.get(index, piece) for index, piece in enumerate(path))
            made = self._placed(other, plan.arena_bytes)
            if made.arena_bytes <= plan.arena_bytes:
                return made, other
        if len(left) > 1:
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                plan, path = self._with_faster(plan, path, half, kits)
        return plan, path

    def least_bytes(self, styles: tuple[Style, ...]) -> int:
        """The least that the largest piece can need, with kernels of ``styles``."""
        return self._pieces.least_peak(self._kits(styles))

    def plans(self, styles: tuple[Style, ...], limit: int) -> Iterator[Plan]:
        """The fastest plan of pieces within ``limit`` bytes, and then ever slower ones in less, by steps of 1 %."""
        yield from (self._moved(plan) for plan, _ in self._ways(styles, limit))

    def _ways(self, styles: tuple[Style, ...], limit: int) -> Iterator[tuple[Plan, Path]]:
        kits = self._kits(styles)
        while path := self._pieces.fastest(kits, limit):
            path = self._pieces.relaxed(path, kits, limit)
            yield self._placed(path), path
            limit = self._pieces.largest(path)[0] * 99 // 100

    def _placed(self, path: Path, enough: int = 0) -> Plan:
        """The plan of these pieces; in ``enough`` bytes is as good as in less."""
        kernels, ends = self._pieces.kernels(path), tuple(piece.end for piece in path)
        largest, offsets = self._pieces.largest(path)
        goal = max(largest, enough)
        key = kernels, ends, goal, tuple(offsets.items())
        if key not in self._known:
            self._known[key] = placed(self._problem.with_kernels(kernels), ends, goal, offsets)
        return self._known[key]

    def _kits(self, styles: tuple[Style, ...]) -> list[int]:
        return sorted({self._kit[style] for style in styles})


def _refusal(network: QuantizedNetwork, options: Options, least: Plan, objective: Objective) -> str:
    """Why nothing fits into the objective's limit, and what would."""
    aim = RECOMPUTING if not objective.is_small and _can_recompute(options) else objective.unlimited
    ways = {}
    if least.keep_input:
        ways["without --keep-input"] = plan_for(network, options, aim, feed=least.feed)
    if least.feed != "rows":
        ways["with --feed rows"] = plan_for(network, options, aim, feed="rows")
    fewer = [f", {way} {plan.arena_bytes:,} B" for way, plan in ways.items() if plan.arena_bytes < least.arena_bytes]
    return (
        f"{network.source.file}: --arena-limit {objective.limit}: no plan fits; the least takes {least.arena_bytes:,} B"
        f"{''.join(fewer)}; below that only a network of less width or resolution goes"
    )
