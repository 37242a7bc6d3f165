# SPDX-License-Identifier: Apache-2.0
"""Instructions, bytes and exactness on the emulated boards -> docs/benchmarks.md: each row is one ELF."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import rich_click as click
import tables
from measurement import Expected, Measured, expected, measure
from networks import DIGITS_NET, ROOT, Net, Seeded, load, random_and_real, trained_nets

from mbv2gen import progress
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, toolchain
from mbv2gen.planning.objective import OBJECTIVES

FAST_BOARDS = ("mps2-an386", "mps2-an500", "mps2-an505")
PLAIN_BOARDS = ("microbit", "mps2-an385")
FEEDS = ("frame", "rows")
PROFILED = "frame"
SEEDED = (Seeded(0.35, 96), Seeded(0.35, 144), Seeded(1.0, 96))
BENCHED = ("digits", "flowers_w035_r96", "st_flowers_w035_r128")

# MobileNetV2 0.35 @ 96, 1000 classes, 11.93 M MAC, Cortex-M7: (engine, RAM, instructions, per MAC, equal to TFLite).
ELSEWHERE = (
    ("TensorFlow Lite Micro 90b983c2 + CMSIS-NN 4ab83cc3 (core -Os, kernels -O2)", "212,660 + 1,028 stack",
     "48.9 M", "4.10", "yes"),
    ("the same, clang 14 -O3", "", "43.3 M", "3.63", "yes"),
    ("TinyEngine 47bb283, float requantization (-O3)", "135,016 + 516", "37.5 M", "3.14", "no"),
    ("TinyEngine 47bb283, integer requantization", "135,016 + 504", "47.6 M", "3.99", "yes"),
    ("TinyEngine 47bb283, 3x3 patches", "102,760 with the image", "51.4 M", "4.31", "yes"),
    ("emx-onnx-cgen 1.4.0, float", "4,101,512 stack", "74.2 M", "6.2", "-"),
)  # fmt: skip

COLUMNS = (
    "net", "core", "feed", "arena", "stack", "instructions", "per MAC", "same for all inputs", "code", "weights",
    "parameters", "a channel", "bytes off NumPy", "off TFLite Micro", "general channels", "in plain kernels",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One ELF to be made."""

    net: Net
    board: str
    feed: str
    inputs: int  # of random and of real ones, each
    optimize: str | None = None


def tasks(quick: bool, only_nets: tuple[str, ...], only_boards: tuple[str, ...]) -> tuple[Task, ...]:
    """What the names leave of everything, or of the quick part; Mbv2genError where that is nothing."""
    everything = _quick_tasks() if quick else _all_tasks()
    left = tuple(
        task
        for task in everything
        if (not only_nets or task.net.title in only_nets) and (not only_boards or task.board in only_boards)
    )
    if not left:
        titles = ", ".join(dict.fromkeys(task.net.title for task in everything))
        on = ", ".join(dict.fromkeys(task.board for task in everything))
        raise Mbv2genError(f"--net, --board: leave nothing to measure; there are the networks {titles} on {on}")
    return left


def _quick_tasks() -> tuple[Task, ...]:
    return Task(DIGITS_NET, "mps2-an500", "rows", 1), Task(DIGITS_NET, "microbit", "frame", 1)


def _all_tasks() -> tuple[Task, ...]:
    """The plain kernels on the small boards with the digits alone."""
    nets: tuple[Net, ...] = (*SEEDED, *(net for net in trained_nets() if net.title in BENCHED))
    fast = tuple(Task(net, board, feed, 5) for net in nets for board in FAST_BOARDS for feed in FEEDS)
    return fast + tuple(Task(DIGITS_NET, board, feed, 3) for board in PLAIN_BOARDS for feed in FEEDS)


def measure_net(of_one_net: tuple[Task, ...], work: Path) -> list[Measured]:
    """All tasks of one network, which is loaded and computed once."""
    loaded = load(of_one_net[0].net)
    most = max(task.inputs for task in of_one_net)
    known = expected(loaded.quantized, random_and_real(loaded, most))
    made = []
    for task in of_one_net:
        chosen = [*range(task.inputs), *range(most, most + task.inputs)]
        part = Expected(known.inputs[chosen], known.numpy[chosen], known.tflite_micro[chosen])
        board = boards.load(task.board)
        with_kernels = task.feed == PROFILED
        made.append(measure(loaded, part, board, task.feed, work, with_kernels=with_kernels, optimize=task.optimize))
    return made


def measure_all(chosen: tuple[Task, ...], work: Path) -> list[Measured]:
    """All tasks in their order; networks side by side over the machine's cores."""
    nets = list(dict.fromkeys(task.net for task in chosen))
    made: dict[Net, list[Measured]] = {}
    with progress.bar("measure") as tell, ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = {
            pool.submit(measure_net, tuple(task for task in chosen if task.net == net), work): net for net in nets
        }
        for future in as_completed(futures):
            made[futures[future]] = future.result()
            tell(sum(map(len, made.values())), len(chosen))
    return [one for net in nets for one in made[net]]


def core(one: Measured) -> str:
    return one.board.core.removeprefix("cortex-").upper()


def result_row(one: Measured) -> list[object]:
    counts = one.result.instructions
    return [
        one.loaded.net.title,
        core(one),
        one.feed,
        one.result.arena_bytes,
        one.result.stack_bytes,
        max(counts) if counts else None,
        one.per_mac,
        one.is_constant,
        one.code_bytes,
        one.weights_bytes,
        one.parameters_bytes,
        f"{one.parameters_bytes / one.output_channels:.1f}",
        one.off_numpy,
        one.off_tflite_micro,
        f"{one.general_channels:,} of {one.channels:,}" if one.channels else None,
        f"{one.plain_calls} layers, {100 * one.plain_macs / one.loaded.macs:.1f} %" if one.channels else "all",
    ]


def kernel_rows(made: list[Measured]) -> list[list[object]]:
    rows: list[list[object]] = []
    for one in made:
        whole = sum(kernel.instructions for kernel in one.kernels)
        for kernel in one.kernels:
            ratio = kernel.instructions / kernel.macs if kernel.macs else None
            share = f"{100 * kernel.instructions / whole:.1f} %"
            rows.append(
                [one.loaded.net.title, core(one), f"`mbv2_{kernel.body}`", kernel.calls, kernel.macs,
                 kernel.instructions, ratio, share]
            )  # fmt: skip
    return rows


def document(made: list[Measured]) -> list[str]:
    """The parts of docs/benchmarks.md."""
    nets = {one.loaded.net.title: one.loaded for one in made}
    listed = [[title, "x".join(map(str, loaded.quantized.shape(loaded.quantized.inputs[0]))), loaded.macs]
              for title, loaded in nets.items()]  # fmt: skip
    return [
        "# Benchmarks",
        "Made by `make bench`; do not edit. Instructions are counted exactly, in QEMU; they are not cycles. Each row "
        "of the first table is one ELF: its arena, the deepest stack of `NAME_run`, the instructions of its longest "
        "inference, its code, weights and all other constants (biases, multipliers, tables, literals; *a channel*: "
        "over the output channels of all layers with weights), and the output bytes that differ from NumPy and from "
        "TensorFlow Lite Micro over made-up inputs and as many real pictures. *General channels* run on the fallback "
        "body of a fast kernel; the last column has the layers that run in plain kernels, and their share of the MACs.",
        "## Networks",
        "0.35 @ 96: MobileNetV2 of that width and resolution, 1000 classes, weights from a seed. MACs are counted on "
        "the ONNX file, those of seeded networks by the paper's table.",
        tables.table(("net", "input", "MACs"), listed),
        "## One ELF a row",
        tables.table(COLUMNS, [result_row(one) for one in made]),
        "## To compare: 0.35 @ 96 on a Cortex-M7, elsewhere",
        "Measured on the same network, with the same emulator and arm-none-eabi-gcc 12.2 where nothing else is said.",
        tables.table(("engine", "RAM", "instructions", "per MAC", "equal to TFLite"), ELSEWHERE),
        "## By kernel",
        f"From builds that read the timer between layers, fed by {PROFILED}; the first input.",
        tables.table(
            ("net", "core", "kernel", "calls", "MACs", "instructions", "per MAC", "of all"), kernel_rows(made)
        ),
    ]


def check_exact(made: list[Measured]) -> None:
    """Raises CheckFailed where a single byte differs."""
    for one in made:
        if one.off_numpy or one.off_tflite_micro:
            raise CheckFailed(f"{one.loaded.name} on {one.board.name}, {one.feed}: output is not the reference's")


@click.command()
@click.option("--quick", is_flag=True, help="The digits alone, on two boards.")
@click.option("--net", multiple=True, metavar="NET", help="This network alone; may be given again.")
@click.option("--board", multiple=True, metavar="BOARD", help="This board alone; may be given again.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "benchmarks.md", metavar="FILE")
@click.option("--work", type=click.Path(path_type=Path), default=ROOT / "build" / "bench", metavar="FOLDER")
@click.option("--optimize", type=click.Choice(sorted(OBJECTIVES)), help="As compile takes it.")
def main(
    quick: bool, net: tuple[str, ...], board: tuple[str, ...], out: Path, work: Path, optimize: str | None
) -> None:
    """Build, run and measure networks on emulated boards and write the tables."""
    try:
        toolchain.require_arm_compiler()
        toolchain.require_qemu()
        chosen = tuple(replace(task, optimize=optimize) for task in tasks(quick, net, board))
        made = measure_all(chosen, work)
        tables.write(out, document(made))
        check_exact(made)
    except Mbv2genError as error:
        click.echo(f"bench: error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"written: {out.name}")


if __name__ == "__main__":
    main()
