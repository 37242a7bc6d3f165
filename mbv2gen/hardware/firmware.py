# SPDX-License-Identifier: Apache-2.0
"""Firmware: programs made of a compiled network and firmware/, for the host or for a board."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import program_build, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.program_build import NETWORK_PREFIX, Build, NoRoomError
from mbv2gen.resources import environment, firmware_dir

LINK_MAP = "program.map"
SERIAL_BUILDS = ("plain", "taps", "profile")

_HOST_SOURCES = ("main.c", "port_stdio.c", "measure_none.c")
_BOARD_SOURCES = ("main.c", "measure_cortex_m.c", "startup.c", "mpu.c", "memory.c")
_HOST_FLAGS = ("-std=c11", "-O2", "-g", "-Wall", "-Wextra")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
_SANITIZED = ("-O1", *_SANITIZERS)  # with -O2 the compiler takes twice as long, and the program is hardly faster
_BOARD_FLAGS = (
    "-std=c11", "-g", "-Wall", "-Wextra", "-mthumb", "-ffunction-sections", "-fdata-sections",
    "-mno-unaligned-access",
)  # fmt: skip
_FIRMWARE_FLAGS = (
    "-fno-tree-loop-distribute-patterns",  # loops stay loops: there is no C library to call
    "-fno-shrink-wrap",  # what measures the stack pushes registers first, then reads sp
)
_LINK_FLAGS = ("-nostartfiles", "-nostdlib", "-Wl,--gc-sections", f"-Wl,-Map={LINK_MAP}", "-T", "linker.ld")


def build_host(
    folder: Path,
    name: str,
    build_dir: Path,
    *,
    sanitize: bool,
    taps: bool,
    crcs: bool = False,
    poison: bool = False,
    compiler: Path | None = None,
) -> Path:
    """The program for this machine -> its path.

    ``sanitize``: with the address and undefined-behaviour sanitizers, ending at the first finding. ``taps``: it writes
    every layer's rows; ``crcs``: their CRCs instead. ``poison``: after each unit of work it overwrites all bytes of the
    arena that nobody owns.
    Mbv2genError where the folder is no compiled network or a tool is missing; CheckFailed where the compiler refuses
    the sources.
    """
    flags = _HOST_FLAGS + (_SANITIZED if sanitize else ()) + _defines(taps=taps or crcs, poison=poison)
    build = Build(
        name=name,
        title=f"{name} on the host",
        folder=folder,
        compiler=compiler or toolchain.require_host_compiler(),
        sources=_sources(folder, name, (*_HOST_SOURCES, *_tap_sources(taps, crcs)), (".c",)),
        generated=_generated(("network.h",), name=name, compile=compile_number(folder, name)),
        flags=flags,
        firmware_flags=(),
        link_flags=_SANITIZERS if sanitize else (),
        libraries=(),
    )
    return program_build.program(build, build_dir, f"{name}-host")


@dataclass(frozen=True)
class Sample:
    """Values int8 of one input of a network, and of the output that NumPy computes for it."""

    input: tuple[int, ...]
    output: tuple[int, ...]


def build_board(
    folder: Path,
    name: str,
    board: Board,
    build_dir: Path,
    *,
    taps: bool = False,
    crcs: bool = False,
    profile: bool = False,
    rows: bool = False,
) -> Path:
    """The program for a board behind an emulator or debugger -> the ELF's path; its link map lies beside it.

    ``taps``, ``crcs``: as for the host. ``profile``: it counts the instructions of each layer, ``rows``: of what each
    row of the input sets off, where the network is fed rows. The weights go into the first of the board's memories with
    room for them. Mbv2genError where they, or the arena, fit nowhere.
    """
    defines = _defines(taps=taps or crcs, profile=profile, rows=rows)
    sources = ("port_semihosting.c", *_tap_sources(taps, crcs))
    return _build_board(folder, name, board, build_dir, sources, defines, ())


def build_image(folder: Path, name: str, board: Board, build_dir: Path, sample: Sample) -> Path:
    """The program for a board on its own -> the ELF's path: it runs the sample and tells by the serial line how.

    Mbv2genError where the board has no serial line, or what has been placed does not fit.
    """
    _require_console(board)
    generated = _generated(("sample.h",), name=name, sample=sample)
    return _build_board(folder, name, board, build_dir, ("port_uart.c",), (), generated)


def build_serial(folder: Path, name: str, board: Board, build_dir: Path, kind: str) -> Path:
    """The program for a board at the end of a serial line (firmware/port_serial.c) -> the ELF's path.

    ``kind``, one of SERIAL_BUILDS: plain; taps, which tells the CRCs of every layer's rows; profile, which measures
    every layer. Mbv2genError where the board has no serial line.
    """
    _require_console(board)
    defines = _defines(taps=kind == "taps", profile=kind == "profile")
    sources = ("port_serial.c", *_tap_sources(False, kind == "taps"))
    return _build_board(folder, name, board, build_dir, sources, defines, ())


def compile_number(folder: Path, name: str) -> str:
    """What tells a compile from all others, as its header has it; 0 where it has none."""
    try:
        header = (folder / f"{name}.h").read_text(encoding="utf-8")
    except OSError as error:
        raise Mbv2genError(f"{folder}: has no {name}.h ({error.strerror}); compile again") from None
    found = re.search(rf"^#define {name.upper()}_COMPILE +(0x[0-9a-f]+)", header, re.MULTILINE)
    return found[1] if found else "0"


def _require_console(board: Board) -> None:
    if board.console is None:
        raise Mbv2genError(f"{board.name}: its board.toml has no [console] to speak by; add one")


def _tap_sources(rows: bool, crcs: bool) -> tuple[str, ...]:
    return ("tap_crcs.c",) if crcs else ("tap_rows.c",) if rows else ()


def _build_board(
    folder: Path,
    name: str,
    board: Board,
    build_dir: Path,
    port: tuple[str, ...],
    defines: tuple[str, ...],
    generated: tuple[tuple[str, str], ...],
) -> Path:
    place = board.place
    soc = () if board.soc is None else (f"soc_{board.soc}.c",)
    sources = _sources(folder, name, (*_BOARD_SOURCES, *port, *soc), (".c", ".S"))
    optimization = "-Os" if any(source.endswith(".S") for _, source in sources) else "-O2"  # the loops are in assembly
    for memory in place.weights:
        build = Build(
            name=name,
            title=f"{name} on {board.name}",
            folder=folder,
            compiler=toolchain.require_arm_compiler(),
            sources=sources,
            generated=generated
            + _generated(
                ("network.h", "board.h", "linker.ld"),
                name=name,
                compile=compile_number(folder, name),
                board=board,
                network_objects=f"{NETWORK_PREFIX}*",
                weights_objects=f"{NETWORK_PREFIX}{name}_weights.*",
                weights_memory=memory,
                weights_are_copied=board.is_copied(memory),
                code_is_copied=board.is_copied(place.code),
            ),
            flags=(f"-mcpu={board.core}", *board.flags, optimization, *_BOARD_FLAGS, *defines),
            firmware_flags=_FIRMWARE_FLAGS,
            link_flags=(f"-mcpu={board.core}", "-mthumb", *board.flags, *_LINK_FLAGS),
            libraries=("-lgcc",),
        )
        try:
            return program_build.program(build, build_dir, f"{name}-{board.name}")
        except NoRoomError as error:
            if error.memory != memory or memory == place.weights[-1]:
                raise
    raise AssertionError("a board has a memory for the weights")


def _defines(**wanted: bool) -> tuple[str, ...]:
    """-DMBV2_... for each kind of build that is wanted."""
    names = {"taps": "MBV2_TAP", "profile": "MBV2_PROFILE", "rows": "MBV2_ROWS", "poison": "MBV2_POISON"}
    return tuple(f"-D{names[kind]}" for kind, is_wanted in wanted.items() if is_wanted)


def _sources(folder: Path, name: str, ours: Sequence[str], suffixes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(object file, source) of the network's files and of the firmware's, sorted."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise Mbv2genError(f"'{name}' is no name for a network: letters, digits and underscores, a letter first")
    if folder / f"{name}.h" not in program_build.network_files(folder):
        raise Mbv2genError(f"{folder}: has no {name}.h; give a folder that 'mbv2gen compile' wrote")
    network = (file.name for file in program_build.network_files(folder) if file.suffix in suffixes)
    return tuple((f"{NETWORK_PREFIX}{file}.o", f"network/{file}") for file in network) + tuple(
        (f"firmware_{file}.o", str(firmware_dir() / file)) for file in ours
    )


def _generated(files: Sequence[str], **values: object) -> tuple[tuple[str, str], ...]:
    """(file, text) of the templates FILE.j2 of firmware/."""
    templates = environment(firmware_dir())
    templates.filters["hex"] = lambda value: f"0x{value:08x}"
    return tuple((file, templates.get_template(f"{file}.j2").render(**values)) for file in files)
