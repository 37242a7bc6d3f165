# SPDX-License-Identifier: Apache-2.0
"""Commands that bring what compile has written onto a board: firmware, flash."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from mbv2gen.commands import terminal
from mbv2gen.commands.terminal import percent
from mbv2gen.hardware import board as board_description
from mbv2gen.hardware import boards, flashing, gdb_server, image
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.firmware import SERIAL_BUILDS
from mbv2gen.output_folder import open_folder

FILE = click.Path(path_type=Path)
OUT = click.argument("out", type=FILE)
PLACE = click.option(
    "--place", metavar="WHAT=MEMORY,...", help="What lies where: arena, weights, code, data. [default: the board's]"
)
SERIAL = click.option(
    "--serial",
    type=click.Choice(SERIAL_BUILDS),
    help="An image that is spoken to by --on serial:PORT: plain for run and verify, taps for bisect, profile.",
)


def _board(name: str, place: str | None) -> Board:
    chosen = boards.load(name)
    return chosen if place is None else board_description.placed(chosen, place)


@click.command()
@OUT
@click.option("--board", required=True, metavar="BOARD", help="See mbv2gen boards.")
@click.option("-o", "--output", "folder", type=FILE, help="Where to write. [default: OUT-BOARD]")
@PLACE
@SERIAL
@terminal.options
def firmware(out: Path, board: str, *, folder: Path | None, place: str | None, serial: str | None) -> None:
    """Build an image for a board on its own: ELF, binary, Intel HEX, and how it fills the memories.

    It runs the network on a made-up input, compares the output with NumPy's, and tells the result, cycles and the
    high-water marks of stack and arena by the board's serial line, 115,200 baud. With --serial it waits at that line to
    be asked, by run, verify, bisect and profile --on serial:PORT.

    Example: mbv2gen firmware build/flowers --board nucleo-h743zi --place arena=dtcm,code=itcm
    """
    screen, chosen = terminal.current(), _board(board, place)
    written = image.write(open_folder(out), chosen, folder or out.with_name(f"{out.name}-{board}"), serial)
    rows = [(use.memory, use.used_bytes, use.length, percent(use.used_bytes / use.length)) for use in written.memories]
    screen.table(f"{written.elf.stem}", ("memory", "used B", "of B", ""), rows)
    for file in (written.elf, written.binary, written.hex):
        screen.line(f"{file}: {file.stat().st_size:,} B")
    screen.document(
        {
            "board": board,
            "files": [str(file) for file in (written.elf, written.binary, written.hex)],
            "memories": [{"name": u.memory, "used_bytes": u.used_bytes, "bytes": u.length} for u in written.memories],
        }
    )


@click.command()
@click.argument("out", type=FILE, required=False)
@click.option("--board", metavar="BOARD", help="See mbv2gen boards.")
@click.option("--probe", metavar="ID", help="Which debug probe. [default: the only one]")
@click.option(
    "--gdb", metavar="HOST:PORT", help="A gdb server that has the board (OpenOCD, J-Link, QEMU), in place of a probe."
)
@click.option("--list", "only_list", is_flag=True, help="List the debug probes that are plugged in.")
@PLACE
@SERIAL
@terminal.options
def flash(
    out: Path | None,
    board: str | None,
    *,
    probe: str | None,
    gdb: str | None,
    only_list: bool,
    place: str | None,
    serial: str | None,
) -> None:
    """Build the image of mbv2gen firmware, program it into the board's flash, and start it.

    By pyOCD, for which it needs pip install 'mbv2gen[flash]', or with --gdb by arm-none-eabi-gdb or gdb-multiarch.

    Example: mbv2gen flash build/flowers --board nucleo-h743zi
    """
    screen = terminal.current()
    if only_list:
        found = flashing.probes()
        screen.table("Debug probes", ("probe", "description"), [(p.unique_id, p.description) for p in found])
        screen.document([{"probe": p.unique_id, "description": p.description} for p in found])
        return
    if out is None or board is None:
        raise click.UsageError("give OUT and --board, or --list", click.get_current_context())
    if probe is not None and gdb is not None:
        raise click.UsageError("--probe is pyOCD's; with --gdb the server has chosen", click.get_current_context())
    chosen, source = _board(board, place), open_folder(out)
    if gdb is not None:
        server = gdb_server.at(gdb)
        elf, by, how = image.build(source, chosen, serial), f"the gdb server at {gdb}", {"gdb": gdb}
        with screen.progress(f"flash {board}"):
            gdb_server.load(elf, chosen, server)
    else:
        flashing.target_name(chosen)
        found_probe = flashing.choose_probe(probe)
        elf, by, how = image.build(source, chosen, serial), found_probe.description, {"probe": found_probe.unique_id}
        with screen.progress(f"flash {board}"):
            flashing.flash(elf, chosen, found_probe)
    screen.line(f"{out}: programmed into {board} by {by}, and started")
    screen.document({"board": board, **how})


COMMANDS = (firmware, flash)
