# SPDX-License-Identifier: Apache-2.0
"""Fit: which widths and resolutions of MobileNetV2 a board has room for, before anything is trained.

The arena is the planner's own, on a network of that shape with random weights. Flash is counted: int8 weights, what a
channel and a layer cost besides, and the most code a network has taken. docs/boards.md has by how much that errs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from mbv2gen import candidates, program, row_work, targets
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.estimate_cache import EstimateCache
from mbv2gen.hardware.board import Board
from mbv2gen.planning import trade_offs
from mbv2gen.planning.objective import BALANCED
from mbv2gen.progress import Tell
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QFullyConnected, QuantizedNetwork
from mbv2gen.seeded_mobilenet import mobilenet_v2

WIDTHS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
RESOLUTIONS = (32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224)

CHANNEL_BYTES = 9.4  # bias, multiplier, shift: 9.0 of plain kernels, 9.3 to 9.4 of dsp
LAYER_BYTES = 80  # its description
CODE_BYTES = 12_700


@dataclass(frozen=True)
class Wish:
    """A network that is not there yet, and where it is to run."""

    width: float
    resolution: int
    classes: int
    target: str
    feed: str

    @property
    def key(self) -> str:
        return f"{self.target} {self.feed} {self.width} {self.resolution} {self.classes}"


@dataclass(frozen=True)
class Estimate:
    """What a network takes. ``arena_bytes`` as planned; ``flash_bytes`` and ``instructions`` (QEMU) are estimates.

    ``rows_per_mhz``: rows of a picture a second and MHz that keep it busy, at an instruction a cycle; None where the
    network is fed frames.
    """

    wish: Wish
    arena_bytes: int
    flash_bytes: int
    macs: int
    instructions: int
    rows_per_mhz: float | None


@dataclass(frozen=True)
class WidthFit:
    """The largest resolution of a width that fits: ``best``, None where none does. ``limit``: what the next larger one
    lacks, RAM or flash; None where the largest that was tried fits. ``next_bytes``: what it would take of that."""

    width: float
    best: Estimate | None
    limit: str | None
    next_resolution: int | None
    next_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(wish: Wish) -> Estimate:
    """Plan a network of random weights."""
    network = mobilenet_v2(wish.width, wish.resolution, wish.classes)
    known, target = ranges(network), targets.find(wish.target)
    kernels = candidates.candidates(network, target.family, known)
    plan = trade_offs.plan_for(network, kernels, BALANCED, feed=wish.feed)
    rate = None
    if wish.feed == "rows":
        work = row_work.rows(program.program(network, plan, wish.target, known))
        rate = None if work is None else work.estimated_instructions.greatest_rate
    return Estimate(wish, plan.arena_bytes, flash_bytes(network), network.macs, plan.instructions, rate)


def flash_bytes(network: QuantizedNetwork) -> int:
    """Of weights, parameters, descriptions of layers, and code."""
    layers = [op for op in network.operators if isinstance(op, QConv2D | QDepthwiseConv2D | QFullyConnected)]
    weights, channels = sum(op.weights.size for op in layers), sum(op.bias.size for op in layers)
    return round(weights + CHANNEL_BYTES * channels) + LAYER_BYTES * len(network.operators) + CODE_BYTES


def ram_bytes(estimated: Estimate, board: Board) -> int:
    """Of arena and the stack that the board's description sets aside, as compile --board counts."""
    return estimated.arena_bytes + board.stack_bytes


def lacks(estimated: Estimate, board: Board) -> str | None:
    """What the board has too little of."""
    if estimated.flash_bytes > board.flash_bytes:
        return "flash"
    return "RAM" if ram_bytes(estimated, board) > board.ram_bytes else None


def fit(
    board: Board,
    *,
    target: str,
    classes: int,
    feed: str,
    widths: Sequence[float] = WIDTHS,
    resolutions: Sequence[int] = RESOLUTIONS,
    cache: EstimateCache,
    tell: Tell,
) -> tuple[WidthFit, ...]:
    """For each width the largest resolution that fits, by halving: a larger one takes more.

    Mbv2genError where the target runs on another core than the board's.
    """
    chosen = targets.find(target).name
    if chosen not in (board.core, "host") and targets.find(chosen).family != targets.find(board.core).family:
        raise Mbv2genError(f"--target {target}: --board {board.name} has a {board.core}; leave --target out")
    searches = [_Search(board, _wishes(width, resolutions, classes, chosen, feed)) for width in sorted(set(widths))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done in _rounds(searches, pool, cache):
            tell(done, len(searches))
    return tuple(search.result() for search in searches)


def _wishes(width: float, resolutions: Sequence[int], classes: int, target: str, feed: str) -> tuple[Wish, ...]:
    return tuple(Wish(width, resolution, classes, target, feed) for resolution in sorted(set(resolutions)))


def _rounds(searches: Sequence[_Search], pool: Executor, cache: EstimateCache) -> Iterator[int]:
    """Bring each search the estimates it asks for -> how many are over."""
    while asked := [(search, wish) for search in searches if (wish := search.asks) is not None]:
        running = {}
        for search, wish in asked:
            known = cache.get(wish.key)
            if known is not None:
                search.take(Estimate(wish, **known))
            else:
                running[pool.submit(estimate, wish)] = search
        for future in as_completed(running):
            made = future.result()
            cache.put(made.wish.key, {name: value for name, value in asdict(made).items() if name != "wish"})
            running[future].take(made)
        yield sum(search.asks is None for search in searches)


class _Search:
    """Halving over the resolutions of one width: those below ``low`` fit, those from ``high`` on do not."""

    def __init__(self, board: Board, wishes: tuple[Wish, ...]) -> None:
        self._board, self._wishes = board, wishes
        self._low, self._high = 0, len(wishes)
        self._known: dict[int, Estimate] = {}

    @property
    def asks(self) -> Wish | None:
        """The next network to plan; None where all is known."""
        return self._wishes[self._middle] if self._low < self._high else None

    @property
    def _middle(self) -> int:
        """The smallest first: where its flash does not fit, no other does."""
        return (self._low + self._high) // 2 if self._known else 0

    def take(self, made: Estimate) -> None:
        at, short = self._middle, lacks(made, self._board)
        self._known[at] = made
        if short is None:
            self._low = at + 1
        else:
            self._high = at

    def result(self) -> WidthFit:
        best = self._known[self._low - 1] if self._low else None
        if self._low == len(self._wishes):
            return WidthFit(self._wishes[0].width, best, None, None, None)
        larger = self._known[self._low]
        short = lacks(larger, self._board)
        needed = larger.flash_bytes if short == "flash" else ram_bytes(larger, self._board)
        return WidthFit(larger.wish.width, best, short, larger.wish.resolution, needed)


def largest(fits: Sequence[WidthFit]) -> Estimate | None:
    """Of all that fits, what computes the most."""
    return max((one.best for one in fits if one.best is not None), key=lambda best: best.macs, default=None)
