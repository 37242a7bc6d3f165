# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/dsp_harness: dsp bodies beside their twins, on an emulated board; twins alone on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

from board_images import flags, link
from processes import run, successful

from mbv2gen.dsp.bodies import BODIES, render
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.resources import templates_dir

HARNESS = Path(__file__).parent / "dsp_harness"
KERNELS = templates_dir() / "kernels"
TWINS = KERNELS / "mbv2_dsp_twins.c"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
UNDER_ANOTHER_NAME = ("-U__ARM_FEATURE_DSP", "-DMBV2_TWIN(body)=twin_##body")


def board_program(board: Board, folder: Path) -> Path:
    """The harness with the bodies scheduled for the board's core -> its ELF in ``folder``."""
    (folder / "bodies.S").write_text(render(board.core, BODIES))
    options = (*flags(board), "-std=c11", "-O2", "-fno-builtin", f"-I{KERNELS}")
    successful(toolchain.require_arm_compiler(), *options, *UNDER_ANOTHER_NAME, "-c", TWINS, "-o", "twins.o",
               where=folder)  # fmt: skip
    sources = (*(HARNESS / name for name in ("main.c", "count.c", "strings.c")), "twins.o", "bodies.S")
    return link(board, folder, sources, "-O2", f"-I{KERNELS}")


def run_on_board(board: Board, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ",".join(f"arg={word}" for word in ("harness", *arguments))
    emulator = board.require_emulator()
    return run(
        toolchain.require_qemu(), "-machine", emulator.machine, "-icount", f"shift={emulator.icount_shift}",
        "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", f"enable=on,target=native,{given}", "-kernel", program,
    )  # fmt: skip


def host_program(folder: Path) -> Path:
    """The harness with twins in the place of the bodies too, under the address and undefined-behaviour sanitizers."""
    compiler = toolchain.require_host_compiler()
    flags = ("-std=c11", "-O1", "-g", f"-I{KERNELS}", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    successful(compiler, *flags, *UNDER_ANOTHER_NAME, "-c", TWINS, "-o", "twins.o", where=folder)
    sources = (HARNESS / "main.c", HARNESS / "count.c", TWINS)
    successful(compiler, *flags, *sources, "twins.o", "-o", "harness", where=folder)
    return folder / "harness"
