# SPDX-License-Identifier: Apache-2.0
"""How far `mbv2gen fit` is off: its estimates against programs that were linked for a board and run in QEMU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import rich_click as click
import tables
from networks import Seeded, load

from mbv2gen import compiler, csources, output_folder
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.fit import Estimate, Wish, estimate
from mbv2gen.hardware import boards, firmware, image_sizes, runner
from mbv2gen.hardware.board import Board
from mbv2gen.pixels import network_inputs

NETS = (
    Seeded(0.1, 48, classes=10),
    Seeded(0.35, 64, classes=10),
    Seeded(0.35, 96, classes=1000),
    Seeded(0.5, 96, classes=10),
)
BOARDS = ("mps2-an500", "mps2-an385")


def measured(net: Seeded, board: Board, work: Path) -> tuple[int, int, int]:
    """Bytes of arena and of flash as linked, and instructions of one input of noise."""
    network, options = load(net).quantized, Options(target=board.core)
    known = ranges(network)
    complete = compiler.complete_program(network, compiler.plan_network(network, options, known), options, known)
    files = {file: text.encode() for file, text in csources.render(complete, network.name, "fit").items()}
    folder = output_folder.write_folder(work / f"{network.name}-{board.name}", network.name, files)
    elf = firmware.build_board(folder.path, folder.name, board, folder.builds)
    result = runner.run(elf, network_inputs.synthetic(network, 1), board=board)
    assert result.instructions is not None
    return result.arena_bytes, image_sizes.image_sizes(elf, folder.name).flash_bytes, result.instructions[0]


def compared(estimated: int, counted: int) -> list[object]:
    return [estimated, counted, f"{100 * (estimated / counted - 1):+.1f} %"]


@click.command()
@click.option("--quick", is_flag=True, help="The smallest network only.")
def main(quick: bool) -> None:
    """Print the table of docs/boards.md."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as work:
        for net in NETS[: 1 if quick else None]:
            for board in map(boards.load, BOARDS):
                made: Estimate = estimate(Wish(net.width, net.resolution, net.classes, board.core, "frame"))
                arena, flash, instructions = measured(net, board, Path(work))
                assert made.arena_bytes == arena
                name = f"{net.title}, {net.classes} classes"
                rows.append([name, board.core, *compared(made.flash_bytes, flash)])
                rows[-1] += compared(made.instructions, instructions)
    columns = ("network", "core", "flash", "linked", "", "instructions", "counted", "")
    click.echo(tables.table(columns, rows))


if __name__ == "__main__":
    main()
