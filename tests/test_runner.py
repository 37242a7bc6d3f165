# SPDX-License-Identifier: Apache-2.0
"""Runner: outputs, taps, stack and instruction counts are right; every way to go wrong ends in one clear line."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_network import (
    BEHAVES,
    DIVIDES_BY_ZERO,
    FAILS,
    HANGS,
    LEAVES_NOISE,
    LOOPS,
    OVERFLOWS_INT,
    OVERFLOWS_STACK,
    READS_BEHIND_ARENA,
    READS_NOWHERE,
    READS_UNALIGNED,
    TOY,
    USES_STACK,
    WRITES_BEFORE_ARENA,
    WRITES_BEHIND_ARENA,
    changed_toy,
    needs_arm_compiler,
    needs_host_compiler,
    needs_qemu,
    toy_inputs,
    toy_layers,
)

from mbv2gen import taps
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, runner, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.runner import Taps

ALL_BOARDS = pytest.mark.parametrize("board", boards.emulated(), ids=lambda board: board.name)


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


def host(build_dir: Path, *, sanitize: bool = True, with_taps: bool = False) -> Path:
    return firmware.build_host(TOY, "toy", build_dir, sanitize=sanitize, taps=with_taps)


def instructions(build_dir: Path, board: Board, kind: int, argument: int) -> int:
    program = firmware.build_board(TOY, "toy", board, build_dir)
    result = runner.run(program, toy_inputs(1, kind, argument), board=board)
    assert result.instructions is not None
    return result.instructions[0]


def stack_bytes(build_dir: Path, board: Board, words: int) -> int:
    program = firmware.build_board(TOY, "toy", board, build_dir)
    measured = runner.run(program, toy_inputs(1, USES_STACK, words), board=board).stack_bytes
    assert measured is not None
    return measured


@needs_host_compiler
@pytest.mark.parametrize("sanitize", [False, True], ids=["plain", "sanitized"])
def test_host_outputs_are_numpys(build_dir: Path, sanitize: bool) -> None:
    inputs = toy_inputs(20)
    result = runner.run(host(build_dir, sanitize=sanitize), inputs)
    np.testing.assert_array_equal(result.outputs, toy_layers(inputs)[1])
    assert result.arena_bytes == 133
    assert (result.instructions, result.stack_bytes, result.layer_instructions, result.taps) == (None,) * 4


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_board_outputs_are_numpys(build_dir: Path, board: Board) -> None:
    inputs = toy_inputs(20)
    result = runner.run(firmware.build_board(TOY, "toy", board, build_dir), inputs, board=board)
    np.testing.assert_array_equal(result.outputs, toy_layers(inputs)[1])


@needs_host_compiler
def test_host_taps_are_every_layer_of_every_inference(build_dir: Path) -> None:
    inputs = toy_inputs(3)
    check_taps(runner.run(host(build_dir, with_taps=True), inputs, taps=Taps()), inputs)


@needs_arm_compiler
@needs_qemu
def test_board_taps_are_every_layer_of_every_inference(build_dir: Path) -> None:
    inputs, board = toy_inputs(3), boards.load("microbit")
    program = firmware.build_board(TOY, "toy", board, build_dir, taps=True)
    check_taps(runner.run(program, inputs, board=board, taps=Taps()), inputs)


def check_taps(result: runner.RunResult, inputs: np.ndarray) -> None:
    first, second = toy_layers(inputs)
    assert result.taps is not None
    assert len(result.taps) == len(inputs)
    for index, layers in enumerate(result.taps):
        assert sorted(layers) == [0, 1]
        np.testing.assert_array_equal(layers[0], first[index])
        np.testing.assert_array_equal(layers[1], second[index : index + 1])


@needs_host_compiler
def test_progress_grows_to_the_number_of_inputs(build_dir: Path) -> None:
    seen: list[tuple[int, int]] = []
    runner.run(host(build_dir), toy_inputs(500), progress=lambda done, count: seen.append((done, count)))
    assert seen == sorted(set(seen))
    assert seen[-1] == (500, 500)


@needs_host_compiler
def test_the_arena_holds_other_noise_before_each_run(build_dir: Path) -> None:
    inputs = np.repeat(toy_inputs(1, LEAVES_NOISE), 8, axis=0)
    assert len(np.unique(runner.run(host(build_dir), inputs).outputs, axis=0)) > 1


@needs_host_compiler
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (READS_BEHIND_ARENA, r"AddressSanitizer: use-after-poison mbv2_toy\.c:\d+"),
        (WRITES_BEHIND_ARENA, r"AddressSanitizer: use-after-poison mbv2_toy\.c:\d+"),
        (WRITES_BEFORE_ARENA, r"AddressSanitizer: use-after-poison mbv2_toy\.c:\d+"),
        (READS_NOWHERE, r"AddressSanitizer: SEGV"),
        (READS_UNALIGNED, r"mbv2_toy\.c:\d+:\d+: runtime error: load of misaligned address"),
        (DIVIDES_BY_ZERO, r"mbv2_toy\.c:\d+:\d+: runtime error: division by zero"),
        (OVERFLOWS_STACK, r"AddressSanitizer: stack-overflow"),
        (OVERFLOWS_INT, r"mbv2_toy\.c:\d+:\d+: runtime error: signed integer overflow"),
        (FAILS, r"NAME_run returns 7"),
    ],
)
def test_on_the_host_the_sanitizers_find_every_misdeed(build_dir: Path, kind: int, message: str) -> None:
    inputs = toy_inputs(4)
    inputs[2] = toy_inputs(1, kind)[0]
    with pytest.raises(CheckFailed, match=rf"^a title: inference 2 of 4: {message}[^\n]*$"):
        runner.run(host(build_dir), inputs, title="a title")


@needs_host_compiler
@pytest.mark.parametrize("kind", [WRITES_BEHIND_ARENA, WRITES_BEFORE_ARENA])
@pytest.mark.parametrize("distance", [0, 63])
def test_guard_bytes_show_a_write_outside_the_arena(build_dir: Path, kind: int, distance: int) -> None:
    with pytest.raises(CheckFailed, match=r"inference 0 of 1: writes outside its arena \(1 of the bytes"):
        runner.run(host(build_dir, sanitize=False), toy_inputs(1, kind, distance))


@needs_host_compiler
def test_a_hang_on_the_host_ends_with_the_inference_that_hangs(build_dir: Path) -> None:
    inputs = toy_inputs(3)
    inputs[1] = toy_inputs(1, HANGS)[0]
    with pytest.raises(CheckFailed, match=r"inference 1 of 3: hangs: no output for 0\.3 s$"):
        runner.run(host(build_dir), inputs, timeout_seconds=0.3)


@needs_arm_compiler
@needs_qemu
def test_a_hang_on_a_board_ends_too(build_dir: Path) -> None:
    board = boards.load("mps2-an500")
    program = firmware.build_board(TOY, "toy", board, build_dir)
    with pytest.raises(CheckFailed, match=r"inference 0 of 1: hangs"):
        runner.run(program, toy_inputs(1, HANGS), board=board, timeout_seconds=2)


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
@pytest.mark.parametrize(
    ("kind", "main_core", "small_core"),
    [
        (READS_NOWHERE, r"fault: access to an address where nothing is 0xefad0000 in mbv2_misbehave", "hard fault"),
        (READS_UNALIGNED, r"fault: unaligned access in mbv2_misbehave", "hard fault"),
        (DIVIDES_BY_ZERO, r"fault: division by zero in mbv2_misbehave", ""),
        (OVERFLOWS_STACK, r"fault: the stack ran over|fault: .*: the stack ran over", "fault: the stack ran over"),
        (WRITES_BEHIND_ARENA, r"writes outside its arena", "writes outside its arena"),
        (WRITES_BEFORE_ARENA, r"writes outside its arena", "writes outside its arena"),
        (FAILS, r"NAME_run returns 7", "NAME_run returns 7"),
    ],
)
def test_a_board_tells_its_faults(build_dir: Path, board: Board, kind: int, main_core: str, small_core: str) -> None:
    message = small_core if board.core == "cortex-m0" else main_core
    if not message:
        pytest.skip("a Cortex-M0 has no division")
    program = firmware.build_board(TOY, "toy", board, build_dir)
    with pytest.raises(CheckFailed, match=rf"^toy-{board.name}: inference 0 of 1: [^\n]*({message})[^\n]*$"):
        runner.run(program, toy_inputs(1, kind), board=board)


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
@pytest.mark.parametrize("loops", [2, 1000, 10_000_001])
def test_a_loop_of_two_instructions_counts_two_each_time(build_dir: Path, board: Board, loops: int) -> None:
    once = instructions(build_dir, board, LOOPS, 1)
    assert instructions(build_dir, board, LOOPS, loops) - once == 2 * (loops - 1)


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize(
    ("name", "numerator", "shift", "fine_per_coarse"), [("mps2-an500", 5, 7, 250_000), ("microbit", 125, 11, 512)]
)
def test_a_count_that_wraps_the_timer_is_right(
    tmp_path: Path, name: str, numerator: int, shift: int, fine_per_coarse: int
) -> None:
    """The timers undivided: 2**32 ticks are 168 and 262 million instructions, and more than twice as many are run."""
    board = boards.load(name)
    assert board.timer is not None
    timer = replace(board.timer, divider=1, numerator=numerator, shift=shift, fine_per_coarse=fine_per_coarse)
    undivided = replace(board, timer=timer)
    long = changed_toy(tmp_path / "long", "mbv2_toy.c", "loop(number)", "loop(number * 50u)")
    program = firmware.build_board(long, "toy", undivided, tmp_path / "build")
    inputs = np.concatenate([toy_inputs(1, LOOPS, 1), toy_inputs(1, LOOPS, 6_000_001)])
    inputs[1, 1:] = inputs[0, 1:]
    short, wrapped = runner.run(program, inputs, board=undivided).instructions or (0, 0)
    assert wrapped - short == pytest.approx(2 * 50 * 6_000_000, abs=8)  # values 1..3 are data too: a few branches
    assert wrapped << shift > (2 * numerator) << 32


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_instructions_are_those_that_a_trace_of_qemu_shows(build_dir: Path, tmp_path: Path, board: Board) -> None:
    measured = instructions(build_dir, board, BEHAVES, 0)
    program = firmware.build_board(TOY, "toy", board, build_dir)
    assert measured == traced_instructions(program, board, tmp_path)


def traced_instructions(program: Path, board: Board, work: Path) -> int:
    """Instructions from toy_run's first to its return, from QEMU's log of single steps."""
    (work / "in").write_bytes(toy_inputs(1).tobytes())
    nm = toolchain.require_arm_compiler().with_name("arm-none-eabi-nm")
    table = subprocess.run([nm, str(program)], capture_output=True, text=True, check=True).stdout
    start = int(re.findall(r"^(\w+) T toy_run$", table, re.MULTILINE)[0], 16)
    files = "enable=on,target=native,arg=program,arg=in,arg=out,arg=results"
    machine = board.require_emulator().machine
    command = [
        str(toolchain.require_qemu()), "-machine", machine, "-display", "none", "-monitor", "none",
        "-serial", "none", "-semihosting-config", files, "-singlestep", "-d", "exec,nochain", "-D", "log",
        "-kernel", str(program),
    ]  # fmt: skip
    subprocess.run(command, cwd=work, check=True, timeout=60, capture_output=True)
    log = (work / "log").read_text(encoding="utf-8")
    trace = [int(pc, 16) for pc in re.findall(r"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", log, re.MULTILINE)]
    entry = trace.index(start)
    back = trace[entry - 1] + 2  # behind the blx that called it
    return trace.index(back, entry) - entry


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_a_layers_instructions_grow_by_what_it_does_more(build_dir: Path, board: Board) -> None:
    program = firmware.build_board(TOY, "toy", board, build_dir, profile=True)
    inputs = np.concatenate([toy_inputs(1, LOOPS, 1), toy_inputs(1, LOOPS, 1001)])
    inputs[1, 1:] = inputs[0, 1:]
    layers = runner.run(program, inputs, board=board).layer_instructions
    assert layers is not None
    assert [len(row) for row in layers] == [2, 2]
    assert layers[1][1] - layers[0][1] == 2000


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_layers_add_up_to_nearly_the_whole(build_dir: Path, board: Board) -> None:
    """17 hooks: what they cost themselves would be seen (30 instructions each), a prologue may be."""
    program = firmware.build_board(TOY, "toy", board, build_dir, profile=True)
    layers = runner.run(program, toy_inputs(1), board=board).layer_instructions
    whole = instructions(build_dir, board, BEHAVES, 0)
    assert layers is not None
    assert 0 <= whole - sum(layers[0]) <= 60


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("profile", [False, True], ids=["plain", "profile"])
def test_a_board_without_a_timer_counts_nothing_and_computes_the_same(build_dir: Path, profile: bool) -> None:
    board = replace(boards.load("mps2-an385"), timer=None)
    inputs = toy_inputs(3)
    program = firmware.build_board(TOY, "toy", board, build_dir, profile=profile)
    result = runner.run(program, inputs, board=board)
    np.testing.assert_array_equal(result.outputs, toy_layers(inputs)[1])
    assert (result.instructions, result.layer_instructions) == (None, None)


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_stack_grows_by_four_bytes_a_word(build_dir: Path, board: Board) -> None:
    assert stack_bytes(build_dir, board, 81) - stack_bytes(build_dir, board, 40) == 4 * 41


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_the_whole_stack_is_the_networks_and_what_main_has_below_and_beside_it(build_dir: Path, board: Board) -> None:
    program = firmware.build_board(TOY, "toy", board, build_dir)
    shallow, deep = (runner.run(program, toy_inputs(1, USES_STACK, words), board=board) for words in (40, 80))
    assert shallow.stack_bytes is not None
    assert shallow.whole_stack_bytes is not None
    assert deep.whole_stack_bytes is not None
    assert deep.whole_stack_bytes - shallow.whole_stack_bytes == 4 * 40
    assert shallow.stack_bytes < shallow.whole_stack_bytes < board.stack_bytes


@needs_host_compiler
def test_the_host_knows_no_stack(build_dir: Path) -> None:
    assert runner.run(host(build_dir), toy_inputs(1)).whole_stack_bytes is None


@needs_host_compiler
@pytest.mark.parametrize("count", [1, 20])
def test_the_arena_is_touched_up_to_the_last_byte_that_the_network_writes(build_dir: Path, count: int) -> None:
    """Layer 0, behind the input; the five bytes behind it are the arena's too and stay as they were."""
    result = runner.run(host(build_dir), toy_inputs(count))
    assert result.touched_arena_bytes == 2 * 64


@needs_arm_compiler
@needs_qemu
@ALL_BOARDS
def test_a_stack_used_to_its_last_word_is_told_and_one_word_more_is_a_fault(build_dir: Path, board: Board) -> None:
    program = firmware.build_board(TOY, "toy", board, build_dir)
    used = runner.run(program, toy_inputs(1, USES_STACK, 40), board=board).whole_stack_bytes
    assert used is not None
    last = 40 + (board.stack_bytes - used) // 4
    with pytest.raises(CheckFailed, match="stack is too small: it was used to its end"):
        runner.run(program, toy_inputs(1, USES_STACK, last), board=board)
    with pytest.raises(CheckFailed, match=r"^[^\n]*fault: [^\n]*stack[^\n]*$"):
        runner.run(program, toy_inputs(1, USES_STACK, last + 1), board=board)


@pytest.fixture(scope="module")
def whole_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with an arena that is a multiple of an MPU's blocks."""
    return changed_toy(tmp_path_factory.mktemp("toy") / "large", "toy.h", "ARENA_BYTES 133", "ARENA_BYTES 160")


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("board", [b for b in boards.emulated() if b.stack_guard_bytes], ids=lambda board: board.name)
def test_the_mpu_catches_the_first_byte_beside_the_arena(build_dir: Path, whole_blocks: Path, board: Board) -> None:
    """Read or written, behind or in front; told with its address."""
    program = firmware.build_board(whole_blocks, "toy", board, build_dir)
    told = r"fault: data access violation 0x[0-9a-f]{8}, outside the arena, in mbv2_misbehave"
    misdeeds = [(kind, by) for kind in (READS_BEHIND_ARENA, WRITES_BEHIND_ARENA, WRITES_BEFORE_ARENA) for by in (0, 63)]
    for kind, distance in misdeeds:
        with pytest.raises(CheckFailed, match=rf"^[^\n]*{told}[^\n]*$"):
            runner.run(program, toy_inputs(1, kind, distance), board=board)
    assert runner.run(program, toy_inputs(3), board=board).touched_arena_bytes == 2 * 64


@needs_arm_compiler
@needs_qemu
def test_without_an_mpu_the_paint_tells(build_dir: Path, whole_blocks: Path) -> None:
    board = boards.load("microbit")
    program = firmware.build_board(whole_blocks, "toy", board, build_dir)
    with pytest.raises(CheckFailed, match=r"writes outside its arena \(1 of the bytes"):
        runner.run(program, toy_inputs(1, WRITES_BEHIND_ARENA), board=board)


@needs_host_compiler
@pytest.mark.parametrize("shape", [(2, 63), (1, 8, 9), (64, 1)])
def test_inputs_of_another_size_are_refused(build_dir: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(Mbv2genError, match=r"toy-host: an input has 64 bytes \(got \d+\)$"):
        runner.run(host(build_dir), np.zeros(shape, np.int8))


def test_inputs_of_another_type_are_refused() -> None:
    with pytest.raises(Mbv2genError, match=r"inputs must be int8 \[n\]\[\.\.\.\], n >= 1 \(got uint8 \[1, 64\]\)"):
        runner.run(Path("program"), np.zeros((1, 64), np.uint8), title="toy")  # type: ignore[arg-type]  # what is to be refused


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([(0, 0, 0, 2), (0, 2, 0, 2)], "layer 0: row 1 is missing"),
        ([(0, 0, 0, 2), (0, 0, 3, 1)], "layer 0, row 0: value 2 is missing"),
        ([(0, 0, 0, 2), (0, 0, 1, 2)], "layer 0, row 0: value 1 comes twice"),
        ([(0, 0, 0, 2), (0, 1, 0, 3)], "layer 0: its rows have between 2 and 3 values"),
    ],
)
def test_incomplete_taps_are_told(tmp_path: Path, records: list[tuple[int, ...]], message: str) -> None:
    data = b"".join(struct.pack("<4I", *record) + bytes(record[3]) for record in records)
    (tmp_path / "taps").write_bytes(data + struct.pack("<4I", 0xFFFFFFFF, 0, 0, 0))
    with pytest.raises(CheckFailed, match=message):
        list(taps.read_taps(tmp_path / "taps", "toy"))
