# SPDX-License-Identifier: Apache-2.0
"""Execution: the C of an output folder on inputs, on this machine, on an emulated board or at the end of a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbv2gen import targets
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, runner
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.runner import RunResult, Taps
from mbv2gen.hardware.serial_line import open_line
from mbv2gen.hardware.serial_session import Hello, greet
from mbv2gen.output_folder import OutputFolder
from mbv2gen.progress import Tell
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

DEFAULT_BOARD = "mps2-an500"


SERIAL = "serial:"


@dataclass(frozen=True)
class Device:
    """A board at the end of a serial line, ``port`` as pyserial names it, and what it says it is."""

    port: str
    hello: Hello


@dataclass(frozen=True)
class Place:
    """Where C runs: an emulated board, a board at the end of a line, or this machine where there is neither."""

    board: Board | None
    device: Device | None = None

    @property
    def on(self) -> str:
        return "serial" if self.device is not None else "host" if self.board is None else "qemu"

    @property
    def board_name(self) -> str | None:
        if self.device is not None:
            return self.device.hello.board
        return None if self.board is None else self.board.name

    @property
    def title(self) -> str:
        if self.device is not None:
            return f"{self.device.hello.board} ({SERIAL}{self.device.port})"
        return "the host" if self.board is None else f"{self.board.name} ({self.board.core}, QEMU)"

    @property
    def has_taps(self) -> bool:
        """Whether rows of layers can be seen there: always where programs are built as they are needed."""
        return self.device is None or self.device.hello.build == "taps"


HOST = Place(None)


def find_place(folder: OutputFolder, on: str | None, board: str | None) -> Place:
    """What ``--on`` and ``--board`` name. A board alone says qemu; without one it is that of the folder's target.

    At a serial line somebody must answer, and with this very compile of the network."""
    if on is not None and on != "qemu" and board is not None:
        raise Mbv2genError(f"--board {board}: belongs to --on qemu; leave one of them out")
    if on is not None and on.startswith(SERIAL):
        return Place(None, _find_device(folder, on.removeprefix(SERIAL)))
    if on != "qemu" and board is None:
        return HOST
    chosen = boards.load(board or _default_board(folder))
    chosen.require_emulator()
    return Place(chosen)


def _find_device(folder: OutputFolder, port: str) -> Device:
    try:
        with open_line(port) as line:
            hello = greet(line)
    except CheckFailed as error:
        raise CheckFailed(f"{SERIAL}{port}: {error}") from None
    wanted = folder.name, firmware.compile_number(folder.path, folder.name)
    if (hello.network, hello.compile) != wanted:
        raise Mbv2genError(
            f"{SERIAL}{port}: on {hello.board} is network '{hello.network}' of compile {hello.compile}, not "
            f"'{wanted[0]}' of compile {wanted[1]}; {how_to_flash(folder, hello, hello.build)}"
        )
    return Device(port, hello)


def how_to_flash(folder: OutputFolder, hello: Hello, build: str) -> str:
    """What to do to have that build of ``folder`` on the board."""
    return f"'mbv2gen flash {folder.path} --board {hello.board} --serial {build}' puts it there"


def _default_board(folder: OutputFolder) -> str:
    target = folder.report().get("target")
    return targets.find(str(target)).board or DEFAULT_BOARD


def build(
    folder: OutputFolder, place: Place, *, sanitize: bool = False, taps: Taps | None = None, poison: bool = False
) -> Path:
    """The program of ``folder`` for ``place``, built where it is not built yet.

    ``sanitize`` and ``poison`` count on the host alone.
    """
    rows, crcs = taps is not None and not taps.crcs, taps is not None and taps.crcs
    if place.board is None:
        return firmware.build_host(
            folder.path, folder.name, folder.builds, sanitize=sanitize, taps=rows, crcs=crcs, poison=poison
        )
    return firmware.build_board(folder.path, folder.name, place.board, folder.builds, taps=rows, crcs=crcs)


def execute(
    folder: OutputFolder,
    place: Place,
    inputs: Int8Array,
    *,
    sanitize: bool = False,
    taps: Taps | None = None,
    poison: bool = False,
    tell: Tell | None = None,
) -> RunResult:
    """Build the program where it is not built yet, and run it on ``inputs``, int8 [n][h][w][c].

    ``sanitize`` and ``poison`` count on the host alone; at the end of a line runs what is there, with or without taps.
    CheckFailed where the program does not end well.
    """
    title = f"{folder.name} on {place.title}"
    if place.device is not None:
        with open_line(place.device.port) as line:
            return runner.run_on_line(line, inputs, title=title, taps=taps, progress=tell)
    program = build(folder, place, sanitize=sanitize, taps=taps, poison=poison)
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
