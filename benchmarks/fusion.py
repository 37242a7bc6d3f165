# SPDX-License-Identifier: Apache-2.0
"""What running row by row costs: the same kernels in segments and layer by layer, on the emulated Cortex-M7; and what
the least memory costs, by --optimize ram against speed -> docs/fusion.md."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich_click as click
import tables
from measurement import SECONDS_WITHOUT_OUTPUT, written
from networks import DIGITS_NET, ROOT, Loaded, Net, Seeded, load, trained_nets

from mbv2gen import candidates, compiler, int8_reference, progress, targets
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import Ranges, ranges
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, runner, toolchain
from mbv2gen.pixels import network_inputs
from mbv2gen.plan import Plan, plan
from mbv2gen.planning import trade_offs
from mbv2gen.planning.kernels import split_blocks
from mbv2gen.planning.objective import BALANCED, RAM, RECOMPUTING, SPEED, Objective

BOARD = "mps2-an500"
NETS = (Seeded(0.35, 96), Seeded(0.35, 144), Seeded(1.0, 96))
TRAINED = ("digits", "flowers_w035_r96", "st_flowers_w035_r128")


@dataclass(frozen=True)
class Fused:
    """One network, twice: arena bytes and instructions."""

    net: Net
    fused_bytes: int
    fused: int
    unfused_bytes: int
    unfused: int


@dataclass(frozen=True)
class Saved:
    """One network by --optimize speed and ram, and with rows made again: arena bytes and instructions."""

    net: Net
    feed: str
    speed_bytes: int
    speed: int
    ram_bytes: int
    ram: int
    again_bytes: int
    again: int


@dataclass(frozen=True)
class Split:
    """One network by an objective that takes expanded channels in groups, and without such kernels."""

    net: Net
    feed: str
    objective: str
    groups: tuple[int, ...]  # of each block that is split
    whole_bytes: int
    whole: int
    split_bytes: int
    split: int


def save(net: Net, feed: str, work: Path) -> tuple[Saved, list[Split]]:
    loaded, known = load(net), ranges(load(net).quantized)
    options = Options(target=boards.load(BOARD).core, feed=feed)
    kernels = candidates.candidates(loaded.quantized, targets.find(options.target).family, known)
    whole = {name: tuple(one for one in found if one.contract.groups == 1) for name, found in kernels.items()}

    def counted(kernels: trade_offs.Options, aim: Objective, name: str) -> tuple[Plan, int]:
        planned = trade_offs.plan_for(loaded.quantized, kernels, aim, feed=feed)
        return planned, instructions(loaded, planned, options, known, work / f"{name}-{feed}")

    made = {aim.name: counted(kernels, aim, aim.name) for aim in (SPEED, BALANCED, RAM, RECOMPUTING)}
    splits = []
    for aim in (BALANCED, RAM):
        planned, count = made[aim.name]
        if groups := split_blocks(planned.candidates):
            other, without = counted(whole, aim, f"{aim.name}-whole")
            splits.append(Split(net, feed, aim.name, groups, other.arena_bytes, without, planned.arena_bytes, count))
    sizes = [
        number for aim in (SPEED, RAM, RECOMPUTING) for number in (made[aim.name][0].arena_bytes, made[aim.name][1])
    ]
    return Saved(net, feed, *sizes), splits


def compare(net: Net, work: Path) -> Fused:
    loaded = load(net)
    options, known = Options(target=boards.load(BOARD).core), ranges(loaded.quantized)
    fused = compiler.plan_network(loaded.quantized, options, known)
    unfused = plan(loaded.quantized, fused.candidates, fuse=False)
    counts = [instructions(loaded, one, options, known, work / name) for one, name in ((fused, "a"), (unfused, "b"))]
    return Fused(net, fused.arena_bytes, counts[0], unfused.arena_bytes, counts[1])


def instructions(loaded: Loaded, planned: Plan, options: Options, known: Ranges, work: Path) -> int:
    """Of one inference; raises CheckFailed where its output is not NumPy's."""
    board = boards.load(BOARD)
    complete = compiler.complete_program(loaded.quantized, planned, options, known)
    folder = written(loaded, planned, complete, work / loaded.name)
    elf = firmware.build_board(folder.path, folder.name, board, folder.builds)
    inputs = network_inputs.synthetic(loaded.quantized, 1)
    ran = runner.run(elf, inputs, board=board, title=loaded.name, timeout_seconds=SECONDS_WITHOUT_OUTPUT)
    if not np.array_equal(ran.outputs, int8_reference.run_outputs(loaded.quantized, inputs).reshape(1, -1)):
        raise CheckFailed(f"{loaded.name} on {board.name}: output is not NumPy's")
    return max(ran.instructions)


def again_row(one: Saved) -> list[object]:
    if one.again_bytes >= one.ram_bytes:
        return [one.net.title, one.feed, None, None, None, None]
    less, more = 100 * (1 - one.again_bytes / one.ram_bytes), 100 * (one.again / one.ram - 1)
    return [one.net.title, one.feed, one.again_bytes, one.again, f"{less:.1f} %", f"{more:+.2f} %"]


def split_row(one: Split) -> list[object]:
    blocks = ", ".join(f"{count} in {groups}" for groups, count in sorted(Counter(one.groups).items()))
    faster = f"{100 * (one.split / one.whole - 1):+.2f} %"
    sizes = (one.whole_bytes, one.whole, one.split_bytes, one.split)
    return [one.net.title, one.feed, f"`{one.objective}`", blocks, *sizes, faster]


def document(made: list[Fused], saved: list[Saved], splits: list[Split]) -> list[str]:
    rows = [
        [one.net.title, one.unfused_bytes, one.unfused, one.fused_bytes, one.fused,
         f"{100 * (one.fused / one.unfused - 1):+.2f} %"]
        for one in made
    ]  # fmt: skip
    ways = ("layer by layer", "row by row")
    columns = ("net", *(f"{what}, {way}" for way in ways for what in ("arena", "instructions")), "more")
    return [
        "# Fusion",
        "Made by `make fusion`; do not edit. The same kernels on the emulated Cortex-M7 (QEMU), the picture in the "
        "arena: once layer by layer, every tensor whole, once in segments, row by row, as `compile` plans. Both "
        "outputs are byte for byte NumPy's. At most 3 % more instructions were allowed; there are fewer, because a "
        "ring of lines has its padding cleared once a slot, a whole tensor once a row.",
        tables.table(columns, rows),
        "## The least memory",
        "`--optimize ram` takes tight kernels where the arena is decided, four pixels a unit, and no wide ones where "
        "these need more; `speed` the fastest. *Frame*: the picture is in the arena; *rows*: the caller pushes them.",
        tables.table(
            ("net", "feed", "arena, speed", "instructions, speed", "arena, ram", "instructions, ram",
             "less memory", "more instructions"),
            [[one.net.title, one.feed, one.speed_bytes, one.speed, one.ram_bytes, one.ram,
              f"{100 * (1 - one.ram_bytes / one.speed_bytes):.1f} %", f"{100 * (one.ram / one.speed - 1):+.2f} %"]
             for one in saved],
        ),
        "## Expanded channels in groups",
        "Late blocks on small planes may make, convolve and use up their expanded channels in groups, one after the "
        "other, with int32 sums of the outputs in between (the paper's t-way split). Where a plan takes it, against "
        "the plan that the same objective finds without it.",
        tables.table(
            ("net", "feed", "objective", "blocks in groups", "arena, without", "instructions, without", "arena",
             "instructions", "more instructions"),
            [split_row(one) for one in splits],
        ),
        "## Rows made again",
        "Below that only plans go that make expanded rows again for each row of windows (`--arena-limit`): the least "
        "that they take, against `ram`. A dash: no less.",
        tables.table(
            ("net", "feed", "arena", "instructions", "less memory", "more instructions"),
            [again_row(one) for one in saved],
        ),
    ]  # fmt: skip


@click.command()
@click.option("--quick", is_flag=True, help="The digits alone.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "fusion.md", metavar="FILE")
@click.option("--work", type=click.Path(path_type=Path), default=ROOT / "build" / "fusion", metavar="FOLDER")
def main(quick: bool, out: Path, work: Path) -> None:
    """Measure networks row by row and layer by layer and write the table."""
    nets: tuple[Net, ...] = (*NETS, *(net for net in trained_nets() if net.title in TRAINED))
    try:
        toolchain.require_arm_compiler()
        toolchain.require_qemu()
        chosen = (DIGITS_NET,) if quick else nets
        made, saved, splits = [], [], []
        with progress.bar("measure") as tell:
            for done, net in enumerate(chosen):
                made.append(compare(net, work))
                for feed in ("frame", "rows"):
                    one, split = save(net, feed, work)
                    saved.append(one)
                    splits += split
                tell(done + 1, len(chosen))
        tables.write(out, document(made, saved, splits))
    except Mbv2genError as error:
        click.echo(f"fusion: error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"written: {out.name}")


if __name__ == "__main__":
    main()
