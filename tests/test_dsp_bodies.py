# SPDX-License-Identifier: Apache-2.0
"""The dsp bodies: assembly that gcc and clang take, equal to its C twins on the emulated cores, byte for byte."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from dsp_programs import HEADERS, KERNELS, STRICT, board_program, host_program, run_on_board, twin_objects
from processes import run, successful

from mbv2gen.dsp import shifts as dsp_shifts
from mbv2gen.dsp.assembly import CORES
from mbv2gen.dsp.bodies import BODIES, FOUR_BITS, render
from mbv2gen.hardware import boards, toolchain
from mbv2gen.hardware.board import Board

BOARDS = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500", "cortex-m33": "mps2-an505", "cortex-m55": "mps3-an547"}
EACH_CORE = pytest.mark.parametrize("core", CORES)

needs_arm_compiler = pytest.mark.skipif(toolchain.find_arm_compiler() is None, reason=toolchain.ARM_HELP)
needs_qemu = pytest.mark.skipif(toolchain.find_qemu() is None, reason=toolchain.QEMU_HELP)
needs_host_compiler = pytest.mark.skipif(toolchain.find_host_compiler() is None, reason=toolchain.HOST_HELP)


@pytest.fixture(scope="module", params=CORES)
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    """(board, program) for each core."""
    board = boards.load(BOARDS[request.param])
    return board, board_program(board, tmp_path_factory.mktemp(board.name))


def counts(report: str) -> dict[tuple[str, int, int, int], int]:
    """{(body, inputs, outputs, pixels): instructions} of the harness's count."""
    rows = [line.split() for line in report.splitlines()]
    return {(name, int(a), int(b), int(c)): int(count) for name, a, b, c, count in rows}


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("seed", ["1", "20261"])
def test_bodies_and_twins_write_the_same_bytes_and_nothing_else(harness: tuple[Board, Path], seed: str) -> None:
    result = run_on_board(*harness, "compare", "60", seed)
    assert (result.returncode, result.stderr) == (0, "bodies and twins agree\n")


@needs_arm_compiler
@needs_qemu
def test_interrupts_at_random_moments_change_nothing(harness: tuple[Board, Path]) -> None:
    """At least five hundred of them, each overwriting the caller-saved registers, the flags and 256 bytes of stack."""
    result = run_on_board(*harness, "interrupt", "8", "5")
    assert (result.returncode, result.stderr) == (0, "bodies and twins agree\n")


@needs_arm_compiler
@needs_qemu
def test_instruction_counts_do_not_depend_on_data_and_reach_what_the_design_says(
    harness: tuple[Board, Path],
) -> None:
    result = run_on_board(*harness, "count")
    assert result.returncode == 0
    assert "VARIES" not in result.stderr
    measured = counts(result.stderr)

    def per_mac(body: str, inputs: int, outputs: int, pixels: int) -> float:
        return measured[body, inputs, outputs, pixels] / (inputs * outputs * pixels)

    assert per_mac("pw_relu4", 16, 96, 4) < 1.12
    assert per_mac("pw_relu4", 24, 144, 4) < 1.01
    assert per_mac("pw_relu4_x", 8, 48, 4) < 1.40
    assert per_mac("pw_lin4", 48, 8, 4) < 0.97
    assert per_mac("pw_lin4", 144, 24, 4) < 0.85
    assert per_mac("pw_part4", 144, 96, 4) < 0.82
    assert per_mac("pw_gap4", 112, 1280, 4) < 0.84
    for body, *shape in (
        ("pw_relu4", 16, 96, 4),
        ("pw_relu4", 56, 336, 4),
        ("pw_lin4", 96, 16, 4),
        ("pw_lin4", 336, 112, 4),
        ("pw_gap4", 112, 1280, 4),
    ):
        assert per_mac(f"{body}_n", *shape) < 1.16 * per_mac(body, *shape)
    assert per_mac("pw_gap3_n", 112, 1280, 3) < per_mac("pw_gap3", 112, 1280, 3)
    assert per_mac("pw_gap1_n", 112, 1280, 1) < 1.12 * per_mac("pw_gap1", 112, 1280, 1)
    assert per_mac("fc8_n", 1280, 512, 1) < 1.24
    assert per_mac("fc8_fold", 1280, 512, 1) < 0.98
    assert per_mac("dw_rows1", 16, 1, 48) / 9 < 1.71
    assert per_mac("dw_rows1_rest2", 96, 1, 18) / 9 < 1.81
    assert per_mac("dw_rows2_rest2", 96, 1, 6) / 9 < 2.30
    assert per_mac("dw_columns1", 48, 1, 4) / 9 < 2.20
    assert per_mac("dw_columns2", 48, 1, 4) / 9 < 2.36
    assert per_mac("dw_plane3", 336, 1, 9) / 9 < 1.28
    assert per_mac("requant_s8", 1, 1000, 1) < 12.1
    assert per_mac("add_mla", 4608, 1, 1) < 6.6


@needs_host_compiler
def test_twins_have_no_undefined_behaviour_on_random_streams(tmp_path: Path) -> None:
    assert successful(host_program(tmp_path), "compare", "40", "7") == "bodies and twins agree\n"


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("asr #11", "asr #12"),
        ("asr #9", "asr #10"),
        ("asr #22", "asr #21"),
        ("ssat r2, #8", "ssat r2, #7"),
        ("str r6, [r10, r11]", "str r6, [r10, #4]"),
    ],
)
def test_the_comparison_notices_a_changed_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    """Wrong shifts, a wrong clamp, a store in a wrong place."""
    board = boards.load("mps2-an500")
    text = render(board.core, BODIES)
    assert right in text
    monkeypatch.setattr("dsp_programs.render", lambda core, bodies: text.replace(right, wrong))
    result = run_on_board(board, board_program(board, tmp_path), "compare", "20", "3")
    assert result.returncode == 1
    assert "FAIL" in result.stderr


@needs_arm_compiler
@needs_qemu
def test_the_interrupts_notice_values_kept_below_the_stack_pointer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = boards.load("mps2-an500")
    text = re.sub(r"(strd|ldrd) r1, r12, \[sp\]", r"\1 r1, r12, [sp, #-8]", render(board.core, BODIES))
    monkeypatch.setattr("dsp_programs.render", lambda core, bodies: text)
    program = board_program(board, tmp_path)
    assert run_on_board(board, program, "compare", "20", "3").returncode == 0
    assert run_on_board(board, program, "interrupt", "8", "3").returncode != 0


@needs_arm_compiler
@EACH_CORE
@pytest.mark.parametrize("compiler", ["arm-none-eabi-gcc", "clang"])
def test_every_assembler_takes_the_bodies(core: str, compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "bodies.S").write_text(render(core, BODIES))
    target = ["--target=arm-none-eabi"] if compiler == "clang" else []
    options = ["-Wall", "-Wextra", "-Werror", f"-mcpu={core}", "-mthumb", f"-I{KERNELS}"]
    successful(compiler, *target, *options, "-c", "bodies.S", "-o", "bodies.o", where=tmp_path)


@needs_arm_compiler
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m3", "cortex-m33+nodsp"])
def test_a_core_without_the_extension_is_refused(core: str, tmp_path: Path) -> None:
    (tmp_path / "bodies.S").write_text(render("cortex-m4", BODIES[:1]))
    result = run(toolchain.require_arm_compiler(), f"-mcpu={core}", "-mthumb", "-c", "bodies.S", where=tmp_path)
    assert result.returncode != 0
    assert "needs a core with the DSP extension" in result.stderr


@needs_host_compiler
def test_the_assembly_is_empty_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "bodies.S").write_text(render("cortex-m7", BODIES))
    successful(toolchain.require_host_compiler(), "-c", "bodies.S", where=tmp_path)


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("gcc", ["-std=c11"]),
        ("clang", ["-std=c11"]),
        ("g++", ["-std=c++20", "-x", "c++"]),
        ("clang++", ["-std=c++20", "-x", "c++"]),
        ("arm-none-eabi-gcc", ["-std=c11", "-mcpu=cortex-m7", "-mthumb"]),
        ("arm-none-eabi-gcc", ["-std=c11", "-mcpu=cortex-m0", "-mthumb"]),
    ],
    ids=["gcc", "clang", "g++", "clang++", "cortex-m7", "cortex-m0"],
)
def test_twins_compile_without_a_warning(compiler: str, options: list[str], tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    twin_objects(compiler, *options, *STRICT, "-O2", where=tmp_path)


@EACH_CORE
def test_every_body_shifts_by_what_parameters_are_solved_for(core: str) -> None:
    """The immediates of its saturations; bodies that shift by a register have none."""
    kinds = {
        r"pw_(relu|stem|gap)\d(_n)?": dsp_shifts.PACKED_SHIFT,
        r"pw_relu\d_x": dsp_shifts.UNPACKED_SHIFT,
        r"dw_\w+": dsp_shifts.DEPTHWISE_SHIFT,
        r"add_mla": dsp_shifts.ADD_SHIFT,
    }
    found = 0
    for name in BODIES:
        shift = next((s for kind, s in kinds.items() if re.fullmatch(f"mbv2_{kind}_dsp", name)), None)
        immediates = {int(n) for n in re.findall(r"[us]sat \w+, #8, \w+, asr #(\d+)", render(core, [name]))}
        by_register = name == "mbv2_requant_s8_dsp" or name.startswith("mbv2_pw_lin")  # but for the last bit
        assert immediates == ({1} if by_register else {shift} - {None}), name
        found += shift is not None
    assert found == 12 + 8 + 4 + 13 + 1


def test_the_header_names_the_same_shifts() -> None:
    header = HEADERS[0].read_text()
    named = {name: int(value) for name, value in re.findall(r"MBV2_DSP_(\w+_SHIFT) = (\d+)", header)}
    assert named == {name: getattr(dsp_shifts, name) for name in dir(dsp_shifts) if name.endswith("_SHIFT")}


def test_only_the_bodies_asked_for_are_rendered() -> None:
    chosen = ("mbv2_pw_lin4_dsp", "mbv2_dw_rows1_dsp")
    assert re.findall(r"begin_body (mbv2_\w+)", render("cortex-m7", chosen)) == list(chosen)


@EACH_CORE
def test_all_schedules_hold_the_same_instructions(core: str) -> None:
    def instructions(text: str) -> list[str]:
        return sorted(re.sub(r"r10|r11", "r", line) for line in text.splitlines() if line.startswith("  "))

    assert instructions(render(core, BODIES)) == instructions(render("cortex-m4", BODIES).replace("cortex-m4", core))


def test_every_body_is_declared_and_has_a_twin_of_its_name() -> None:
    common, four_bits = (set(re.findall(r"mbv2_\w+_dsp\b", header.read_text())) for header in HEADERS)
    assert common == set(BODIES) - FOUR_BITS
    assert four_bits >= FOUR_BITS


@needs_host_compiler
def test_twins_define_every_body(tmp_path: Path) -> None:
    objects = twin_objects(toolchain.require_host_compiler(), where=tmp_path)
    for name, bodies in zip(objects, (set(BODIES) - FOUR_BITS, FOUR_BITS), strict=True):
        defined = successful("nm", "--defined-only", "-g", tmp_path / name)
        assert {line.split()[-1] for line in defined.splitlines()} == bodies


@EACH_CORE
def test_a_body_keeps_what_the_procedure_call_standard_says(core: str) -> None:
    """It saves r4-r11 before it writes them, restores as many registers and as much stack, and calls nothing."""
    for name in BODIES:
        text = render(core, [name])
        pushed, popped = re.findall(r"push \{(.*), lr\}", text), re.findall(r"pop \{(.*), pc\}", text)
        assert pushed == popped
        assert len(pushed) == 1
        assert re.findall(r"sub sp, #(\d+)", text) == re.findall(r"add sp, #(\d+)", text)
        assert not re.search(r"^\s+(bl|blx|bx|svc)\b", text, re.MULTILINE)


def test_a_name_or_core_outside_the_family_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such body"):
        render("cortex-m7", ["mbv2_nothing_dsp"])
    with pytest.raises(ValueError, match="no schedule"):
        render("cortex-m3", BODIES)
