# SPDX-License-Identifier: Apache-2.0
"""The packing check, tried on every table of every body with single values changed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from four_bits import with_four_bits
from numpy.typing import NDArray
from planned import planned
from random_networks import random_network

from mbv2gen.errors import CheckFailed
from mbv2gen.packing.check import check_packing
from mbv2gen.program import Call, Program

BODIES = {
    "conv_s8",
    "conv_1x1_s8",
    "conv_1x1_lines_s8",
    "depthwise_conv_s8",
    "depthwise_conv_lines_s8",
    "fully_connected_s8",
    "conv_1x1_s4",
    "conv_1x1_lines_s4",
    "fully_connected_s4",
}


@functools.cache
def programs() -> list[Program]:
    networks = [
        random_network(np.random.default_rng([9, seed]), size=(7, 8), blocks=2, max_channels=8) for seed in range(12)
    ]
    networks += [with_four_bits(network) for network in networks[:6]]
    return [planned(network, "layer_by_layer")[1] for network in networks]


def with_values(program: Program, call: Call, field: str, values: NDArray[np.generic]) -> Program:
    tables = tuple(replace(t, values=values) if t.field == field else t for t in call.tables)
    changed = replace(call, work=replace(call.work, tables=tables))
    return replace(program, calls=tuple(changed if c.layer == call.layer else c for c in program.calls))


def changed_values(values: NDArray[np.generic], rng: np.random.Generator) -> Iterator[NDArray[np.generic]]:
    """One value one up, one down, two neighbours that differ swapped, all turned by one place."""
    for step in (-1, 1):
        other = values.copy()
        at = int(rng.integers(len(other)))
        other[at] = other[at] + step if abs(int(other[at]) + step) <= np.iinfo(other.dtype).max else other[at] - step
        yield other
    different = np.nonzero(values[1:] != values[:-1])[0]
    if len(different):
        other = values.copy()
        at = int(rng.choice(different))
        other[at], other[at + 1] = values[at + 1], values[at]
        yield other
        yield np.roll(values, 1)


def complaint(program: Program) -> str:
    try:
        check_packing(program)
    except CheckFailed as error:
        return str(error)
    return ""


def test_packed_programs_pass() -> None:
    for program in programs():
        check_packing(program)


@pytest.mark.parametrize("field", ["weights", "bias", "multiplier", "shift"])
def test_every_changed_value_is_noticed_and_named(field: str) -> None:
    rng, planted, unnoticed, bodies = np.random.default_rng(0), 0, [], set()
    for program in programs():
        for call in program.calls:
            for table in call.tables:
                if table.field != field:
                    continue
                bodies.add(call.body)
                for values in changed_values(table.values, rng):
                    planted += 1
                    said = complaint(with_values(program, call, field, values))
                    if f"the {field} of layer {call.layer} ({call.operator})" not in said:
                        unnoticed.append(f"{call.operator} {field}: {said}")
    assert bodies == BODIES
    assert planted >= 200
    assert unnoticed == []


def test_a_table_that_is_too_short_is_noticed() -> None:
    program = programs()[0]
    call = next(c for c in program.calls if c.body == "conv_s8")
    for table in call.tables:
        with pytest.raises(CheckFailed):
            check_packing(with_values(program, call, table.field, table.values[:-1]))
