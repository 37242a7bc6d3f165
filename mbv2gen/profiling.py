# SPDX-License-Identifier: Apache-2.0
"""Profiling: exact instructions of one inference on an emulated board, whole and by layer; stack, code and flash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import execution, firmware, image_sizes, runner
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.execution import Place
from mbv2gen.hardware.image_sizes import ImageSizes
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.progress import Tell
from mbv2gen.report import row_counts
from mbv2gen.row_work import RowWork


@dataclass(frozen=True)
class Profile:
    """``instructions`` of NAME_run, counted in QEMU; they are no cycles. None where the board cannot count.

    ``layer_instructions`` come from a second build, which reads the timer between layers; ``row_instructions``, where
    the network is fed rows, from a third, which reads it at each row: what the row sets off until the network is hungry
    again. ``touched_arena_bytes``: the arena up to the last byte that changed; ``whole_stack_bytes``: of the program.
    """

    board: str
    instructions: int | None
    layer_instructions: tuple[int, ...] | None
    row_instructions: RowWork | None
    arena_bytes: int
    touched_arena_bytes: int
    stack_bytes: int | None
    whole_stack_bytes: int | None
    sizes: ImageSizes


def profile(folder: OutputFolder, board: Board, tell: Tell | None = None) -> Profile:
    """Build for the board and run one input of noise, plainly and then with the timer read at every layer.

    Raises Mbv2genError where a tool is missing or the network does not fit, CheckFailed where it does not run.
    """
    inputs = network_inputs.synthetic(folder.network(), 1)
    is_fed = folder.report().get("feed") == "rows"
    steps = 6 if is_fed else 4
    title = f"{folder.name} on {board.name}"
    tell = tell or (lambda done, total: None)
    plain = firmware.build_board(folder.path, folder.name, board, folder.builds)
    tell(1, steps)
    twice = np.repeat(inputs, 2, axis=0)  # on other noise: a byte that happens to keep its value shows the second time
    whole = runner.run(plain, twice, board=board, title=title)
    tell(2, steps)
    layered = firmware.build_board(folder.path, folder.name, board, folder.builds, profile=True)
    tell(3, steps)
    layers = runner.run(layered, inputs, board=board, title=title).layer_instructions
    rows = None
    if is_fed:
        tell(4, steps)
        by_row = firmware.build_board(folder.path, folder.name, board, folder.builds, rows=True)
        tell(5, steps)
        rows = runner.run(by_row, inputs, board=board, title=title).row_instructions
    return Profile(
        board=board.name,
        instructions=None if whole.instructions is None else whole.instructions[0],
        layer_instructions=None if layers is None else layers[0],
        row_instructions=None if rows is None else RowWork(rows[0]),
        arena_bytes=whole.arena_bytes,
        touched_arena_bytes=whole.touched_arena_bytes,
        stack_bytes=whole.stack_bytes,
        whole_stack_bytes=whole.whole_stack_bytes,
        sizes=image_sizes.image_sizes(plain, folder.name),
    )


@dataclass(frozen=True)
class DeviceProfile:
    """What a board at the end of a serial line has counted, in ``unit``: cycles, or instructions where it is emulated.

    ``layers`` come with an image of kind profile, ``whole`` and ``stack_bytes``, of NAME_run alone, with one of kind
    plain, else None.
    """

    board: str
    unit: str
    whole: int | None
    layers: tuple[int, ...] | None
    stack_bytes: int | None
    whole_stack_bytes: int | None
    touched_arena_bytes: int


def profile_device(folder: OutputFolder, place: Place) -> DeviceProfile:
    """Run one input of noise on the board at the end of a line.

    Mbv2genError where its image is for something else, CheckFailed where it does not run.
    """
    device = place.device
    assert device is not None
    if folder.report().get("feed") == "rows":
        raise Mbv2genError(f"{folder.path}: is fed rows, and their way over the line would be counted; use --on qemu")
    if device.hello.build == "taps":
        raise Mbv2genError(
            f"serial:{device.port}: the image on {device.hello.board} has taps, which take their time; "
            + execution.how_to_flash(folder, device.hello, "profile")
        )
    inputs = np.repeat(network_inputs.synthetic(folder.network(), 1), 2, axis=0)
    result = execution.execute(folder, place, inputs)
    counts = result.cycles or result.instructions
    is_plain = device.hello.build == "plain"
    return DeviceProfile(
        board=device.hello.board,
        unit="instructions (QEMU)" if result.cycles is None else "cycles",
        whole=counts[-1] if counts and is_plain else None,
        layers=None if result.layer_instructions is None else result.layer_instructions[-1],
        stack_bytes=result.stack_bytes,
        whole_stack_bytes=result.whole_stack_bytes,
        touched_arena_bytes=result.touched_arena_bytes,
    )


def with_device(report: Mapping[str, Any], measured: DeviceProfile) -> dict[str, Any]:
    """The report with what a board has counted, by its name; what an image of the other kind told before stays."""
    layers = report.get("layers")
    if not isinstance(layers, list) or (measured.layers is not None and len(measured.layers) != len(layers)):
        raise Mbv2genError("report.json: is not of this program; compile again")
    before = report.get("devices") or {}
    known = {key: value for key, value in asdict(measured).items() if value is not None}
    return {**report, "devices": {**before, measured.board: {**before.get(measured.board, {}), **known}}}


def in_report(report: Mapping[str, Any], measured: Profile) -> dict[str, Any]:
    """The report with what was measured; descriptions of layers are all constants, as linked, less the tables."""
    layers = report.get("layers")
    if not isinstance(layers, list) or not all(isinstance(report.get(key), dict) for key in ("ram", "flash")):
        raise Mbv2genError("report.json: is not a report of this version; compile again")
    counts = measured.layer_instructions or (None,) * len(layers)
    if len(counts) != len(layers):
        raise Mbv2genError(f"report.json: has {len(layers)} layers, the program {len(counts)}; compile again")
    sizes, stack = measured.sizes, measured.stack_bytes
    ram = {
        "static_bytes": sizes.static_bytes,
        "arena_touched_bytes": measured.touched_arena_bytes,
        "stack_bytes": stack,
        "whole_stack_bytes": measured.whole_stack_bytes,
        "total_bytes": None if stack is None else measured.arena_bytes + sizes.static_bytes + stack,
    }
    constants = sizes.weights_bytes + sizes.parameters_bytes
    flash = {
        "descriptions_bytes": constants - report["flash"]["weights_bytes"] - report["flash"]["parameters_bytes"],
        "code_bytes": sizes.code_bytes,
        "total_bytes": sizes.flash_bytes,
    }
    return {
        **report,
        "ram": {**report["ram"], **ram},
        "flash": {**report["flash"], **flash},
        "layers": [{**layer, "instructions": n} for layer, n in zip(layers, counts, strict=True)],
        "instructions": measured.instructions,
        "rows": _rows(report, measured.row_instructions),
        "profile": {"board": measured.board, "counted_by": "QEMU"},
    }


def _rows(report: Mapping[str, Any], measured: RowWork | None) -> dict[str, Any] | None:
    """The report's rows with what was counted; rows a second and MHz at an instruction a cycle."""
    before = report.get("rows")
    if before is None or measured is None:
        return before
    return {**before, "instructions": row_counts(measured), "greatest_rate_per_mhz": measured.greatest_rate}


def per_mac(instructions: int | None, macs: int) -> float | None:
    return None if instructions is None or not macs else instructions / macs
