# SPDX-License-Identifier: Apache-2.0
"""ProgramBuild: a program of C sources, compiled and linked once.

It lies in a folder of its own, named by a hash of everything that went into it, so that building again is free.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mbv2gen import output_folder
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import toolchain
from mbv2gen.resources import firmware_dir

PROGRAM = "program.elf"
NETWORK_PREFIX = "network_"  # of the network's object files; everything else is the firmware's


@dataclass(frozen=True)
class Build:
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


class NoRoomError(Mbv2genError):
    """The linker ran out of one of the board's memories."""

    def __init__(self, message: str, memory: str) -> None:
        super().__init__(message)
        self.memory = memory


def program(build: Build, build_dir: Path, prefix: str) -> Path:
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


def _lay_out(build: Build, work: Path) -> None:
    """A copy of the network in network/, so that no path of this machine gets into the program."""
    (work / "network").mkdir()
    for file in network_files(build.folder):
        shutil.copyfile(file, work / "network" / file.name)
    for name, text in build.generated:
        (work / name).write_text(text, encoding="utf-8")


def network_files(folder: Path) -> list[Path]:
    """The C of the network: what the compile wrote, and nothing that somebody put beside it."""
    files = (folder / file for file in sorted(output_folder.generated_files(folder)))
    return [file for file in files if file.suffix in (".c", ".S", ".h") and file.is_file()]


def _digest(build: Build) -> str:
    """Of everything that can change the program: sources, headers, flags, compiler."""
    digest = hashlib.sha256()
    objects = tuple(obj for obj, _ in build.sources)
    settings = (build.name, str(build.compiler), build.flags, build.firmware_flags, build.link_flags, build.generated)
    digest.update(repr((*settings, objects)).encode())
    digest.update(run_tool((str(build.compiler), "--version"), Path.cwd()).stdout.encode())
    firmware = sorted(p for p in firmware_dir().iterdir() if p.suffix in (".c", ".h"))
    for file in network_files(build.folder) + firmware:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _compile_and_link(build: Build, work: Path) -> None:
    cache = toolchain.compiler_cache()

    def compile_one(source: tuple[str, str]) -> None:
        obj, path = source
        flags = build.flags + (() if obj.startswith(NETWORK_PREFIX) else build.firmware_flags)
        command = (*cache.words, str(build.compiler), *flags, "-I.", f"-I{firmware_dir()}", "-c", path, "-o", obj)
        result = run_tool(command, work, cache.variables)
        if result.returncode:
            raise _compile_error(build, Path(path).name, result.stderr)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(compile_one, build.sources))
    objects = tuple(obj for obj, _ in build.sources)
    command = (str(build.compiler), *build.link_flags, *objects, *build.libraries, "-o", PROGRAM)
    result = run_tool(command, work)
    if result.returncode:
        raise _link_error(build, result.stderr)
    for obj in objects:
        (work / obj).unlink()


def run_tool(
    command: Sequence[str], where: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``variables``: of the environment, besides this process's own."""
    environment = {**os.environ, "LC_ALL": "C", **(variables or {})}
    try:
        return subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise Mbv2genError(f"{command[0]}: cannot be run ({error.strerror})") from None


def first_error(text: str) -> str:
    """The first line that says 'error' (paths shortened to file names), else the last line there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
    return re.sub(r"(?:[^\s:]*/)([^\s/:]+)", r"\1", line)


def _compile_error(build: Build, source: str, stderr: str) -> Mbv2genError:
    if re.search(r"fatal error: (string|stdint|stddef|inttypes)\.h", stderr):
        return Mbv2genError(
            f"{build.compiler.name}: the C library's headers are missing; install them "
            "(Debian: apt-get install libnewlib-arm-none-eabi, or libc6-dev for the host)"
        )
    return CheckFailed(f"{source}: {build.compiler.name} refuses it: {first_error(stderr)}")


def _link_error(build: Build, stderr: str) -> Mbv2genError:
    overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", stderr)
    if overflow:
        memory, count = overflow.group(1), int(overflow.group(2))
        return NoRoomError(
            f"{build.title}: {count:,} bytes too many for the board's {memory}; choose a larger board",
            memory,
        )
    if re.search(r"asan|ubsan|sanitizer", stderr):
        return Mbv2genError(
            f"{build.compiler.name}: has no address or undefined-behaviour sanitizer; "
            "install its sanitizer libraries, or build without them"
        )
    lines = [line for line in stderr.splitlines() if re.search(r"undefined reference|multiple definition|error", line)]
    return CheckFailed(f"{build.title}: cannot be linked: {first_error(lines[0] if lines else stderr)}")
