# SPDX-License-Identifier: Apache-2.0
"""BoardFit: whether a compiled network can live on a board, before anything is written or built."""

from __future__ import annotations

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware.board import Board
from mbv2gen.program import Program


def check_fits(program: Program, board: Board) -> None:
    """Mbv2genError where arena and stack exceed the board's RAM, or the tables every memory that may hold them."""
    file, ram = program.network.source.file, board.ram_bytes
    needed = program.arena_bytes + board.stack_bytes
    if needed > ram:
        raise Mbv2genError(
            f"{file}: needs {needed:,} bytes of RAM ({program.arena_bytes:,} arena, {board.stack_bytes:,} stack), "
            f"--board {board.name} has {ram:,}; choose a larger board, or a smaller image or network"
        )
    tables = program.weights_bytes + program.parameters_bytes
    if tables > board.flash_bytes:
        raise Mbv2genError(
            f"{file}: has {tables:,} bytes of weights and parameters, --board {board.name} has {board.flash_bytes:,} "
            "of flash; choose a larger board or a smaller network"
        )
