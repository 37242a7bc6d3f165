"""The programs of tests/dsp_harness: dsp bodies beside their twins, on an emulated board; twins alone on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mbv2gen.dsp.bodies import BODIES, render
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.resources import firmware_dir, templates_dir

HARNESS = Path(__file__).parent / "dsp_harness"
KERNELS = templates_dir() / "kernels"
TWINS = KERNELS / "mbv2_dsp_twins.c"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
UNDER_ANOTHER_NAME = ("-U__ARM_FEATURE_DSP", "-DMBV2_TWIN(body)=twin_##body")


def run(*command: str | Path, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=where, capture_output=True, text=True, check=False)


def successful(*command: str | Path, where: Path | None = None) -> str:
    result = run(*command, where=where)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def board_program(board: Board, folder: Path) -> Path:
    """The harness with the bodies scheduled for the board's core -> its ELF in ``folder``."""
    compiler = toolchain.require_arm_compiler()
    environment = Environment(
        loader=FileSystemLoader(firmware_dir()), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["hex"] = lambda value: f"0x{value:08x}"
    values = {
        "board": board, "weights_objects": "none", "weights_memory": board.place.code, "code_is_copied": False,
        "weights_are_copied": False,
    }  # fmt: skip
    for name in ("board.h", "linker.ld"):
        (folder / name).write_text(environment.get_template(f"{name}.j2").render(**values))
    (folder / "bodies.S").write_text(render(board.core, BODIES))
    flags = (f"-mcpu={board.core}", "-mthumb", *board.flags, "-mno-unaligned-access", "-std=c11", "-O2", "-fno-builtin",
             f"-I{KERNELS}", f"-I{firmware_dir()}", "-I.")  # fmt: skip
    sources = ("startup.c", "memory.c", "mpu.c", "port_semihosting.c")
    firmware = [firmware_dir() / name for name in sources]
    successful(compiler, *flags, *UNDER_ANOTHER_NAME, "-c", TWINS, "-o", "twins.o", where=folder)
    successful(
        compiler, *flags, "-fno-tree-loop-distribute-patterns", *firmware, HARNESS / "main.c", HARNESS / "count.c",
        HARNESS / "strings.c", "twins.o", "bodies.S", "-nostartfiles", "-nostdlib", "-T", "linker.ld", "-lgcc",
        "-o", "harness.elf", where=folder,
    )  # fmt: skip
    return folder / "harness.elf"


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
