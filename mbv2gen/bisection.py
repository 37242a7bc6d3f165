# SPDX-License-Identifier: Apache-2.0
"""Bisection: the first step of an inference whose values are not NumPy's, found by checksums in the order of execution.

A board sends a CRC-32 of what each unit of work has made. All steps before the first wrong one are right, so whatever
is the matter happened in that step or to what it read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mbv2gen import int8_reference, tap_crcs
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import execution
from mbv2gen.hardware.execution import Place
from mbv2gen.hardware.runner import RunResult, Taps
from mbv2gen.output_folder import OutputFolder
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork
from mbv2gen.tap_crcs import TapCrc


@dataclass(frozen=True)
class WrongStep:
    """Step ``step`` of ``steps``: columns [``column``, ``end_column``) of a row of a layer's output.

    ``channel``, ``c`` and ``numpy``: the first value in it that differs, ``column`` then being its column. A second run
    brings the values; None where in it that step was right.
    """

    step: int
    steps: int
    layer: int
    name: str
    row: int
    column: int
    end_column: int
    channel: int | None
    c: int | None
    numpy: int | None

    @property
    def is_repeatable(self) -> bool:
        return self.c is not None

    def __str__(self) -> str:
        if self.is_repeatable:
            place = f"column {self.column}, channel {self.channel}: C has {self.c}, NumPy {self.numpy}"
        else:
            place = (
                f"columns {self.column} to {self.end_column - 1}; in a second run that step was right: something else "
                "writes into the arena (DMA, an interrupt, a stack that is too small), or the clock is too fast"
            )
        return f"step {self.step + 1:,} of {self.steps:,}: layer {self.layer} ('{self.name}'), row {self.row}, {place}"


@dataclass(frozen=True)
class Bisection:
    """``wrong`` None: all steps are right; ``output_is_right`` False then says that the output was changed later."""

    network: str
    on: str
    board: str | None
    steps: int
    wrong: WrongStep | None
    output_is_right: bool

    @property
    def is_right(self) -> bool:
        return self.wrong is None and self.output_is_right

    def as_json(self) -> dict[str, Any]:
        return {"equal": self.is_right, **asdict(self)}


def bisect(folder: OutputFolder, place: Place, one: Int8Array) -> Bisection:
    """Run one input, int8 [1][h][w][c], and compare step by step.

    Mbv2genError where the board's image has no taps, CheckFailed where the program does not end well.
    """
    device = place.device
    if device is not None and not place.has_taps:
        raise Mbv2genError(
            f"serial:{device.port}: the image on {device.hello.board} has no taps; "
            + execution.how_to_flash(folder, device.hello, "taps")
        )
    network = folder.network()
    tensors = {name: values[0] for name, values in int8_reference.run(network, one).items()}
    title = f"{folder.name} on {place.title}"
    result = execution.execute(folder, place, one, taps=Taps(crcs=True))
    records = _records(result, title)
    index = tap_crcs.first_wrong(records, network, tensors, title)
    wrong = None
    if index is not None:
        again = (records[index].layer, records[index].row)
        second = execution.execute(folder, place, one, taps=Taps(crcs=True, values_of=again))
        wrong = _located(records, index, _records(second, title), network, tensors, title)
    output_is_right = bool((result.outputs.reshape(-1) == tensors[network.outputs[0]].reshape(-1)).all())
    return Bisection(folder.name, place.on, place.board_name, len(records), wrong, output_is_right)


def _records(result: RunResult, title: str) -> tuple[TapCrc, ...]:
    if not result.crcs:
        raise CheckFailed(f"{title}: the program has sent no CRCs")
    return result.crcs[0]


def _located(
    records: tuple[TapCrc, ...],
    index: int,
    second: tuple[TapCrc, ...],
    network: QuantizedNetwork,
    tensors: Mapping[str, Int8Array],
    title: str,
) -> WrongStep:
    """The wrong record, and of its values, which the second run has sent, the first that differs."""
    record = records[index]
    operator = network.operators[record.layer]
    channels = network.shape(operator.outputs[0])[2]
    column, end = record.first // channels, -(-(record.first + record.count) // channels)
    channel = c = numpy = None
    for piece in second:
        inside = record.first <= piece.first < record.first + record.count
        if not piece.values or not inside:
            continue
        made = np.frombuffer(piece.values, np.int8)
        expected = tap_crcs.row_values(piece, network, tensors, title)
        differs = np.flatnonzero(made != expected)
        if differs.size:
            at = int(differs[0])
            column, channel = divmod(piece.first + at, channels)
            c, numpy = int(made[at]), int(expected[at])
            break
    return WrongStep(index, len(records), record.layer, operator.name, record.row, column, end, channel, c, numpy)
