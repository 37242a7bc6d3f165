"""Firmware: programs made of a compiled network and firmware/, for the host or for a board.

A program lies in a folder of its own, named by a hash of everything that went into it, so that building again is free.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mbv2gen import output_folder
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.boards import Board
from mbv2gen.resources import firmware_dir

PROGRAM = "program.elf"
LINK_MAP = "program.map"
NETWORK_PREFIX = "network_"  # of the network's object files; everything else is the firmware's

_HOST_SOURCES = ("main.c", "port_stdio.c", "measure_none.c")
_BOARD_SOURCES = ("main.c", "port_semihosting.c", "measure_cortex_m.c", "startup.c", "mpu.c", "memory.c")
_HOST_FLAGS = ("-std=c11", "-O2", "-g", "-Wall", "-Wextra")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
_BOARD_FLAGS = (
    "-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-mthumb", "-ffunction-sections", "-fdata-sections",
    "-mno-unaligned-access",
)  # fmt: skip
_FIRMWARE_FLAGS = ("-fno-tree-loop-distribute-patterns",)  # loops stay loops: there is no C library to call
_LINK_FLAGS = ("-nostartfiles", "-nostdlib", "-Wl,--gc-sections", f"-Wl,-Map={LINK_MAP}", "-T", "linker.ld")


@dataclass(frozen=True)
class _Build:
    """Everything one program is made of."""

    name: str
    title: str  # for messages: flowers on mps2-an500
    folder: Path
    compiler: Path
    sources: tuple[tuple[str, str], ...]  # (name of the object file, source)
    generated: tuple[tuple[str, str], ...]  # (file name, text)
    flags: tuple[str, ...]
    firmware_flags: tuple[str, ...]  # for the firmware's own sources, besides
    link_flags: tuple[str, ...]
    libraries: tuple[str, ...]


def build_host(
    folder: Path,
    name: str,
    build_dir: Path,
    *,
    sanitize: bool,
    taps: bool,
    poison: bool = False,
    compiler: Path | None = None,
) -> Path:
    """The program for this machine -> its path.

    ``sanitize``: with the address and undefined-behaviour sanitizers, ending at the first finding. ``taps``: it writes
    every layer's rows. ``poison``: after each unit of work it overwrites all bytes of the arena that nobody owns.
    Mbv2genError where the folder is no compiled network or a tool is missing; CheckFailed where the compiler refuses
    the sources.
    """
    flags = _HOST_FLAGS + (_SANITIZERS if sanitize else ()) + _defines(taps=taps, poison=poison)
    build = _Build(
        name=name,
        title=f"{name} on the host",
        folder=folder,
        compiler=compiler or toolchain.require_host_compiler(),
        sources=_sources(folder, name, _HOST_SOURCES, (".c",)),
        generated=_generated(("network.h",), name=name),
        flags=flags,
        firmware_flags=(),
        link_flags=_SANITIZERS if sanitize else (),
        libraries=(),
    )
    return _program(build, build_dir, f"{name}-host")


def build_board(
    folder: Path,
    name: str,
    board: Board,
    build_dir: Path,
    *,
    taps: bool = False,
    profile: bool = False,
    rows: bool = False,
) -> Path:
    """The program for a board -> the ELF's path; its link map lies beside it. ``profile``: it counts the instructions
    of each layer, ``rows``: of what each row of the input sets off, where the network is fed rows.

    The weights go into the first of the board's memories with room for them. Mbv2genError where they, or the arena,
    fit nowhere.
    """
    flags = (f"-mcpu={board.core}", *board.flags, *_BOARD_FLAGS)
    flags += _defines(taps=taps, profile=profile, rows=rows)
    sources = _sources(folder, name, _BOARD_SOURCES, (".c", ".S"))
    for memory in board.weights:
        build = _Build(
            name=name,
            title=f"{name} on {board.name}",
            folder=folder,
            compiler=toolchain.require_arm_compiler(),
            sources=sources,
            generated=_generated(
                ("network.h", "board.h", "linker.ld"),
                name=name,
                board=board,
                weights_objects=f"{NETWORK_PREFIX}{name}_weights.*",
                weights_memory=memory,
            ),
            flags=flags,
            firmware_flags=_FIRMWARE_FLAGS,
            link_flags=(f"-mcpu={board.core}", "-mthumb", *board.flags, *_LINK_FLAGS),
            libraries=("-lgcc",),
        )
        try:
            return _program(build, build_dir, f"{name}-{board.name}")
        except _NoRoomError as error:
            if error.memory != memory or memory == board.weights[-1]:
                raise
    raise AssertionError("a board has a memory for the weights")


def _defines(**wanted: bool) -> tuple[str, ...]:
    """-DMBV2_... for each kind of build that is wanted."""
    names = {"taps": "MBV2_TAP", "profile": "MBV2_PROFILE", "rows": "MBV2_ROWS", "poison": "MBV2_POISON"}
    return tuple(f"-D{names[kind]}" for kind, is_wanted in wanted.items() if is_wanted)


class _NoRoomError(Mbv2genError):
    """The linker ran out of one of the board's memories."""

    def __init__(self, message: str, memory: str) -> None:
        super().__init__(message)
        self.memory = memory


def _sources(folder: Path, name: str, ours: Sequence[str], suffixes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(object file, source) of the network's files and of the firmware's, sorted."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise Mbv2genError(f"'{name}' is no name for a network: letters, digits and underscores, a letter first")
    if folder / f"{name}.h" not in _network_files(folder):
        raise Mbv2genError(f"{folder}: has no {name}.h; give a folder that 'mbv2gen compile' wrote")
    network = (file.name for file in _network_files(folder) if file.suffix in suffixes)
    return tuple((f"{NETWORK_PREFIX}{file}.o", f"network/{file}") for file in network) + tuple(
        (f"firmware_{file}.o", str(firmware_dir() / file)) for file in ours
    )


def _generated(files: Sequence[str], **values: object) -> tuple[tuple[str, str], ...]:
    """(file, text) of the templates FILE.j2 of firmware/."""
    environment = Environment(
        loader=FileSystemLoader(firmware_dir()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["hex"] = lambda value: f"0x{value:08x}"
    return tuple((file, environment.get_template(f"{file}.j2").render(**values)) for file in files)


def _program(build: _Build, build_dir: Path, prefix: str) -> Path:
    """The program's path; compiled and linked now unless its folder is there already."""
    home = build_dir / f"{prefix}-{_digest(build)}"
    if (home / PROGRAM).is_file():
        return home / PROGRAM
    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".building-", dir=build_dir))
    except OSError as error:
        raise Mbv2genError(f"{build_dir}: cannot be written ({error.strerror}); choose another build folder") from None
    try:
        _lay_out(build, work)
        _compile_and_link(build, work)
        try:
            work.rename(home)
        except OSError:  # another process was faster and made the same
            if not (home / PROGRAM).is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return home / PROGRAM


def _lay_out(build: _Build, work: Path) -> None:
    """A copy of the network in network/, so that no path of this machine gets into the program."""
    (work / "network").mkdir()
    for file in _network_files(build.folder):
        shutil.copyfile(file, work / "network" / file.name)
    for name, text in build.generated:
        (work / name).write_text(text, encoding="utf-8")


def _network_files(folder: Path) -> list[Path]:
    """The C of the network: what the compile wrote, and nothing that somebody put beside it."""
    files = (folder / file for file in sorted(output_folder.generated_files(folder)))
    return [file for file in files if file.suffix in (".c", ".S", ".h") and file.is_file()]


def _digest(build: _Build) -> str:
    """Of everything that can change the program: sources, headers, flags, compiler."""
    digest = hashlib.sha256()
    settings = (build.name, str(build.compiler), build.flags, build.firmware_flags, build.link_flags, build.generated)
    digest.update(repr(settings).encode())
    digest.update(_run((str(build.compiler), "--version"), Path.cwd()).stdout.encode())
    firmware = sorted(p for p in firmware_dir().iterdir() if p.suffix in (".c", ".h"))
    for file in _network_files(build.folder) + firmware:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _compile_and_link(build: _Build, work: Path) -> None:
    def compile_one(source: tuple[str, str]) -> None:
        obj, path = source
        flags = build.flags + (() if obj.startswith(NETWORK_PREFIX) else build.firmware_flags)
        command = (str(build.compiler), *flags, "-I.", f"-I{firmware_dir()}", "-c", path, "-o", obj)
        result = _run(command, work)
        if result.returncode:
            raise _compile_error(build, Path(path).name, result.stderr)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(compile_one, build.sources))
    objects = tuple(obj for obj, _ in build.sources)
    command = (str(build.compiler), *build.link_flags, *objects, *build.libraries, "-o", PROGRAM)
    result = _run(command, work)
    if result.returncode:
        raise _link_error(build, result.stderr)
    for obj in objects:
        (work / obj).unlink()


def _run(command: Sequence[str], where: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"}
    try:
        return subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise Mbv2genError(f"{command[0]}: cannot be run ({error.strerror})") from None


def _first_error(text: str) -> str:
    """The first line that says 'error' (paths shortened to file names), else the last line there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
    return re.sub(r"(?:[^\s:]*/)([^\s/:]+)", r"\1", line)


def _compile_error(build: _Build, source: str, stderr: str) -> Mbv2genError:
    if re.search(r"fatal error: (string|stdint|stddef|inttypes)\.h", stderr):
        return Mbv2genError(
            f"{build.compiler.name}: the C library's headers are missing; install them "
            "(Debian: apt-get install libnewlib-arm-none-eabi, or libc6-dev for the host)"
        )
    return CheckFailed(f"{source}: {build.compiler.name} refuses it: {_first_error(stderr)}")


def _link_error(build: _Build, stderr: str) -> Mbv2genError:
    overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", stderr)
    if overflow:
        memory, count = overflow.group(1), int(overflow.group(2))
        return _NoRoomError(
            f"{build.title}: {count:,} bytes too many for the board's {memory}; choose a larger board",
            memory,
        )
    if re.search(r"asan|ubsan|sanitizer", stderr):
        return Mbv2genError(
            f"{build.compiler.name}: has no address or undefined-behaviour sanitizer; "
            "install its sanitizer libraries, or build without them"
        )
    lines = [line for line in stderr.splitlines() if re.search(r"undefined reference|multiple definition|error", line)]
    return CheckFailed(f"{build.title}: cannot be linked: {_first_error(lines[0] if lines else stderr)}")
