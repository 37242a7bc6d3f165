"""Execution: the C of an output folder on inputs, on this machine or on an emulated board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbv2gen import targets
from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards, firmware, runner
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.runner import RunResult
from mbv2gen.output_folder import OutputFolder
from mbv2gen.progress import Tell
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

DEFAULT_BOARD = "mps2-an500"


@dataclass(frozen=True)
class Place:
    """Where C runs: an emulated board, or this machine where ``board`` is None."""

    board: Board | None

    @property
    def on(self) -> str:
        return "host" if self.board is None else "qemu"

    @property
    def title(self) -> str:
        return "the host" if self.board is None else f"{self.board.name} ({self.board.core}, QEMU)"


HOST = Place(None)


def find_place(folder: OutputFolder, on: str | None, board: str | None) -> Place:
    """What ``--on`` and ``--board`` name. A board alone says qemu; without one it is that of the folder's target."""
    if on in ("host", "numpy") and board is not None:
        raise Mbv2genError(f"--board {board}: belongs to --on qemu; leave one of them out")
    if on != "qemu" and board is None:
        return HOST
    chosen = boards.load(board or _default_board(folder))
    chosen.require_emulator()
    return Place(chosen)


def _default_board(folder: OutputFolder) -> str:
    target = folder.report().get("target")
    return targets.find(str(target)).board or DEFAULT_BOARD


def build(
    folder: OutputFolder, place: Place, *, sanitize: bool = False, taps: bool = False, poison: bool = False
) -> Path:
    """The program of ``folder`` for ``place``, built where it is not built yet.

    ``sanitize`` and ``poison`` count on the host alone.
    """
    if place.board is None:
        return firmware.build_host(folder.path, folder.name, folder.builds, sanitize=sanitize, taps=taps, poison=poison)
    return firmware.build_board(folder.path, folder.name, place.board, folder.builds, taps=taps)


def execute(
    folder: OutputFolder,
    place: Place,
    inputs: Int8Array,
    *,
    sanitize: bool = False,
    taps: bool = False,
    poison: bool = False,
    tell: Tell | None = None,
) -> RunResult:
    """Build the program where it is not built yet, and run it on ``inputs``, int8 [n][h][w][c].

    ``sanitize`` and ``poison`` count on the host alone; CheckFailed where the program does not end well.
    """
    program = build(folder, place, sanitize=sanitize, taps=taps, poison=poison)
    title = f"{folder.name} on {place.title}"
    return runner.run(program, inputs, board=place.board, title=title, taps=taps, progress=tell)


def outputs(
    folder: OutputFolder,
    network: QuantizedNetwork,
    place: Place,
    inputs: Int8Array,
    *,
    sanitize: bool = False,
    tell: Tell | None = None,
) -> Int8Array:
    """The network's output as C computes it, int8 [n][h][w][c]."""
    result = execute(folder, place, inputs, sanitize=sanitize, tell=tell)
    return result.outputs.reshape(len(inputs), *network.shape(network.outputs[0]))
