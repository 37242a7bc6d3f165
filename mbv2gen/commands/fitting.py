# SPDX-License-Identifier: Apache-2.0
"""The command before there is a model: fit."""

from __future__ import annotations

from dataclasses import asdict

import rich_click as click

from mbv2gen import fit as fitting
from mbv2gen.commands import terminal
from mbv2gen.commands.terminal import Terminal
from mbv2gen.estimate_cache import EstimateCache
from mbv2gen.fit import Estimate, WidthFit, largest
from mbv2gen.hardware import boards
from mbv2gen.hardware.board import Board

RESOLUTION = click.IntRange(32, 512)


@click.command()
@click.option("--board", required=True, metavar="BOARD", help="See mbv2gen boards.")
@click.option("--classes", type=click.IntRange(1, 10_000), default=10, help="How many. [default: 10]")
@click.option("--feed", type=click.Choice(["frame", "rows"]), default="frame", help="How the input arrives.")
@click.option("--target", metavar="CORE", help="See mbv2gen targets. [default: the board's]")
@click.option(
    "--width", "widths", type=click.FloatRange(0.05, 2), multiple=True, help="Try only this; may be repeated."
)
@click.option("--resolution", "resolutions", type=RESOLUTION, multiple=True, help="Try only this; may be repeated.")
@terminal.options
def fit(
    board: str,
    classes: int,
    feed: str,
    *,
    target: str | None,
    widths: tuple[float, ...],
    resolutions: tuple[int, ...],
) -> None:
    """Tell which MobileNetV2 a board has room for, before anything is trained.

    For each width the largest resolution that fits, planned on random weights as compile plans by default. RAM is the
    arena and the board's stack; flash and instructions are estimates (docs/boards.md has how good they are). What has
    been planned once is kept in the user's cache folder.

    Example: mbv2gen fit --board nucleo-f446re --classes 5 --feed rows
    """
    screen, chosen = terminal.current(), boards.load(board)
    core = target or chosen.core
    with screen.progress(f"fit {board}") as tell:
        fits = fitting.fit(
            chosen,
            target=core,
            classes=classes,
            feed=feed,
            widths=widths or fitting.WIDTHS,
            resolutions=resolutions or fitting.RESOLUTIONS,
            cache=EstimateCache(),
            tell=tell,
        )
    best = largest(fits)
    columns = ("width", "resolution", "arena B", "RAM B", "flash B", "MAC", "instructions, estimated", "then lacks")
    title = f"MobileNetV2 of {classes} classes on {board} ({core}): {chosen.ram_bytes:,} B of RAM, "
    screen.table(
        f"{title}{chosen.flash_bytes:,} B of flash, --feed {feed}", columns, [_row(one, chosen) for one in fits]
    )
    _show_largest(screen, best, chosen)
    screen.document(
        {
            "board": board,
            "target": core,
            "classes": classes,
            "feed": feed,
            "ram_bytes": chosen.ram_bytes,
            "flash_bytes": chosen.flash_bytes,
            "stack_bytes": chosen.stack_bytes,
            "widths": [one.as_json() for one in fits],
            "largest": None if best is None else asdict(best),
        }
    )


def _row(one: WidthFit, board: Board) -> tuple[object, ...]:
    lacks = None
    if one.limit is not None:
        lacks = f"{one.limit}: {one.next_resolution} takes {one.next_bytes:,}"
    best = one.best
    if best is None:
        return one.width, None, None, None, None, None, None, lacks
    ram = fitting.ram_bytes(best, board)
    return (
        one.width, best.wish.resolution, best.arena_bytes, ram, best.flash_bytes, best.macs, best.instructions, lacks
    )  # fmt: skip


def _show_largest(screen: Terminal, best: Estimate | None, board: Board) -> None:
    if best is None:
        screen.line("none of these fits; fewer classes or a larger board")
        return
    seconds = best.instructions / board.clock_hz
    pace = f"; at one instruction a cycle and {board.clock_hz / 1e6:g} MHz {seconds:.2f} s a picture"
    if best.rows_per_mhz is not None:
        pace += f", and {best.rows_per_mhz * board.clock_hz / 1e6:,.0f} rows a second while it arrives"
    screen.line(f"the largest: width {best.wish.width:g} at {best.wish.resolution}x{best.wish.resolution}{pace}")


COMMANDS = (fit,)
