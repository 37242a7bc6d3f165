# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/dsp_harness: dsp bodies beside their twins, on an emulated board; twins alone on the host."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
from board_images import flags, link
from processes import run, successful

from mbv2gen.dsp.bodies import BODIES, render
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.resources import templates_dir

HARNESS = Path(__file__).parent / "dsp_harness"
KERNELS = templates_dir() / "kernels"
TWINS = (KERNELS / "mbv2_dsp_twins.c", KERNELS / "mbv2_dsp_four_bits_twins.c")
HEADERS = (KERNELS / "mbv2_dsp_bodies.h", KERNELS / "mbv2_dsp_four_bits.h")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
UNDER_ANOTHER_NAME = ("-U__ARM_FEATURE_DSP", "-DMBV2_TWIN(body)=twin_##body")


def twin_objects(compiler: str | Path, *options: str | Path, where: Path) -> list[str]:
    """The twins, each file compiled -> their objects in ``where``."""
    for source in TWINS:
        successful(compiler, *options, "-c", source, "-o", f"{source.stem}.o", where=where)
    return [f"{source.stem}.o" for source in TWINS]


def twin_library(folder: Path) -> ctypes.CDLL:
    """The twins under the names of the bodies, for the host."""
    successful(
        toolchain.require_host_compiler(), "-std=c11", "-O2", "-shared", "-fPIC", *TWINS, "-o", folder / "twins.so"
    )
    return ctypes.CDLL(str(folder / "twins.so"))


def called(twins: ctypes.CDLL, body: str, *arguments: object) -> None:
    """Arrays as pointers, (array, offset) as a pointer behind its begin, numbers as int32."""

    def pointer(value: object) -> object:
        if isinstance(value, tuple):
            return ctypes.c_void_p(value[0].ctypes.data + value[1])
        return ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else ctypes.c_int32(value)  # type: ignore[arg-type]  # what is no array is an integer

    getattr(twins, f"mbv2_{body}_dsp")(*map(pointer, arguments))


def board_program(board: Board, folder: Path) -> Path:
    """The harness with the bodies scheduled for the board's core -> its ELF in ``folder``."""
    (folder / "bodies.S").write_text(render(board.core, BODIES))
    options = (*flags(board), "-std=c11", "-O2", "-fno-builtin", f"-I{KERNELS}")
    twins = twin_objects(toolchain.require_arm_compiler(), *options, *UNDER_ANOTHER_NAME, where=folder)
    sources = (*(HARNESS / name for name in ("main.c", "count.c", "strings.c")), *twins, "bodies.S")
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
    twins = twin_objects(compiler, *flags, *UNDER_ANOTHER_NAME, where=folder)
    sources = (HARNESS / "main.c", HARNESS / "count.c", *TWINS)
    successful(compiler, *flags, *sources, *twins, "-o", "harness", where=folder)
    return folder / "harness"
