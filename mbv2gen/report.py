# SPDX-License-Identifier: Apache-2.0
"""Report: what is known of a compiled network, as the JSON of report.json. What is not measured yet is null."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from mbv2gen import quantized_network, row_work
from mbv2gen.planning.objective import Objective
from mbv2gen.planning.occupancy import Occupancy
from mbv2gen.program import Call, Program
from mbv2gen.quantized_network import QOperator
from mbv2gen.row_work import RowWork

Report: TypeAlias = dict[str, Any]  # the JSON document

NUMBERS = re.compile(r"\[\s+-?\d+(?:,\s+-?\d+)*\s+\]")


def report(program: Program, occupied: Occupancy, aim: Objective, *, command: str, board: str | None = None) -> Report:
    """The report that a compile writes; ``evaluate``, ``profile`` and ``analyze`` add to it.

    ``command`` makes it again; ``board``: with whose memories it is compared, None: the target's emulated one.
    """
    h, w, c = program.network.shape(program.network.inputs[0])
    return {
        "schema": 1,
        "name": program.network.name,
        "command": command,
        "board": board,
        "model": {
            "file": program.network.source.file,
            "sha256": program.network.source.sha256,
            "producer": program.network.source.producer,
            "opset": program.network.source.opset,
        },
        "target": program.target,
        "feed": program.feed,
        "optimize": aim.name,
        "arena_limit": aim.limit,
        "input": _tensor(program, program.network.inputs[0]),
        "output": _tensor(program, program.network.outputs[0]),
        "macs": program.network.macs,
        "macs_again": program.macs_again,
        "ram": {
            "arena_bytes": program.arena_bytes,
            "arena_touched_bytes": None,
            "static_bytes": None,
            "stack_bytes": None,
            "whole_stack_bytes": None,
            "input_bytes": h * w * c,
            "total_bytes": None,
        },
        "flash": {
            "weights_bytes": program.weights_bytes,
            "parameters_bytes": program.parameters_bytes,
            "descriptions_bytes": None,
            "code_bytes": None,
            "total_bytes": None,
        },
        "channels": _channels(program),
        "layers": _layers(program),
        "plan": occupied.as_json(),
        "accuracy": None,
        "analysis": None,
        "instructions": None,
        "rows": _rows(program),
        "devices": {},
    }


def _channels(program: Program) -> dict[str, int] | None:
    """Output channels of convolutions on the dsp kernels by how they are computed: with the layer's common shift, with
    one of their own, as a constant, or in the general fallback body. None where no such kernel runs."""
    kinds = ("solved", "own_shift", "constant", "general")
    counted = [dict(call.work.statistics) for call in program.calls if call.work.statistics]
    return {kind: sum(counts[kind] for counts in counted) for kind in kinds} if counted else None


def _rows(program: Program) -> dict[str, Any] | None:
    """What a pushed row sets off: the mean, the most of all rows but the last, and what is left behind that one."""
    work = row_work.rows(program)
    if work is None:
        return None
    return {
        "macs": row_counts(work.macs),
        "instructions_estimated": row_counts(work.estimated_instructions),
        "instructions": None,
        "greatest_rate_per_mhz": None,
    }


def row_counts(work: RowWork) -> dict[str, float]:
    return {"mean": round(work.mean, 1), "worst": work.worst, "last": work.last}


def text(report: Report) -> bytes:
    """The report as the file holds it: indented, but lists of numbers on a line each."""
    lines = NUMBERS.sub(lambda found: json.dumps(json.loads(found[0])), json.dumps(report, indent=2))
    return (lines + "\n").encode()


def _tensor(program: Program, name: str) -> dict[str, Any]:
    tensor = program.network.tensor(name)
    return {"shape": list(tensor.shape), "scale": tensor.scale, "zero_point": tensor.zero_point}


def _layers(program: Program) -> list[dict[str, Any]]:
    """Calls in their order; ``inputs`` are layers, null the network's own input."""
    operators = program.network.operators
    makers = {name: layer for layer, operator in enumerate(operators) for name in operator.outputs}
    inputs = [[makers.get(name) for name in operator.inputs] for operator in operators]
    return [{**_layer(call, operators[call.layer]), "inputs": inputs[call.layer]} for call in program.calls]


def _layer(call: Call, operator: QOperator) -> dict[str, Any]:
    weight_bits = quantized_network.weight_bits(operator) if call.weights_bytes else None
    return {
        "name": call.operator,
        "op": call.kind,
        "block": call.block,
        "input_shape": list(call.input_shape),
        "output_shape": list(call.output_shape),
        "macs": call.macs,
        "weights_bytes": call.weights_bytes,
        "weight_bits": weight_bits,
        "live_bytes": call.live_bytes,
        "kernel": f"mbv2_{call.body}",
        "channel_groups": call.channel_groups,
        "instructions_estimated": round(call.estimated_instructions),
        "instructions": None,
    }
