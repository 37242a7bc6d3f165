# SPDX-License-Identifier: Apache-2.0
"""Programs of a test's own sources on an emulated board, with the firmware's startup and linker script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processes import successful

from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.resources import environment, firmware_dir


def flags(board: Board) -> tuple[str, ...]:
    return (f"-mcpu={board.core}", "-mthumb", *board.flags, "-mno-unaligned-access", "-ffunction-sections")


def link(board: Board, folder: Path, sources: Sequence[str | Path], *options: str) -> Path:
    """``sources`` (objects and archives too) with the startup -> the ELF; small, if no option says else."""
    templates = environment(firmware_dir())
    templates.filters["hex"] = lambda value: f"0x{value:08x}"
    values = {
        "board": board, "weights_objects": "none", "weights_memory": board.place.code, "code_is_copied": False,
        "weights_are_copied": False,
    }  # fmt: skip
    for name in ("board.h", "linker.ld"):
        (folder / name).write_text(templates.get_template(f"{name}.j2").render(**values))
    firmware = [firmware_dir() / name for name in ("startup.c", "memory.c", "mpu.c", "port_semihosting.c")]
    successful(
        toolchain.require_arm_compiler(), *flags(board), "-std=c11", "-Os", "-fno-builtin",
        "-fno-tree-loop-distribute-patterns", f"-I{firmware_dir()}", "-I.", *options, *firmware, *sources,
        "-nostartfiles", "-nostdlib", "-Wl,--gc-sections", "-T", "linker.ld", "-lgcc", "-o", "program.elf",
        where=folder,
    )  # fmt: skip
    return folder / "program.elf"
