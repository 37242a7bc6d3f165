# SPDX-License-Identifier: Apache-2.0
"""Commands that begin with nothing, or with a model to compile: compile, targets, boards, demo."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import rich_click as click

from mbv2gen import api, compiler, demo, output_folder, profiling, targets
from mbv2gen.commands import terminal
from mbv2gen.commands.byte_count import ByteCount
from mbv2gen.commands.calibration_options import calibration_options
from mbv2gen.commands.terminal import Terminal, percent
from mbv2gen.demo import Demo
from mbv2gen.hardware import boards
from mbv2gen.packages import kinds
from mbv2gen.packages import package as packages
from mbv2gen.planning.objective import OBJECTIVES
from mbv2gen.quantization.exports import EXPORTS
from mbv2gen.report import Report

FILE = click.Path(path_type=Path)


@click.command("compile")
@click.argument("model", type=FILE)
@click.option("--target", metavar="CORE", help="The core; see mbv2gen targets. [default: the board's, or cortex-m7]")
@calibration_options
@click.option("-o", "--output", "folder", type=FILE, required=True, help="The folder to write.")
@click.option("--name", help="Prefix of all symbols and files. [default: from the file's name]")
@click.option("--emit", type=click.Choice(list(EXPORTS)), multiple=True, help="Write this file too, for other tools.")
@click.option("--feed", type=click.Choice(["frame", "rows"]), default="frame", help="How the input arrives.")
@click.option("--keep-input", is_flag=True, help="A run leaves the input in the arena as it is.")
@click.option(
    "--input-align", type=int, metavar="BYTES",
    help="The input in the arena at a multiple of it; 32 where a DMA fills it beside a data cache.",
)  # fmt: skip
@click.option(
    "--optimize", type=click.Choice(list(OBJECTIVES)), help="What counts first; see below. [default: balanced]"
)
@click.option(
    "--arena-limit", type=ByteCount(), metavar="BYTES", help="The fastest plan in so much: 30000, 30k, 32KiB."
)
@click.option("--board", metavar="BOARD", help="Refuse what does not fit this board; see mbv2gen boards.")
@click.option(
    "--package", type=click.Choice(list(kinds.NAMES)), multiple=True, help="Lay out as OUT/packages/KIND too."
)
@terminal.options
def compile_(model: Path, folder: Path, package: tuple[str, ...], **options: Any) -> None:
    """Compile a model: quantize it to int8, plan its memory, write C.

    A model that is quantized already (QDQ, QOperator) keeps its own scales and needs no --calibration.

    --optimize ram: the least arena. speed: the fewest instructions. balanced: the fastest kernels with which the arena
    does not grow. size: the fewest kernel bodies.

    Example: mbv2gen compile flowers.onnx --target cortex-m7 --calibration images/ -o build/flowers
    """
    out = terminal.current()
    with out.progress("calibrate") as tell:
        result = api.compile(model, output=folder, progress=tell, **options)
    for warning in result.warnings:
        out.warn(warning)
    for kind in package:
        packages.write([output_folder.open_folder(folder)], kinds.find(kind), folder / "packages" / kind)
    report, program = result.report, result.program
    out.document({"output": str(folder), "name": result.name, "warnings": result.warnings, "report": report})
    out.line(f"{folder}: {len(result.files)} files, network '{result.name}' for {program.target}")
    held = "a ring of input rows" if program.is_fed else "the input"
    asked = " ".join(["", *compiler.planning_words(options["optimize"], options["arena_limit"])])
    out.line(f"RAM    {program.arena_bytes:,} B arena, {held} included{asked and f'; by{asked}'}")
    out.line(f"flash  {program.weights_bytes:,} B of weights, {program.parameters_bytes:,} B of parameters, and code")
    again = f", and {program.macs_again:,} again to save memory," if program.macs_again else ""
    out.line(
        f"work   {result.network.macs:,} MAC{again} in {len(program.calls)} layers, {len(program.segments)} segments"
    )
    out.line(f"page   {folder / output_folder.PAGE}")
    for kind in package:
        out.line(f"package {folder / 'packages' / kind}")


@click.command("targets")
@terminal.options
def targets_() -> None:
    """List the cores that code is generated for.

    Example: mbv2gen targets
    """
    out = terminal.current()
    known = [{"name": t.name, "description": t.description, "board": t.board} for t in targets.TARGETS]
    out.table("Targets", ("target", "description", "emulated board"), [tuple(entry.values()) for entry in known])
    out.document(known)


@click.command("boards")
@terminal.options
def boards_() -> None:
    """List the boards that firmware is built for, and QEMU's machine of those that are emulated.

    Example: mbv2gen boards
    """
    out = terminal.current()
    known = [
        {
            "name": board.name,
            "core": board.core,
            "machine": board.emulator.machine if board.emulator is not None else None,
            "ram_bytes": board.ram_bytes,
            "flash_bytes": board.flash_bytes,
            "stack_bytes": board.stack_bytes,
            "counts_instructions": board.timer is not None,
        }
        for board in boards.all_boards()
    ]
    columns = ("board", "core", "QEMU machine", "RAM B", "flash B", "stack B", "counts instructions")
    out.table("Boards", columns, [tuple(entry.values()) for entry in known])
    out.document(known)


@click.command("demo")
@click.option("--keep", type=FILE, metavar="DIR", help="Write the compiled example there, and keep it.")
@terminal.options
def demo_(keep: Path | None) -> None:
    """Compile the example, prove it on this machine and on an emulated Cortex-M7, measure it.

    Uses whatever compilers and emulator it finds, and says what it left out.

    Example: mbv2gen demo --keep build/digits
    """
    out = terminal.current()
    if keep is not None:
        output_folder.check_writable(keep)
    with tempfile.TemporaryDirectory(prefix="mbv2gen-demo-") as work, out.progress("demo") as tell:
        done = demo.demo(keep or Path(work) / demo.EXAMPLE, lambda text: out.line(f"... {text}"), tell)
        report = done.folder.report()
    _show_demo(out, done, report)
    if keep is not None:
        out.line(f"kept in {keep}")
    checks = {"host": done.on_host, "qemu": done.on_board}
    verified = {on: check.as_json() if check else None for on, check in checks.items()}
    out.document({"verified": verified, "left_out": done.left_out, "report": report})


def _show_demo(out: Terminal, done: Demo, report: Report) -> None:
    out.line("")
    out.line(f"{demo.EXAMPLE}: a trained MobileNetV2, {report['macs']:,} MAC, compiled for {demo.TARGET}")
    for check, where in ((done.on_host, "this machine"), (done.on_board, f"{demo.BOARD} (Cortex-M7, QEMU)")):
        if check is not None:
            out.line(
                f"exact      C = NumPy, byte for byte, on {where}: {check.inputs} pictures, "
                f"every row of {check.layers} layers"
            )
    figures = done.accuracy
    tops = ", ".join(
        f"{name} {percent(value)}"
        for name, value in (("float", figures.top1.of_float), ("int8", figures.top1.of_int8), ("C", figures.top1.of_c))
        if value is not None
    )
    out.line(f"accuracy   {tops} of {figures.images} test pictures right; agreement {percent(figures.agreement)}")
    ram, flash = report["ram"], report["flash"]
    stack = "" if ram["stack_bytes"] is None else f" + {ram['stack_bytes']:,} B stack"
    code = "" if flash["code_bytes"] is None else f", {flash['code_bytes']:,} B of code"
    out.line(f"RAM        {ram['arena_bytes']:,} B arena{stack}")
    out.line(f"flash      {flash['weights_bytes']:,} B of weights, {flash['parameters_bytes']:,} B of parameters{code}")
    if done.profile is not None and done.profile.instructions is not None:
        ratio = profiling.per_mac(done.profile.instructions, report["macs"])
        out.line(f"work       {done.profile.instructions:,} instructions (QEMU), {ratio:.2f} per MAC")
    for missing in done.left_out:
        out.line(f"left out   {missing}")


COMMANDS = (compile_, targets_, boards_, demo_)
