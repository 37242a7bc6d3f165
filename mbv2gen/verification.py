# SPDX-License-Identifier: Apache-2.0
"""Verification: the C equals the NumPy reference, byte for byte; where it does not, the first place that differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mbv2gen import bisection, int8_reference
from mbv2gen.errors import CheckFailed
from mbv2gen.hardware import execution
from mbv2gen.hardware.execution import Place
from mbv2gen.hardware.runner import Taps
from mbv2gen.output_folder import OutputFolder, check_unchanged
from mbv2gen.progress import Tell, part
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork


@dataclass(frozen=True)
class Difference:
    """The first value, in the order of execution, that differs. ``layer`` None: all layers' rows are right, but the
    output is changed after its last row was made; or, not ``rows_seen``, nothing is known of them. ``poisoned``: it is
    right where dead bytes stay as they are."""

    input: int
    layer: int | None
    name: str
    row: int
    column: int
    channel: int
    c: int
    numpy: int
    poisoned: bool = False
    rows_seen: bool = True

    def __str__(self) -> str:
        where = "the output, after its last layer was right" if self.layer is None else f"layer {self.layer}"
        where = where if self.rows_seen else "the output, and an image with taps would say from which layer on"
        return (
            f"input {self.input}: {where} ('{self.name}'), row {self.row}, column {self.column}, "
            f"channel {self.channel}: C has {self.c}, NumPy {self.numpy}"
            + (", but only where dead bytes are overwritten: a kernel reads what nobody owns" if self.poisoned else "")
        )


@dataclass(frozen=True)
class Verification:
    """What was compared: outputs of all inputs, every row of every layer of the first, on the host with dead bytes
    ``poisoned``; of a board at the end of a line, without taps, outputs alone: no ``layers``.

    ``difference`` None: equal."""

    network: str
    on: str
    board: str | None
    inputs: int
    output_values: int
    layers: int
    layer_values: int
    poisoned: bool
    difference: Difference | None

    def as_json(self) -> dict[str, Any]:
        return {"equal": self.difference is None, **asdict(self)}


def verify(
    folder: OutputFolder, place: Place, batches: Iterable[Int8Array], total: int, tell: Tell | None = None
) -> Verification:
    """Compare C and NumPy on ``batches`` of inputs int8 [n][h][w][c], ``total`` in all, up to the first difference.

    On the host with the address and undefined-behaviour sanitizers; the first input runs once more in a build that
    overwrites, after each unit of work, all bytes of the arena that the plan calls dead. At the end of a serial line
    rows are compared by checksums, and where the image there has taps. Raises CheckFailed where a
    file of the folder is not as it was generated, or the program does not end well.
    """
    check_unchanged(folder)
    network = folder.network()
    done, difference = 0, None
    for inputs in batches:
        if not done and place.has_taps:
            difference = _first_difference(folder, network, place, inputs[:1], 0, poison=True)
        if difference is None:
            batch_tell = part(tell, done, total) if tell is not None else None
            difference = _compare(folder, network, place, inputs, before=done, tell=batch_tell)
        done += len(inputs)
        if difference is not None:
            break
    values = done * int(np.prod(network.shape(network.outputs[0])))
    seen = network.operators if place.has_taps else ()
    tapped = sum(int(np.prod(network.shape(operator.outputs[0]))) for operator in seen)
    poisoned = place.on == "host"
    return Verification(folder.name, place.on, place.board_name, done, values, len(seen), tapped, poisoned, difference)


def _compare(
    folder: OutputFolder, network: QuantizedNetwork, place: Place, inputs: Int8Array, *, before: int, tell: Tell | None
) -> Difference | None:
    made = execution.outputs(folder, network, place, inputs, sanitize=True, tell=tell)
    wanted = int8_reference.run_outputs(network, inputs)
    wrong = np.flatnonzero((made != wanted).any(axis=(1, 2, 3)))
    if not wrong.size:
        return None
    index = int(wrong[0])
    if not place.has_taps:
        found = _located(network.outputs[0], None, made[index], wanted[index], before + index)
        return None if found is None else replace(found, rows_seen=False)
    found = _first_difference(folder, network, place, inputs[index : index + 1], before + index)
    return found or _located(network.outputs[0], None, made[index], wanted[index], before + index)


def _first_difference(
    folder: OutputFolder, network: QuantizedNetwork, place: Place, one: Int8Array, index: int, *, poison: bool = False
) -> Difference | None:
    """The first value of one input that differs in a layer's tapped rows, or in the output; None where all are equal.

    ``poison``: on the host with dead bytes overwritten. What differs then is looked for without, too."""
    if place.device is not None:
        return _by_checksums(folder, network, place, one, index)
    found = _difference(folder, network, place, one, index, poison=poison and place.board is None)
    if found is None or not poison or place.board is not None:
        return found
    return _difference(folder, network, place, one, index, poison=False) or replace(found, poisoned=True)


def _by_checksums(
    folder: OutputFolder, network: QuantizedNetwork, place: Place, one: Int8Array, index: int
) -> Difference | None:
    """The same by what a serial line can carry. CheckFailed where a second run differs from the first."""
    wrong = bisection.bisect(folder, place, one).wrong
    if wrong is None:
        return None
    if wrong.channel is None or wrong.c is None or wrong.numpy is None:
        raise CheckFailed(f"{folder.name} on {place.title}: input {index}: {wrong}")
    return Difference(index, wrong.layer, wrong.name, wrong.row, wrong.column, wrong.channel, wrong.c, wrong.numpy)


def _difference(
    folder: OutputFolder, network: QuantizedNetwork, place: Place, one: Int8Array, index: int, *, poison: bool
) -> Difference | None:
    result = execution.execute(folder, place, one, sanitize=True, taps=Taps(), poison=poison)
    taps = (result.taps or ({},))[0]
    wanted = int8_reference.run(network, one)
    for layer, operator in enumerate(network.operators):
        expected = wanted[operator.outputs[0]][0]
        made = taps.get(layer)
        if made is None or made.size != expected.size:
            got = "nothing" if made is None else f"{made.size} values"
            raise CheckFailed(f"{folder.name}: layer {layer} ('{operator.name}') taps {got}, not {expected.size}")
        found = _located(operator.name, layer, made.reshape(expected.shape), expected, index)
        if found is not None:
            return found
    name = network.outputs[0]
    return _located(name, None, result.outputs.reshape(network.shape(name)), wanted[name][0], index)


def _located(name: str, layer: int | None, made: Int8Array, wanted: Int8Array, index: int) -> Difference | None:
    """The first difference of two [h][w][c] arrays, in row-major order."""
    places = np.argwhere(made != wanted)
    if not len(places):
        return None
    row, column, channel = (int(i) for i in places[0])
    at = row, column, channel
    return Difference(index, layer, name, row, column, channel, int(made[at]), int(wanted[at]))
