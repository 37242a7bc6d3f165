# SPDX-License-Identifier: Apache-2.0
"""Boards at the end of a serial line: a process behind a pseudo-terminal, and an emulated one behind a socket."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mbv2gen.hardware import firmware, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.program_build import network_files
from mbv2gen.output_folder import OutputFolder
from mbv2gen.resources import firmware_dir

HARNESS = Path(__file__).parent / "serial_harness"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")


def build_process(folder: Path, name: str, work: Path, *, taps: bool = False) -> Path:
    """firmware/port_serial.c and a network as a program of this machine, under sanitizers."""
    work.mkdir(parents=True)
    (work / "network").symlink_to(folder.absolute())
    values = {"name": name, "compile": firmware.compile_number(folder, name)}
    for file, text in firmware._generated(("network.h",), **values):
        (work / file).write_text(text, encoding="utf-8")
    ours = ("main.c", "port_serial.c", "measure_none.c", *(("tap_crcs.c",) if taps else ()))
    sources = [str(firmware_dir() / file) for file in ours] + [str(HARNESS / "startup.c")]
    options = [*WARNINGS, *SANITIZERS, "-Dmain=network_main", *(("-DMBV2_TAP",) if taps else ())]
    sources += [f"network/{file.name}" for file in network_files(folder) if file.suffix == ".c"]
    folders = (f"-I{work}", f"-I{HARNESS}", f"-I{firmware_dir()}")
    compiler = str(toolchain.require_host_compiler())
    command = [compiler, "-std=gnu11", "-O1", "-g", *options, *folders, *sources, "-o", "program"]
    subprocess.run(command, cwd=work, check=True)
    return work / "program"


@contextmanager
def process_on_pty(program: Path) -> Iterator[str]:
    """The program behind a pseudo-terminal -> the device at the other end."""
    board_end, our_end = pty.openpty()
    tty.setraw(our_end)
    process = subprocess.Popen([program], stdin=board_end, stdout=board_end)
    try:
        yield os.ttyname(our_end)
    finally:
        process.kill()
        process.wait()
        os.close(board_end)
        os.close(our_end)


@contextmanager
def emulated(elf: Path, board: Board) -> Iterator[str]:
    """The program in QEMU, its console a TCP server -> pyserial's URL of it."""
    with _emulated(board, "-kernel", str(elf)) as url:
        yield url


@contextmanager
def empty(board: Board) -> Iterator[tuple[str, str]]:
    """A board in QEMU, halted at reset, with nothing in its memories -> pyserial's URL of its console, and HOST:PORT of
    QEMU's gdb server."""
    gdb = f"127.0.0.1:{free_port()}"
    with _emulated(board, "-S", "-gdb", f"tcp:{gdb}") as url:
        yield url, gdb


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _emulated(board: Board, *words: str) -> Iterator[str]:
    emulator, port = board.require_emulator(), free_port()
    others = [word for _ in range(emulator.serial) for word in ("-serial", "null")]
    command = [
        str(toolchain.require_qemu()), "-machine", emulator.machine, "-icount", f"shift={emulator.icount_shift}",
        "-display", "none", "-monitor", "none", *others, "-serial", f"tcp:127.0.0.1:{port},server=on,wait=off",
        *words,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        connected(port).close()
        yield f"socket://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def connected(port: int) -> socket.socket:
    """A connection to a server of this machine, once it listens."""
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nobody listens at port {port}")


def serial_image(folder: OutputFolder, board: Board, kind: str) -> Path:
    return firmware.build_serial(folder.path, folder.name, board, folder.builds, kind)
