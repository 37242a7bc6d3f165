# SPDX-License-Identifier: Apache-2.0
"""Firmware: programs get built, once, for host and boards; what does not fit or is missing is told in one line."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from toy_network import TOY, changed_toy, needs_arm_compiler, needs_host_compiler

from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.image_sizes import function_at, image_sizes

STRICT = ("-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
ALL_BOARDS = pytest.mark.parametrize("board", boards.emulated(), ids=lambda board: board.name)


def symbols(elf: Path) -> dict[str, tuple[int, int]]:
    """{name: (address, bytes)} as binutils' nm sees the program."""
    nm = toolchain.require_arm_compiler().with_name("arm-none-eabi-nm")
    lines = subprocess.run([nm, "-S", str(elf)], capture_output=True, text=True, check=True).stdout.splitlines()
    words = [line.split() for line in lines]
    return {w[3]: (int(w[0], 16), int(w[1], 16)) for w in words if len(w) == 4}


@needs_host_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("taps", [False, True], ids=["plain", "taps"])
def test_host_sources_compile_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, taps: bool
) -> None:
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.setattr(firmware, "_HOST_FLAGS", firmware._HOST_FLAGS + STRICT)
    assert firmware.build_host(TOY, "toy", tmp_path, sanitize=False, taps=taps, compiler=Path(found)).is_file()


@needs_arm_compiler
@ALL_BOARDS
@pytest.mark.parametrize("build", [{}, {"taps": True}, {"profile": True}], ids=["plain", "taps", "profile"])
def test_board_sources_compile_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: Board, build: dict[str, bool]
) -> None:
    monkeypatch.setattr(firmware, "_BOARD_FLAGS", firmware._BOARD_FLAGS + STRICT)
    assert firmware.build_board(TOY, "toy", board, tmp_path, **build).is_file()


@needs_arm_compiler
@pytest.mark.parametrize("build", [{}, {"taps": True}, {"profile": True}], ids=["plain", "taps", "profile"])
def test_a_board_without_a_timer_compiles_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: dict[str, bool]
) -> None:
    monkeypatch.setattr(firmware, "_BOARD_FLAGS", firmware._BOARD_FLAGS + STRICT)
    board = replace(boards.load("microbit"), timer=None)
    assert firmware.build_board(TOY, "toy", board, tmp_path, **build).is_file()


@needs_host_compiler
def test_building_again_gives_the_same_file_untouched(tmp_path: Path) -> None:
    first = firmware.build_host(TOY, "toy", tmp_path, sanitize=False, taps=False)
    made = first.stat().st_mtime_ns
    copy = tmp_path / "elsewhere"
    shutil.copytree(TOY, copy)
    assert firmware.build_host(copy, "toy", tmp_path, sanitize=False, taps=False) == first
    assert first.stat().st_mtime_ns == made


@needs_host_compiler
def test_a_changed_header_gives_another_program(tmp_path: Path) -> None:
    first = firmware.build_host(TOY, "toy", tmp_path, sanitize=False, taps=False)
    changed = changed_toy(tmp_path / "changed", "toy.h", "ARENA_BYTES 133", "ARENA_BYTES 134")
    assert firmware.build_host(changed, "toy", tmp_path, sanitize=False, taps=False) != first


@needs_host_compiler
def test_a_source_that_does_not_compile_is_told_with_file_and_line(tmp_path: Path) -> None:
    broken = changed_toy(tmp_path / "broken", "toy.c", "int32_t sums[4];", "int32_t sums[4]")
    with pytest.raises(CheckFailed, match=r"^toy\.c: \w+ refuses it: toy\.c:\d+:\d+: error: [^\n]*$"):
        firmware.build_host(broken, "toy", tmp_path / "build", sanitize=False, taps=False)
    assert not list((tmp_path / "build").iterdir())


@needs_host_compiler
def test_a_missing_function_is_told_by_name(tmp_path: Path) -> None:
    broken = changed_toy(tmp_path / "broken", "mbv2_toy.c", "void mbv2_add_saturating", "void mbv2_renamed")
    with pytest.raises(CheckFailed, match=r"cannot be linked: [^\n]*mbv2_add_saturating"):
        firmware.build_host(broken, "toy", tmp_path / "build", sanitize=False, taps=False)


@needs_host_compiler
def test_what_somebody_put_beside_the_network_is_not_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(TOY, folder)
    built = firmware.build_host(folder, "toy", tmp_path / "build", sanitize=False, taps=False)
    (folder / "main.c").write_text("this is no C\n", encoding="utf-8")
    (folder / "stdint.h").write_text("nor is this\n", encoding="utf-8")
    assert firmware.build_host(folder, "toy", tmp_path / "build", sanitize=False, taps=False) == built


def test_a_folder_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Mbv2genError, match=r"has no toy\.h; give a folder that 'mbv2gen compile' wrote"):
        firmware.build_host(tmp_path, "toy", tmp_path / "build", sanitize=False, taps=False, compiler=Path("cc"))


@needs_arm_compiler
def test_an_arena_above_the_boards_ram_is_told_with_the_bytes(tmp_path: Path) -> None:
    large = changed_toy(tmp_path / "large", "toy.h", "ARENA_BYTES 133", "ARENA_BYTES 16000")
    with pytest.raises(Mbv2genError, match=r"^toy on microbit: [\d,]+ bytes too many for the board's ram; [^\n]*$"):
        firmware.build_board(large, "toy", boards.load("microbit"), tmp_path / "build")


@needs_arm_compiler
def test_weights_above_the_flash_go_into_the_next_memory(tmp_path: Path) -> None:
    large = changed_toy(tmp_path / "large", "toy_weights.c", "toy_weights_0[64] = {", "toy_weights_0[5000000] = {")
    header = (large / "toy_weights.h").read_text(encoding="utf-8")
    (large / "toy_weights.h").write_text(header.replace("weights_0[64]", "weights_0[5000000]"), encoding="utf-8")
    board = boards.load("mps2-an500")
    elf = firmware.build_board(large, "toy", board, tmp_path / "build")
    address, size = symbols(elf)["toy_weights_0"]
    psram = board.memory("psram")
    assert psram.origin <= address <= address + size <= psram.origin + psram.length
    assert symbols(elf)["toy_run"][0] < board.memory("flash").length
    with pytest.raises(Mbv2genError, match=r"bytes too many for the board's flash"):
        firmware.build_board(large, "toy", boards.load("mps2-an505"), tmp_path / "build")


@needs_arm_compiler
@ALL_BOARDS
def test_sizes_are_those_that_nm_sees(tmp_path: Path, board: Board) -> None:
    elf = firmware.build_board(TOY, "toy", board, tmp_path)
    sizes = image_sizes(elf, "toy")
    seen = symbols(elf)
    functions = ("toy_init", "toy_input", "toy_run", "toy_output", "mbv2_add_saturating", "mbv2_misbehave")
    listed = {s.section.removeprefix(".text."): s.size_bytes for s in sizes.sections if s.kind == "text"}
    in_words = {name: (seen[name][1] + 3) // 4 * 4 for name in functions}  # a function's section ends on a word
    assert {name: listed[name] for name in functions} == in_words
    assert sizes.weights_bytes == seen["toy_weights_0"][1] == 64
    assert sizes.parameters_bytes >= seen["toy_bias_1"][1] == 16
    assert sizes.code_bytes == sum(listed.values())
    assert sizes.static_bytes == 0
    assert function_at(elf, seen["toy_run"][0] + 2) == "toy_run"


@needs_arm_compiler
def test_a_variable_of_the_network_counts_as_static(tmp_path: Path) -> None:
    variable = changed_toy(
        tmp_path / "variable", "mbv2_toy.c", "volatile uint32_t number = argument;",
        "static volatile uint32_t number; number = argument;",
    )  # fmt: skip
    elf = firmware.build_board(variable, "toy", boards.load("mps2-an500"), tmp_path / "build")
    assert image_sizes(elf, "toy").static_bytes == 4


@needs_arm_compiler
def test_on_the_microbit_all_but_arena_and_stack_takes_under_a_kilobyte(tmp_path: Path) -> None:
    arena = 16 * 1024 - boards.load("microbit").stack_bytes - 1024
    full = changed_toy(tmp_path / "full", "toy.h", "ARENA_BYTES 133", f"ARENA_BYTES {arena}")
    assert firmware.build_board(full, "toy", boards.load("microbit"), tmp_path / "build").is_file()


def test_a_missing_tool_is_answered_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert toolchain.find_host_compiler() is None
    with pytest.raises(Mbv2genError, match="apt-get install gcc"):
        firmware.build_host(TOY, "toy", tmp_path, sanitize=False, taps=False)
    with pytest.raises(Mbv2genError, match="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        firmware.build_board(TOY, "toy", boards.load("microbit"), tmp_path)
    with pytest.raises(Mbv2genError, match="apt-get install qemu-system-arm"):
        toolchain.require_qemu()


def test_a_wrong_cc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Mbv2genError, match="CC=no-such-compiler: no such program"):
        toolchain.find_host_compiler()
