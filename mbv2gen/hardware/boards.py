# SPDX-License-Identifier: Apache-2.0
"""Boards: those that firmware/boards describes."""

from __future__ import annotations

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import board_file
from mbv2gen.hardware.board import Board
from mbv2gen.resources import firmware_dir


def names() -> tuple[str, ...]:
    """All boards' names, sorted."""
    return tuple(sorted(file.parent.name for file in (firmware_dir() / "boards").glob("*/board.toml")))


def load(name: str) -> Board:
    """The board of that name. Mbv2genError where there is none."""
    known = names()
    if name not in known:
        raise Mbv2genError(f"there is no board '{name}'; choose one of {', '.join(known)}")
    return board_file.read(firmware_dir() / "boards" / name / "board.toml")


def all_boards() -> tuple[Board, ...]:
    """Every board, sorted by name."""
    return tuple(load(name) for name in names())


def emulated() -> tuple[Board, ...]:
    """Those that QEMU has, sorted by name."""
    return tuple(board for board in all_boards() if board.emulator is not None)
