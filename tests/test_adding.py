"""What docs/adding-a-board.md and docs/adding-a-kernel.md tell people to do does what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import documents
import pytest
from documents import ROOT
from test_image import heard, sample
from toy_network import TOY, needs_arm_compiler, needs_qemu

from mbv2gen.hardware import boards, firmware, image
from mbv2gen.hardware.board import Board, Memory, placed

BOARD_GUIDE = ROOT / "docs" / "adding-a-board.md"


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The board that the document's blocks make, in a copy of firmware/."""
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware")
    written = "\n".join(code.text for code in documents.fenced(BOARD_GUIDE, "toml"))
    to = tmp_path / "firmware" / "boards" / "my-f405" / "board.toml"
    to.parent.mkdir()
    to.write_text(written, encoding="utf-8")
    monkeypatch.setattr(boards, "firmware_dir", lambda: tmp_path / "firmware")
    return boards.load("my-f405")


def test_the_board_of_the_document_is_listed_beside_the_others(followed: Board) -> None:
    assert followed in boards.all_boards()
    assert followed in boards.emulated()
    assert (followed.flash_bytes, followed.ram_bytes) == (1 << 20, 128 << 10)  # RM0090, STM32F405xG


def test_the_clock_of_the_document_is_what_its_numbers_make(followed: Board) -> None:
    settings = dict(followed.settings)
    assert 8_000_000 // settings["pll_m"] * settings["pll_n"] // 2 == followed.clock_hz
    assert followed.console is not None
    assert followed.console.clock_hz == followed.clock_hz // 4


@needs_arm_compiler
@needs_qemu
def test_the_image_for_the_board_of_the_document_runs(followed: Board, tmp_path: Path) -> None:
    elf = firmware.build_image(TOY, "toy", followed, tmp_path / "build", sample())
    assert {use.memory for use in image.memory_use(elf, followed)} == {"flash", "ram"}
    lines = heard(elf, followed, tmp_path)
    assert lines[0] == "MBV2 toy on my-f405"
    assert lines[-1] == "MBV2 the output equals NumPy's"


@needs_arm_compiler
def test_the_core_coupled_memory_that_the_document_offers_takes_the_arena(followed: Board, tmp_path: Path) -> None:
    offered = "ccm = { origin = 0x10000000, length = 0x10000, volatile = true }"
    assert offered in documents.text(BOARD_GUIDE)
    file = tmp_path / "firmware" / "boards" / "my-f405" / "board.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("[place]", f"{offered}\n[place]"), encoding="utf-8")
    board = placed(boards.load("my-f405"), "arena=ccm")
    assert Memory("ccm", 0x10000000, 64 << 10, volatile=True) in board.memories
    used = image.memory_use(firmware.build_image(TOY, "toy", board, tmp_path / "build", sample()), board)
    assert next(use for use in used if use.memory == "ccm").used_bytes > 0
