# SPDX-License-Identifier: Apache-2.0
"""Pareto: the plans of a network that no other beats in memory and in instructions at once, and how to get each."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from mbv2gen import candidates, targets
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.plan import Plan
from mbv2gen.planning import trade_offs
from mbv2gen.planning.fetches import weights_fetched
from mbv2gen.planning.kernels import macs_again, split_blocks
from mbv2gen.planning.objective import BALANCED, RAM, SPEED
from mbv2gen.progress import Tell
from mbv2gen.quantized_network import QuantizedNetwork

AIMS = (SPEED, BALANCED, RAM)


@dataclass(frozen=True)
class Point:
    """A plan. ``instructions`` are estimated from the kernels, not measured; ``weights_fetched`` in bytes.

    ``blocks_in_groups``: blocks that take their expanded channels in groups, one after the other. ``macs_again``:
    multiply-accumulates that are done once more to save memory. ``optimize``: the objectives for which
    ``compile`` takes it; --arena-limit with its bytes gives one as good.
    """

    arena_bytes: int
    instructions: int
    weights_fetched: int
    blocks_in_groups: int
    macs_again: int
    optimize: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def pareto(network: QuantizedNetwork, options: Options, tell: Tell) -> tuple[Point, ...]:
    """The front, the fastest first; ``options`` say the target and how the input arrives."""
    kernels = candidates.candidates(network, targets.find(options.target).family, ranges(network))
    named: dict[str, Plan] = {}
    for done, aim in enumerate(AIMS):
        named[aim.name] = trade_offs.plan_for(network, kernels, aim, feed=options.feed, keep_input=options.keep_input)
        tell(done + 1, len(AIMS) + 1)
    plans = trade_offs.front(network, kernels, feed=options.feed, keep_input=options.keep_input)
    tell(len(AIMS) + 1, len(AIMS) + 1)
    return tuple(
        Point(
            plan.arena_bytes,
            plan.instructions,
            weights_fetched(network, plan.candidates),
            len(split_blocks(plan.candidates)),
            sum(map(macs_again, plan.candidates, network.operators, itertools.repeat(network))),
            tuple(name for name, other in named.items() if _key(other) == _key(plan)),
        )
        for plan in plans
    )


def _key(plan: Plan) -> tuple[int, int]:
    return plan.arena_bytes, plan.instructions
