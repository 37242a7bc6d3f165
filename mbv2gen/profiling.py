"""Profiling: exact instructions of one inference on an emulated board, whole and by layer; stack, code and flash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import firmware, image_sizes, runner
from mbv2gen.hardware.boards import Board
from mbv2gen.hardware.image_sizes import ImageSizes
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.progress import Tell


@dataclass(frozen=True)
class Profile:
    """``instructions`` of NAME_run, counted in QEMU; they are no cycles. None where the board cannot count.

    ``layer_instructions`` come from a second build, which reads the timer between layers.
    """

    board: str
    instructions: int | None
    layer_instructions: tuple[int, ...] | None
    arena_bytes: int
    stack_bytes: int | None
    sizes: ImageSizes


def profile(folder: OutputFolder, board: Board, tell: Tell | None = None) -> Profile:
    """Build for the board and run one input of noise, plainly and then with the timer read at every layer.

    Raises Mbv2genError where a tool is missing or the network does not fit, CheckFailed where it does not run.
    """
    inputs = network_inputs.synthetic(folder.network(), 1)
    title = f"{folder.name} on {board.name}"
    tell = tell or (lambda done, total: None)
    plain = firmware.build_board(folder.path, folder.name, board, folder.builds)
    tell(1, 4)
    whole = runner.run(plain, inputs, board=board, title=title)
    tell(2, 4)
    layered = firmware.build_board(folder.path, folder.name, board, folder.builds, profile=True)
    tell(3, 4)
    layers = runner.run(layered, inputs, board=board, title=title).layer_instructions
    return Profile(
        board=board.name,
        instructions=None if whole.instructions is None else whole.instructions[0],
        layer_instructions=None if layers is None else layers[0],
        arena_bytes=whole.arena_bytes,
        stack_bytes=whole.stack_bytes,
        sizes=image_sizes.image_sizes(plain, folder.name),
    )


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
        "stack_bytes": stack,
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
        "profile": {"board": measured.board, "counted_by": "QEMU"},
    }


def per_mac(instructions: int | None, macs: int) -> float | None:
    return None if instructions is None or not macs else instructions / macs
