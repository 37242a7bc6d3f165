# SPDX-License-Identifier: Apache-2.0
"""What docs/adding-a-board.md and docs/adding-a-kernel.md tell people to do does what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import documents
import numpy as np
import pytest
from c_libraries import compile_strictly
from documents import ROOT
from network_builder import NONE, RELU6, NetworkBuilder
from planned import rows_that_differ
from small_models import write_program
from test_image import heard, sample
from toy_network import TOY, needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import candidates, resources
from mbv2gen.dsp.ranges import ranges
from mbv2gen.hardware import boards, firmware, image
from mbv2gen.hardware.board import Board, Memory, placed
from mbv2gen.hardware.execution import HOST
from mbv2gen.network import Window
from mbv2gen.packing.check import check_packing
from mbv2gen.pixels import network_inputs
from mbv2gen.plan import plan
from mbv2gen.planning import kernels
from mbv2gen.planning.kernels import Contract
from mbv2gen.program import Program, program
from mbv2gen.program_interpreter import check_arena
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.verification import verify

BOARD_GUIDE = ROOT / "docs" / "adding-a-board.md"
KERNEL_GUIDE = ROOT / "docs" / "adding-a-kernel.md"
ABOVE_THE_PROTOTYPE = "void mbv2_conv_s8(const mbv2_conv *layer, uint8_t *arena, uint32_t unit);\n"


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


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Contract, ...]:
    """The plain kernels and that of the document, its C in a copy of templates/."""
    body, prototype = (code.text for code in documents.fenced(KERNEL_GUIDE, "c"))
    predicate, contract = (code.text for code in documents.fenced(KERNEL_GUIDE, "python"))
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    folder = tmp_path / "templates" / "kernels"
    (folder / "mbv2_conv_pairs_s8.c").write_text(body, encoding="utf-8")
    header = (folder / "mbv2_kernels.h").read_text(encoding="utf-8")
    assert ABOVE_THE_PROTOTYPE in header
    changed = header.replace(ABOVE_THE_PROTOTYPE, f"{ABOVE_THE_PROTOTYPE}\n{prototype}")
    (folder / "mbv2_kernels.h").write_text(changed, encoding="utf-8")
    monkeypatch.setattr(resources, "templates_dir", lambda: tmp_path / "templates")
    module = dict(vars(kernels))
    exec(predicate, module)
    return (eval(contract.strip(), module), *kernels.PLAIN)


def network() -> QuantizedNetwork:
    """A 3x3 convolution of six outputs, padded and at stride 2, one of five, a mean."""
    b = NetworkBuilder(np.random.default_rng(5))
    x = b.conv(b.input((9, 8, 3), 0, 0.02), "six", 6, Window(3, 3, 2, 2, 1, 1, 1, 1), RELU6)
    b.block("six", "Stem", "conv")
    x = b.conv(x, "five", 5, Window(3, 3, 1, 1, 1, 1, 1, 1), NONE)
    b.block("five", "Layer", "layer")
    b.mean(x, "mean")
    b.block("mean", "Layer", "layer")
    return b.network("net", "mean")


def followed_program(family: tuple[Contract, ...]) -> Program:
    made, known = network(), ranges(network())
    chosen = candidates.choose(made, candidates.candidates(made, family, known))
    return program(made, plan(made, chosen), "host", known)


def test_the_kernel_of_the_document_is_taken_where_it_applies_and_keeps_its_contract(
    family: tuple[Contract, ...],
) -> None:
    complete = followed_program(family)
    assert [call.body for call in complete.calls] == ["conv_pairs_s8", "conv_s8", "mean_s8"]
    check_arena(complete)
    check_packing(complete)
    assert rows_that_differ(complete, network_inputs.synthetic(complete.network, 1)[0]) == []


@needs_host_compiler
def test_the_c_of_the_document_is_strict_and_equals_numpy(family: tuple[Contract, ...], tmp_path: Path) -> None:
    folder = write_program(followed_program(family), tmp_path / "out")
    assert (folder.path / "mbv2_conv_pairs_s8.c").is_file()
    for compiler in filter(shutil.which, ("gcc", "clang")):
        assert compile_strictly(folder.path, tmp_path, compiler, "-std=c11") == ""
    inputs = network_inputs.synthetic(folder.network(), 8)
    result = verify(folder, HOST, iter([inputs]), 8)
    assert result.difference is None
    assert (result.inputs, result.layers) == (8, 3)
