"""Boards: descriptions are complete, their timers count, and a wrong one is told in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards
from mbv2gen.resources import firmware_dir

AN500 = firmware_dir() / "boards" / "mps2-an500" / "board.toml"


def test_the_boards_that_the_project_promises_are_there() -> None:
    assert {"mps2-an500", "mps2-an386", "mps2-an385", "mps2-an505", "microbit"} <= set(boards.names())


@pytest.mark.parametrize("board", boards.all_boards(), ids=lambda board: board.name)
def test_every_board_keeps_name_and_folder_equal(board: boards.Board) -> None:
    assert boards.load(board.name) == board


@pytest.mark.parametrize("board", boards.all_boards(), ids=lambda board: board.name)
def test_ticks_and_instructions_convert_exactly(board: boards.Board) -> None:
    timer = board.timer
    assert timer is not None
    nanoseconds_a_tick = Fraction(1_000_000_000 * timer.divider, board.clock_hz)
    instruction = Fraction(1 << board.emulator.icount_shift)
    assert Fraction(timer.numerator, 1 << timer.shift) == nanoseconds_a_tick / instruction
    assert instruction / nanoseconds_a_tick >= 2


def test_the_microbit_has_the_memories_of_an_nrf51822() -> None:
    board = boards.load("microbit")
    assert (board.core, board.flash_bytes, board.ram_bytes) == ("cortex-m0", 256 * 1024, 16 * 1024)


def test_an_unknown_board_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Mbv2genError, match=r"no board 'arduino'; choose one of microbit, mps2-an385"):
        boards.load("arduino")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-m7"', "", "'core' is missing"),
        ('core = "cortex-m7"', "core = 7", "'core' must be a str"),
        ('data = "ram"', 'data = "sdram"', "names 'sdram'"),
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
        boards.read(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_board_without_a_timer_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(AN500.read_text(encoding="utf-8").partition("[timer]")[0], encoding="utf-8")
    assert boards.read(file).timer is None
