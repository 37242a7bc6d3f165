# SPDX-License-Identifier: Apache-2.0
"""GdbServer: an image onto a board that a gdb server holds (OpenOCD, J-Link, st-util, QEMU), by a gdb in batch mode.

gdb knows the protocol: where the server's memory map says flash it erases, writes and waits (vFlashErase, vFlashWrite,
vFlashDone), elsewhere it writes memory.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.program_build import run_tool

_ADDRESS = re.compile(r"[\w.-]*:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}")
_LOADED, _STARTED = "MBV2 is loaded", "MBV2 is started"
_DIFFERS = re.compile(r"^Section (\S+), range .*MIS-MATCHED!$", re.MULTILINE)

# gdb leaves a script at the first error, so its last words tell whether it came to the end. Loading sets the program
# counter to the ELF's entry; the other two registers are what a reset gives, for servers that write no devices (QEMU).
# On others the core then resets itself, so that clocks and peripherals begin anew as well.
_SCRIPT = """\
set confirm off
set pagination off
set remotetimeout 2
set tcp connect-timeout 3
set mem inaccessible-by-default off
target remote {address}
set remotetimeout 30
load
echo MBV2 is loaded\\n
compare-sections
set $xpsr = 0x01000000
set $sp = *(unsigned int *){vectors:#x}
set {{unsigned int}}0xE000ED0C = 0x05FA0004
detach
echo MBV2 is started\\n
"""


@dataclass(frozen=True)
class GdbServer:
    """``address``: HOST:PORT; ``gdb``: the program that speaks to it."""

    address: str
    gdb: Path


def at(address: str) -> GdbServer:
    """The server there, not asked yet; Mbv2genError where that is not HOST:PORT, or there is no gdb."""
    if not _ADDRESS.fullmatch(address):
        raise Mbv2genError(f"--gdb {address}: is not HOST:PORT; for example localhost:3333, where OpenOCD listens")
    return GdbServer(address, toolchain.require_gdb())


def load(elf: Path, board: Board, server: GdbServer) -> None:
    """Load the ELF, read it back and start it.

    Mbv2genError where no server answers, or it refuses; CheckFailed where the board does not hold afterwards what was
    loaded.
    """
    vectors = board.memory(board.place.boot).origin
    script = _SCRIPT.format(address=server.address, vectors=vectors)
    with tempfile.TemporaryDirectory(prefix="mbv2gen-") as name:
        work = Path(name)
        (work / "load.gdb").write_text(script, encoding="utf-8")
        done = run_tool((str(server.gdb), "-nx", "-batch", "-x", "load.gdb", str(elf.resolve())), work)
    where = f"--gdb {server.address}"
    if _LOADED not in done.stdout:
        raise Mbv2genError(f"{where}: {_complaint(done.stderr)}; look at the server and what it says")
    differing = _DIFFERS.findall(done.stdout)
    if differing:
        raise CheckFailed(
            f"{where}: what was loaded reads back otherwise, in {', '.join(differing)}; is it a {board.name}?"
        )
    if _STARTED not in done.stdout:
        raise Mbv2genError(f"{where}: loaded, but does not start ({_complaint(done.stderr)}); reset the board")


def _complaint(stderr: str) -> str:
    """gdb's error, without its file and line; what it says before are warnings."""
    lines = [re.sub(r"^load\.gdb:\d+: *", "", line).strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if line != "Error in sourced command file:"]
    return told[-1].rstrip(".") if told else "gdb ends without a word"
