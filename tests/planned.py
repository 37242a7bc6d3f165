# SPDX-License-Identifier: Apache-2.0
"""From a quantized network to its plan and program with the plain kernels, in every way of feeding and fusing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbv2gen import candidates, int8_reference, program_interpreter, targets
from mbv2gen.dsp.call_fields import FASTEST, BodySet
from mbv2gen.dsp.ranges import ranges
from mbv2gen.plan import Plan, plan
from mbv2gen.planning.kernels import PLAIN, Candidate
from mbv2gen.planning.layouts import Sums
from mbv2gen.planning.objective import TIGHT, Style
from mbv2gen.program import Call, Program, program
from mbv2gen.quantized_network import QuantizedNetwork

MODES: dict[str, dict[str, Any]] = {
    "frame": {},
    "rows": {"feed": "rows"},
    "keep_input": {"keep_input": True},
    "layer_by_layer": {"fuse": False},
    "rows_layer_by_layer": {"feed": "rows", "fuse": False},
}


def chosen(network: QuantizedNetwork) -> tuple[Candidate, ...]:
    return candidates.choose(network, candidates.candidates(network, PLAIN, ranges(network)))


def planned(network: QuantizedNetwork, mode: str) -> tuple[Plan, Program]:
    made = plan(network, chosen(network), **MODES[mode])
    return made, program(network, made, "host", ranges(network))


def rows_that_differ(complete: Program, x: NDArray[np.int8]) -> list[str]:
    """Runs ``complete`` on int8 [h][w][c] and names every row of a layer that is not the reference's, or missing."""
    network = complete.network
    wanted = int8_reference.run(network, x[None])
    missing = {(call.operator, row) for call in complete.calls if is_seen(call) for row in range(call.output_shape[0])}
    different = []

    def tap(call: Call, row: int, values: NDArray[np.int8]) -> None:
        missing.discard((call.operator, row))
        if not np.array_equal(values, wanted[network.operators[call.layer].outputs[0]][0, row]):
            different.append(f"{call.operator} row {row}")

    output = program_interpreter.run(complete, x, tap)
    if not np.array_equal(output, int8_reference.run_outputs(network, x[None])[0]):
        different.append("the output")
    return different + [f"{operator} row {row} missing" for operator, row in sorted(missing)]


def planned_tight(
    network: QuantizedNetwork,
    operators: Collection[str],
    *,
    feed: str = "frame",
    target: str = "cortex-m7",
    style: Style = TIGHT,
    bodies: BodySet = FASTEST,
) -> Program:
    """With tight kernels of a ``style`` where ``operators`` can have them, no wide ones."""
    known = ranges(network)
    options = {
        name: tuple(one for one in found if name in operators or not one.contract.tight)
        for name, found in candidates.candidates(network, targets.find(target).family, known).items()
    }
    made = plan(network, candidates.choose(network, options, style), feed=feed)
    return program(network, made, target, known, bodies)


def is_seen(call: Call) -> bool:
    """Whether rows of the output ever exist: not where they are added to pool sums as they come."""
    return not isinstance(call.output.layout, Sums)
