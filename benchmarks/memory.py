# SPDX-License-Identifier: Apache-2.0
"""The arena of MobileNetV2 at many sizes -> docs/memory.md. Plans only: needs neither compiler nor emulator."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import rich_click as click
import tables
from networks import DIGITS_NET, ROOT, Net, Seeded, load, trained_nets

from mbv2gen import candidates, program, program_interpreter, progress, targets
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.plan import Plan
from mbv2gen.planning import trade_offs
from mbv2gen.planning.objective import BALANCED, RAM, RECOMPUTING

FAST, SMALL = "cortex-m7", "cortex-m0"


@dataclass(frozen=True)
class Goal:
    """Bytes that a seeded network is to keep within: the simple plan's (``most``), the tight plan's (``aim``)."""

    frame_most: int
    frame_aim: int
    rows_most: int
    rows_aim: int
    rows_bound: int


# Computed beforehand for int8 tensors: three full rows a ring and a row-wide int16 tile (most), two rows and a few
# pixels and a tile of four pixels (aim), the least cut through the rows where no MAC is computed twice (bound).
GOALS = {
    (0.35, 96): Goal(31_000, 29_300, 18_300, 11_600, 8_832),
    (0.35, 128): Goal(53_500, 51_200, 26_100, 16_800, 13_824),
    (0.35, 144): Goal(67_500, 64_400, 30_700, 19_800, 16_704),
    (0.35, 160): Goal(83_000, 79_200, 35_300, 23_000, 19_840),
    (1.0, 96): Goal(52_100, 38_800, 42_000, 27_200, 21_216),
    (1.0, 224): Goal(209_000, 171_000, 138_000, 84_200, 69_888),
}

ELSEWHERE = (
    ("TensorFlow Lite Micro 90b983c2 with CMSIS-NN 4ab83cc3", 212_660, "arena; 138,240 of it activations"),
    ("TinyEngine 47bb283", 135_016, ".data + .bss; depthwise in place"),
    ("TinyEngine 47bb283, 3x3 patches", 102_760, "with the image; MACs are computed twice"),
    ("ExecuTorch 1.5.1, cortex_m", 138_240, "planned; the runtime comes on top"),
)


@dataclass(frozen=True)
class Planned:
    """One network, planned for one target and one way of feeding. ``seconds`` of CPU time, checks excluded.
    ``least_bytes``: the arena by --optimize ram; ``again_bytes``: the least where rows may be made again, in
    ``more_instructions`` by the contracts' estimates (0.1: 10 % more); None where no kernel can."""

    net: Net
    image_bytes: int
    row_bytes: int
    target: str
    feed: str
    arena_bytes: int
    least_bytes: int
    again_bytes: int | None
    more_instructions: float | None
    seconds: float

    @property
    def goal(self) -> Goal | None:
        return GOALS.get((self.net.width, self.net.resolution)) if isinstance(self.net, Seeded) else None


def nets(quick: bool) -> tuple[Net, ...]:
    if quick:
        return Seeded(0.35, 96), DIGITS_NET
    return (*(Seeded(*size, padding=padding) for size in GOALS for padding in ("torch", "same")), *trained_nets())


def plans(net: Net) -> tuple[Planned, ...]:
    """Frame and rows for both targets, each replayed by the checker that knows the owner of every byte."""
    network = load(net).quantized
    h, w, c = network.shape(network.inputs[0])
    made = []
    for target in (FAST, SMALL):
        started = time.process_time()
        known = ranges(network)
        kernels = candidates.candidates(network, targets.find(target).family, known)
        choosing = time.process_time() - started
        for feed in ("frame", "rows"):
            started = time.process_time()
            one = trade_offs.plan_for(network, kernels, BALANCED, feed=feed)
            seconds = choosing + time.process_time() - started
            least = trade_offs.plan_for(network, kernels, RAM, feed=feed)
            again = trade_offs.plan_for(network, kernels, RECOMPUTING, feed=feed) if target == FAST else None
            for planned in (one, least, again):
                if planned is not None:
                    program_interpreter.check_arena(program.program(network, planned, target, known))
            sizes = one.arena_bytes, least.arena_bytes, *against_least(again, least)
            made.append(Planned(net, h * w * c, w * c, target, feed, *sizes, seconds))
    return tuple(made)


def against_least(again: Plan | None, least: Plan) -> tuple[int | None, float | None]:
    """Bytes of a plan that makes rows again, and how many more instructions it takes; none where it saves nothing."""
    if again is None or again.arena_bytes >= least.arena_bytes:
        return None, None
    return again.arena_bytes, again.instructions / least.instructions - 1


def plan_all(chosen: tuple[Net, ...]) -> list[Planned]:
    """All networks, over all cores, in the order of ``chosen``."""
    made: dict[Net, tuple[Planned, ...]] = {}
    with progress.bar("plan") as tell, ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = {pool.submit(plans, net): net for net in chosen}
        for future in as_completed(futures):
            made[futures[future]] = future.result()
            tell(len(made), len(chosen))
    return [one for net in chosen for one in made[net]]


def against(arena_bytes: int, goal: int | None) -> list[object]:
    """Bytes, the goal, and how far above it they are."""
    if goal is None:
        return [arena_bytes, None, None]
    return [arena_bytes, goal, "within" if arena_bytes <= goal else f"{arena_bytes - goal:,} too many"]


def frame_rows(made: list[Planned]) -> list[list[object]]:
    small = {one.net: one for one in made if one.target == SMALL and one.feed == "frame"}
    rows: list[list[object]] = []
    for one in (one for one in made if one.target == FAST and one.feed == "frame"):
        goal = one.goal
        most = against(one.arena_bytes, goal and goal.frame_most)
        aim = against(one.least_bytes, goal and goal.frame_aim)
        seconds = f"{one.seconds:.1f} / {small[one.net].seconds:.1f}"
        rows.append([one.net.title, one.image_bytes, *most, *aim, small[one.net].arena_bytes, seconds])
    return rows


def fed_rows(made: list[Planned]) -> list[list[object]]:
    small = {one.net: one for one in made if one.target == SMALL and one.feed == "rows"}
    rows: list[list[object]] = []
    for one in (one for one in made if one.target == FAST and one.feed == "rows"):
        goal, with_row = one.goal, one.arena_bytes + one.row_bytes
        most = against(one.arena_bytes, goal and goal.rows_most)
        aim = against(one.least_bytes, goal and goal.rows_aim)
        bound = goal and goal.rows_bound
        seconds = f"{one.seconds:.1f} / {small[one.net].seconds:.1f}"
        small_bytes = small[one.net].arena_bytes
        rows.append([one.net.title, *most, one.row_bytes, with_row, *aim, bound, small_bytes, seconds])
    return rows


def again_rows(made: list[Planned]) -> list[list[object]]:
    fast = [one for one in made if one.target == FAST]
    rows: list[list[object]] = []
    for frame, fed in zip(fast[::2], fast[1::2], strict=True):
        row: list[object] = [frame.net.title]
        for one in (frame, fed):
            if one.again_bytes is None or one.more_instructions is None:
                row += [one.least_bytes, None, None, None]
                continue
            less = 1 - one.again_bytes / one.least_bytes
            row += [
                one.least_bytes,
                one.again_bytes,
                f"{100 * less:.1f} %",
                f"{100 * one.more_instructions:.1f} %",
            ]
        rows.append(row)
    return rows


def document(made: list[Planned]) -> list[str]:
    """The parts of docs/memory.md."""
    first = next(one for one in made if one.target == FAST and one.feed == "frame" and one.net == Seeded(0.35, 96))
    most, aim, last = ("Cortex-M7", "at most", ""), ("`ram`", "aim", ""), ("Cortex-M0", "planning, s (M7 / M0)")
    frame = ("net", "image", *most, *aim, *last)
    fed = ("net", *most, "caller's row", "sum", *aim, "bound", *last)
    columns = ("`ram`", "rows made again", "less", "more instructions")
    again = ("net", *(f"{feed}, {what}" for feed in ("frame", "rows") for what in columns))
    return [
        "# Memory",
        "Made by `make memory`; do not edit. Bytes of the arena: every tensor, ring, tile, padding and scratch of an "
        "inference is in it; the stack is not. 0.35 @ 96 is a MobileNetV2 of width 0.35 for 96x96 pictures in colour, "
        "1000 classes, weights from a seed, padding on all sides as torch has it or TensorFlow's SAME. Cortex-M7: the "
        "layouts of the DSP kernels, int16 tiles included; `ram`: the same by `--optimize ram`; Cortex-M0: plain "
        "kernels. Each plan was replayed by a checker that knows the owner of every byte. Planning in seconds of CPU "
        "time, checks and `ram` excluded.",
        "## Frame: the picture is in the arena",
        "Below the image nothing can go. *At most* is a simple plan (rings of three full rows, a row-wide int16 tile), "
        "*aim* a tight one (two rows and a few pixels, a tile of four pixels).",
        tables.table(frame, frame_rows(made)),
        "## 0.35 @ 96 elsewhere",
        "As measured on the same network with the engines named, arm-none-eabi-gcc 12.2; all hold the picture.",
        tables.table(("engine", "bytes", ""), [("mbv2gen", first.arena_bytes, "arena"), *ELSEWHERE]),
        "## Rows: the caller pushes them in, the picture never exists",
        "The caller needs a row of his own to push; the sum is what the two take. *Bound* is the least that any order "
        "of rows can need where no MAC is computed twice.",
        tables.table(fed, fed_rows(made)),
        "## Rows made again",
        "Below `ram` only plans go that make expanded rows again for each row of windows instead of keeping them: "
        "`--arena-limit` takes them where nothing else fits, `pareto` lists them. The least that they take on a "
        "Cortex-M7, and how many more instructions than `ram`, as the kernels' contracts estimate (docs/fusion.md "
        "counts some). A dash: they take no less.",
        tables.table(again, again_rows(made)),
    ]


@click.command()
@click.option("--quick", is_flag=True, help="Two networks only.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "memory.md", metavar="FILE")
def main(quick: bool, out: Path) -> None:
    """Plan networks of many sizes and write the table of their arenas."""
    try:
        tables.write(out, document(plan_all(nets(quick))))
    except Mbv2genError as error:
        click.echo(f"memory: error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"written: {out.name}")


if __name__ == "__main__":
    main()
