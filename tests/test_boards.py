# SPDX-License-Identifier: Apache-2.0
"""Boards: descriptions are complete, their timers count, and a wrong one is told in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import board_file, boards
from mbv2gen.hardware.board import Board, placed
from mbv2gen.resources import firmware_dir

AN500 = firmware_dir() / "boards" / "mps2-an500" / "board.toml"


def test_the_boards_that_the_project_promises_are_there() -> None:
    emulated = {"mps2-an500", "mps2-an386", "mps2-an385", "mps2-an505", "mps3-an547", "microbit", "netduinoplus2"}
    real = {"nucleo-h743zi", "stm32f746g-disco", "nucleo-f446re", "arduino-nano33ble", "pico2"}
    assert emulated == {board.name for board in boards.emulated()}
    assert emulated | real == set(boards.names())


@pytest.mark.parametrize("board", boards.all_boards(), ids=lambda board: board.name)
def test_every_board_keeps_name_and_folder_equal(board: Board) -> None:
    assert boards.load(board.name) == board


@pytest.mark.parametrize("board", boards.emulated(), ids=lambda board: board.name)
def test_ticks_and_instructions_convert_exactly(board: Board) -> None:
    timer, emulator = board.timer, board.emulator
    assert timer is not None
    assert emulator is not None
    nanoseconds_a_tick = Fraction(1_000_000_000 * timer.divider, timer.clock_hz)
    instruction = Fraction(1 << emulator.icount_shift)
    assert Fraction(timer.numerator, 1 << timer.shift) == nanoseconds_a_tick / instruction
    assert instruction / nanoseconds_a_tick >= 2


def test_the_microbit_has_the_memories_of_an_nrf51822() -> None:
    board = boards.load("microbit")
    assert (board.core, board.flash_bytes, board.ram_bytes) == ("cortex-m0", 256 * 1024, 16 * 1024)


def test_an_unknown_board_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Mbv2genError, match=r"no board 'arduino'; choose one of arduino-nano33ble, microbit, "):
        boards.load("arduino")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-m7"', "", "'core' is missing"),
        ('core = "cortex-m7"', "core = 7", "'core' must be a str"),
        ('data = "ram"', 'data = "sdram"', "names 'sdram'"),
        ('kind = "cmsdk"', 'kind = "drums"', "no console 'drums'"),
        ("[console]", '[soc]\nname = "z80"\n[console]', "no soc 'z80'"),
        ("length = 0x1000000 }", "length = 0x1000000, volatile = 1 }", "'volatile' must be true or false"),
        ("divider = 10", "divider = 100", "too few"),
        ("divider = 10", "divider = 7", "multiple"),
        ('kind = "mps2_fpgaio"', 'kind = "sundial"', "no timer 'sundial'"),
        ("[place]", "[place", "not a TOML file"),
        ('weights = ["flash", "psram"]', "weights = []", "no memory for the weights"),
    ],
)
def test_a_wrong_description_is_told_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "board.toml"
    text = AN500.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(Mbv2genError) as caught:
        board_file.read(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_board_without_a_timer_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    before, _, behind = AN500.read_text(encoding="utf-8").partition("[timer]")
    file.write_text(before + "[console]" + behind.partition("[console]")[2], encoding="utf-8")
    assert board_file.read(file).timer is None


def test_place_moves_what_it_names() -> None:
    board = boards.load("nucleo-h743zi")
    moved = placed(board, "arena=dtcm,weights=axi, code=itcm,data=dtcm").place
    assert (moved.arena, moved.weights, moved.code, moved.data) == ("dtcm", ("axi",), "itcm", "dtcm")
    assert moved.boot == "flash"
    assert placed(board, "code=itcm").place.arena == board.place.arena == "axi"


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ("arena=ccm", "names 'ccm'"),
        ("stack=dtcm", "is not arena, weights, code or data"),
        ("arena", "names ''"),
        ("", "is not"),
    ],
)
def test_a_place_that_cannot_be_is_told_in_one_line(wishes: str, message: str) -> None:
    with pytest.raises(Mbv2genError, match=rf"^--place [^\n]*{message}[^\n]*$"):
        placed(boards.load("nucleo-h743zi"), wishes)


def test_a_board_that_qemu_has_not_is_no_place_to_run() -> None:
    with pytest.raises(Mbv2genError, match="QEMU has no such machine; 'mbv2gen firmware' builds an image"):
        boards.load("pico2").require_emulator()
