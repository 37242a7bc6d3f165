# SPDX-License-Identifier: Apache-2.0
"""An input that a DMA may fill: at a multiple of a cache line, in lines that hold nothing but the arena."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import documents
import numpy as np
import pytest
from c_libraries import STRICT, Inference, compile_strictly, library
from command_line import Ended, assert_refused, command
from documents import ROOT
from planned import rows_that_differ
from random_networks import random_network
from small_models import save_pixels, save_small_model, write_network
from test_static_asserts import refusal
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import compiler, int8_reference
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.quantized_network import QuantizedNetwork

Capture = pytest.CaptureFixture[str]
ALIGNS = pytest.mark.parametrize("align", [16, 32, 64])


def network(seed: int = 11) -> QuantizedNetwork:
    return random_network(np.random.default_rng(seed), size=(9, 7), blocks=2, max_channels=8, name="net")


@ALIGNS
@pytest.mark.parametrize("keep_input", [False, True])
def test_the_plan_moves_up_and_computes_the_same(align: int, keep_input: bool) -> None:
    for seed in range(4):
        made, known = network(seed), ranges(network(seed))
        plain = compiler.plan_network(made, Options(keep_input=keep_input), known)
        options = Options(keep_input=keep_input, input_align=align)
        planned = compiler.plan_network(made, options, known)
        complete = compiler.complete_program(made, planned, options, known)
        assert planned.buffer("input").offset % align == 0
        assert planned.arena_bytes % align == 0
        assert complete.arena_align == max(16, align)
        assert complete.input_align >= align
        assert plain.arena_bytes <= planned.arena_bytes < plain.arena_bytes + 2 * align
        assert len({b.offset - a.offset for a, b in zip(plain.buffers, planned.buffers, strict=True)}) == 1
        x = network_inputs.synthetic(made, 1)[0]
        assert rows_that_differ(complete, x) == []


def test_where_the_limit_leaves_no_room_to_move_a_smaller_plan_is_taken_or_none() -> None:
    made, known = network(), ranges(network())
    least = compiler.plan_network(made, Options(optimize="ram", input_align=64), known).arena_bytes
    for limit in (least, least + 40, least + 200):
        options = Options(input_align=64, arena_limit=limit)
        assert compiler.plan_network(made, options, known).arena_bytes <= limit
    with pytest.raises(Mbv2genError, match=f"the least takes {least:,} B"):
        compiler.plan_network(made, Options(input_align=64, arena_limit=least - 16), known)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("aligned") / "out", input_align=32)


def number(folder: OutputFolder, name: str) -> int:
    header = (folder.path / "net.h").read_text(encoding="utf-8")
    return int(re.findall(rf"#define NET_{name} +(\d+)", header)[0])


@needs_host_compiler
@pytest.mark.parametrize("compiler_name", ["gcc", "g++"])
def test_the_header_says_it_and_the_code_holds_it_to_that(
    folder: OutputFolder, tmp_path: Path, compiler_name: str
) -> None:
    assert (number(folder, "INPUT_ALIGN"), number(folder, "ARENA_ALIGN")) == (32, 32)
    flags = ("-xc++", "-std=c++20") if compiler_name == "g++" else ("-std=c11",)
    assert compile_strictly(folder.path, tmp_path, compiler_name, *flags) == ""
    source = (folder.path / "net.c").read_text(encoding="utf-8")
    (place,) = re.findall(r"&& (\d+) % NET_INPUT_ALIGN", source)
    (folder.path / "moved.c").write_text(source.replace(f"{place} % NET_INPUT", f"{int(place) + 8} % NET_INPUT"))
    told = refusal(folder.path, (compiler_name, *flags), "moved.c")
    (folder.path / "moved.c").unlink()
    assert "the input is misaligned" in told


@needs_host_compiler
def test_an_arena_that_is_misaligned_is_refused(folder: OutputFolder, tmp_path: Path) -> None:
    made = Inference(library([folder.path], tmp_path), network(), number(folder, "ARENA_BYTES"), align=32)
    assert [made.init(offset) for offset in (0, 8, 16, 24)] == [0, 2, 2, 2]
    assert made.init() == 0
    assert ctypes.cast(made.input(), ctypes.c_void_p).value % 32 == 0  # type: ignore[operator]  # not NULL
    x = network_inputs.synthetic(network(), 1)
    made.fill(x)
    assert made.run() == 0
    np.testing.assert_array_equal(made.output(), int8_reference.run_outputs(network(), x)[0])


def compiled(capsys: Capture, folder: Path, *words: object) -> Ended:
    model, data = save_small_model(folder), save_pixels(folder)
    calibration = ("--calibration", data, "--mean", "0", "--std", "1", "--effort", "0")
    return command(capsys, "compile", model, *calibration, "-o", folder / "out", *words)


@needs_arm_compiler
@needs_qemu
def test_the_command_says_it_and_verify_finds_it_equal(tmp_path: Path, capsys: Capture) -> None:
    ended = compiled(capsys, tmp_path, "--input-align", "32")
    assert ended.code == 0, ended.err
    header = (tmp_path / "out" / "small.h").read_text(encoding="utf-8")
    assert "--input-align 32" in header
    assert "a DMA may\n * write here" in header
    ended = command(capsys, "verify", tmp_path / "out", "--on", "qemu", "--count", "2")
    assert ended.code == 0, ended.err


def test_what_cannot_be_aligned_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert_refused(compiled(capsys, tmp_path, "--input-align", "24"), "none of 16, 32, 64")
    assert_refused(compiled(capsys, tmp_path, "--input-align", "32", "--feed", "rows"), "goes with --feed frame")


STAND_IN = """
#include <stddef.h>
#include <stdint.h>
extern uintptr_t asked[8];
extern unsigned calls;
static inline void SCB_InvalidateDCache_by_Addr(volatile void *address, int32_t bytes) {
    asked[calls++] = (uintptr_t)address;
    asked[calls++] = (uintptr_t)bytes;
}
static inline void dma_start(void *to, size_t bytes) {
    asked[calls++] = (uintptr_t)to;
    asked[calls++] = (uintptr_t)bytes;
}
"""


@needs_host_compiler
def test_the_lines_in_integration_md_invalidate_the_input_before_and_after(tmp_path: Path, capsys: Capture) -> None:
    """The digits of the example are small's; what a DMA would do the test does in between."""
    ended = compiled(capsys, tmp_path, "--input-align", "32", "--name", "digits")
    assert ended.code == 0, ended.err
    (code,) = (c.text for c in documents.fenced(ROOT / "docs" / "integration.md", "c") if "DCache" in c.text)
    work = tmp_path / "work"
    work.mkdir()
    (work / "stm32h7xx.h").write_text(STAND_IN)
    state = "uintptr_t asked[8];\nunsigned calls;\nint begin(void) { return digits_init(&ctx, arena, sizeof arena); }\n"
    (work / "example.c").write_text(code + state)
    built = library([tmp_path / "out", work], tmp_path / "work", "-I.", *STRICT[:1])
    assert built.begin() == 0
    built.picture_starts()
    asked = (ctypes.c_size_t * 8).in_dll(built, "asked")
    input_bytes = 12 * 14 * 3
    assert list(asked[:4]) == [asked[0], input_bytes] * 2
    assert asked[0] % 32 == 0
    made = OutputFolder(tmp_path / "out", "digits").network()
    x = np.load(tmp_path / "pixels.npy")[:1]
    ctypes.memmove(asked[0], x.ctypes.data, input_bytes)
    built.picture_arrived.restype = ctypes.POINTER(ctypes.c_int8)
    scores = built.picture_arrived()
    assert list(asked[4:6]) == [asked[0], input_bytes]
    wanted = int8_reference.run_outputs(made, network_inputs.from_pixels(made, x)).reshape(-1)
    assert scores[: len(wanted)] == wanted.tolist()
