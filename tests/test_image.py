# SPDX-License-Identifier: Apache-2.0
"""Images for boards of their own: they link and fit, stand where they are placed, and tell by the serial line what
they find."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import assert_refused, command
from small_models import write_network
from test_verification import network
from toy_network import TOY, needs_arm_compiler, needs_qemu, toy_inputs, toy_layers

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards, firmware, image, toolchain
from mbv2gen.hardware.board import Board, placed
from mbv2gen.hardware.firmware import Sample
from mbv2gen.output_folder import OutputFolder

Capture = pytest.CaptureFixture[str]
STRICT = ("-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
ALL_BOARDS = pytest.mark.parametrize("board", boards.all_boards(), ids=lambda board: board.name)
SAMPLE_RUNS = ("MBV2 the output equals NumPy's", "MBV2 the output is not NumPy's", "FAULT")


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


def sample(wrong_by: int = 0) -> Sample:
    inputs = toy_inputs(1)
    outputs = toy_layers(inputs)[1].reshape(-1).tolist()
    return Sample(tuple(inputs.reshape(-1).tolist()), (outputs[0] ^ wrong_by, *outputs[1:]))


def heard(elf: Path, board: Board, work: Path) -> list[str]:
    """The lines that a board sends until it says how it went."""
    emulator = board.require_emulator()
    lines = [word for _ in range(emulator.serial) for word in ("-serial", "null")]
    command = [
        str(toolchain.require_qemu()), "-machine", emulator.machine, "-icount", f"shift={emulator.icount_shift}",
        "-display", "none", "-monitor", "none", *lines, "-serial", f"file:{work / 'heard'}", "-kernel", str(elf),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            text = (work / "heard").read_text(encoding="ascii") if (work / "heard").exists() else ""
            if any(end in text for end in SAMPLE_RUNS) and text.endswith("\n"):
                return text.splitlines()
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    raise AssertionError(f"{board.name} has said nothing but {text!r}")


@needs_arm_compiler
@ALL_BOARDS
def test_the_image_links_without_a_warning_and_fits(
    build_dir: Path, monkeypatch: pytest.MonkeyPatch, board: Board
) -> None:
    monkeypatch.setattr(firmware, "_BOARD_FLAGS", firmware._BOARD_FLAGS + STRICT)
    elf = firmware.build_image(TOY, "toy", board, build_dir, sample())
    used = {use.memory: use for use in image.memory_use(elf, board)}
    assert 0 < used[board.place.boot].used_bytes < used[board.place.boot].length
    data = used[board.place.data].used_bytes
    assert board.stack_bytes + 133 < data < board.stack_bytes + board.stack_guard_bytes + 133 + 1024
    first = min(image.sections(elf), key=lambda section: section.load_address)
    assert (first.name, first.load_address) == (".text", board.memory(board.place.boot).origin)


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("board", boards.emulated(), ids=lambda board: board.name)
def test_the_board_says_that_its_output_is_numpys(build_dir: Path, tmp_path: Path, board: Board) -> None:
    lines = heard(firmware.build_image(TOY, "toy", board, build_dir, sample()), board, tmp_path)
    assert lines[0] == f"MBV2 toy on {board.name}"
    assert lines[-1] == "MBV2 the output equals NumPy's"
    words = next(line for line in lines if line.startswith("run 0 ")).split()
    result = dict(zip(words[2::2], words[3::2], strict=True))
    assert (result["status"], result["guard"], result["full"], result["touched"]) == ("0", "0", "0", "128")
    assert int(result["stack"]) < board.stack_bytes
    assert int(result["instructions"]) > 500


@needs_arm_compiler
@needs_qemu
def test_the_board_says_that_its_output_is_another(build_dir: Path, tmp_path: Path) -> None:
    board = boards.load("netduinoplus2")
    elf = firmware.build_image(TOY, "toy", board, build_dir, sample(wrong_by=1))
    assert heard(elf, board, tmp_path)[-1] == "MBV2 the output is not NumPy's"


def address(elf: Path, name: str) -> int:
    nm = toolchain.require_arm_compiler().with_name("arm-none-eabi-nm")
    lines = subprocess.run([nm, str(elf)], capture_output=True, text=True, check=True).stdout.splitlines()
    return next(int(line.split()[0], 16) for line in lines if line.split()[-1] == name)


@needs_arm_compiler
def test_place_puts_code_weights_and_arena_where_it_says_and_their_image_into_flash(build_dir: Path) -> None:
    board = placed(boards.load("nucleo-h743zi"), "arena=dtcm,weights=axi,code=itcm")
    elf = firmware.build_image(TOY, "toy", board, build_dir, sample())

    def lies_in(name: str, memory: str) -> bool:
        where = board.memory(memory)
        return where.origin <= address(elf, name) < where.origin + where.length

    assert lies_in("toy_run", "itcm")
    assert lies_in("toy_weights_0", "axi")
    assert lies_in("memory", "dtcm")
    assert lies_in("reset_handler", "flash")
    assert lies_in("main", "flash")
    loaded = {section.name: section for section in image.sections(elf)}
    for name in (".code", ".weights"):
        assert loaded[name].is_loaded
        assert loaded[name].load_address >> 24 == 0x08
        assert loaded[name].address >> 24 != 0x08
    plain = firmware.build_image(TOY, "toy", boards.load("nucleo-h743zi"), build_dir, sample())
    flash = [use.used_bytes for elf in (elf, plain) for use in image.memory_use(elf, board) if use.memory == "flash"]
    assert abs(flash[0] - flash[1]) < 64  # what is copied stands in flash as well


@needs_arm_compiler
@needs_qemu
def test_copied_code_and_weights_run_where_they_are_copied_to(build_dir: Path, tmp_path: Path) -> None:
    """The STM32F405 has one RAM: all of it runs from there."""
    board = placed(boards.load("netduinoplus2"), "code=ram,weights=ram")
    elf = firmware.build_image(TOY, "toy", board, build_dir, sample())
    assert address(elf, "toy_run") >> 24 == address(elf, "toy_weights_0") >> 24 == 0x20
    assert heard(elf, board, tmp_path)[-1] == "MBV2 the output equals NumPy's"


@needs_arm_compiler
def test_the_rp2350_finds_its_block_in_the_first_four_kilobytes(build_dir: Path, tmp_path: Path) -> None:
    elf = firmware.build_image(TOY, "toy", boards.load("pico2"), build_dir, sample())
    objcopy = toolchain.require_arm_compiler().with_name("arm-none-eabi-objcopy")
    subprocess.run([objcopy, "-O", "binary", str(elf), str(tmp_path / "bin")], check=True)
    start = (tmp_path / "bin").read_bytes()[:4096]
    assert start.count(bytes.fromhex("d3deffff42012110ff01000000000000793512ab")) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("image") / "out", "cortex-m7")


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("feed", ["frame", "rows"])
def test_the_command_writes_an_image_that_runs(tmp_path: Path, capsys: Capture, feed: str) -> None:
    out = write_network(network(), tmp_path / "out", "cortex-m4", feed=feed)
    ended = command(capsys, "firmware", out.path, "--board", "netduinoplus2")
    assert ended.code == 0, ended.err
    written = tmp_path / "out-netduinoplus2"
    assert sorted(file.suffix for file in written.iterdir()) == [".bin", ".elf", ".hex"]
    assert "flash" in ended.out
    lines = heard(written / "net-netduinoplus2.elf", boards.load("netduinoplus2"), tmp_path)
    assert lines[-1] == "MBV2 the output equals NumPy's"
    assert (written / "net-netduinoplus2.hex").read_text().startswith(":02000004")


@needs_arm_compiler
def test_what_does_not_fit_a_place_is_told(folder: OutputFolder, tmp_path: Path, capsys: Capture) -> None:
    words = ("firmware", folder.path, "-o", tmp_path / "to", "--board")
    assert_refused(command(capsys, *words, "nucleo-h743zi", "--place", "arena=ccm"), "names 'ccm'", "itcm")
    tight = replace(boards.load("nucleo-h743zi"), stack_bytes=1 << 20)
    with pytest.raises(Mbv2genError, match=r"bytes too many for the board's axi"):
        image.build(folder, tight)
    assert not (tmp_path / "to").exists()
