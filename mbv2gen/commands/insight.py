# SPDX-License-Identifier: Apache-2.0
"""Commands that look at a model and write nothing: inspect, pareto."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from mbv2gen import compiler, inspection, output_folder, targets
from mbv2gen.commands import terminal
from mbv2gen.commands.byte_count import ByteCount
from mbv2gen.commands.calibration_options import calibration_options
from mbv2gen.commands.terminal import Command, Terminal
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.inspection import Inspection
from mbv2gen.network import Shape
from mbv2gen.pareto import Point, pareto
from mbv2gen.planning.objective import OBJECTIVES
from mbv2gen.planning.occupancy import Occupancy, from_json, occupancy
from mbv2gen.planning.plan_drawing import draw
from mbv2gen.quantized_network import QuantizedNetwork

FILE = click.Path(path_type=Path)
MADE_UP = (
    "ranges come from made-up pictures; with --calibration, as compile takes it, kernels and bytes may differ a little"
)


def _planning(command: Command) -> Command:
    """What decides a plan, but the objective."""
    for option in (
        click.option("--keep-input", is_flag=True, help="A run leaves the input in the arena as it is."),
        click.option("--feed", type=click.Choice(["frame", "rows"]), default="frame", help="How the input arrives."),
        click.option("--target", metavar="CORE", help="The core; see mbv2gen targets. [default: cortex-m7]"),
    ):
        command = option(command)
    return command


@click.command("inspect")
@click.argument("model", type=FILE)
@click.option("--plan", "with_plan", is_flag=True, help="Draw the arena over time; MODEL may be a folder of compile's.")
@_planning
@calibration_options
@click.option("--optimize", type=click.Choice(list(OBJECTIVES)), help="As for compile.")
@click.option("--arena-limit", type=ByteCount(), metavar="BYTES", help="As for compile.")
@terminal.options
def inspect(model: Path, *, with_plan: bool, **options: Any) -> None:
    """Show what a model consists of: blocks, operators, shapes, MACs, weights; and what was normalised away.

    With --plan: what lies where in the arena, and from when to when. All options but this one go with it.

    Example: mbv2gen inspect model.onnx --plan --target cortex-m7
    """
    out = terminal.current()
    given = _given(options)
    if not with_plan and given:
        raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} goes with --plan")
    if with_plan and model.is_dir():
        if given:
            raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} goes with a model; {model} is compiled")
        occupied = from_json(output_folder.open_folder(model).report().get("plan"))
    elif with_plan:
        chosen, quantized = _quantized(out, model, given)
        occupied = occupancy(compiler.plan_network(quantized, chosen, ranges(quantized)))
    else:
        found = inspection.inspect(model)
        _show_inspection(out, found)
        out.document(found.as_json())
        return
    _show_plan(out, occupied)
    out.document({"plan": occupied.as_json()})


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What is not as by default."""
    return {name: value for name, value in options.items() if value not in (None, getattr(Options, name))}


def _show_plan(out: Terminal, occupied: Occupancy) -> None:
    for line in draw(occupied).splitlines():
        out.line(line)


def _quantized(out: Terminal, model: Path, given: dict[str, Any]) -> tuple[Options, QuantizedNetwork]:
    """The model as compile would quantize it; without calibration data that is said."""
    chosen = Options(**{**given, "target": targets.find(given.get("target", Options.target)).name})
    network = compiler.read_network(model)
    with out.progress("calibrate") as tell:
        quantized, _ = compiler.quantize(model, network, chosen, tell)
    if chosen.calibration is None and not network.is_quantized:
        out.line(MADE_UP)
    return chosen, quantized


def _show_inspection(out: Terminal, found: Inspection) -> None:
    network, block = found.network, ""
    entry, result = network.model_input, network.model_output
    rows = []
    for line in found.operators:
        rows.append(
            (line.block if line.block != block else "", line.role, line.name, line.window, line.activation,
             _shape(line.input_shape), _shape(line.output_shape), line.macs, line.weights_bytes)
        )  # fmt: skip
        block = line.block
    columns = ("block", "role", "operator", "window", "activation", "input", "output", "MAC", "weights B")
    out.table(network.source.file, columns, rows)
    sums = f"{len(network.blocks)} blocks, {len(rows)} operators, {found.weights_bytes:,} bytes of int8 weights"
    out.line(f"{sums}, {network.macs:,} MAC in the file")
    out.line(f"input   {_shape(network.shape(network.inputs[0]))}, the model takes {entry.dtype} {entry.layout}")
    tail = "" if result.tail == "none" else f", through {result.tail}"
    out.line(f"output  {_shape(network.shape(network.outputs[0]))}, the model gives {list(result.shape)}{tail}")
    for sentence in found.normalised:
        out.line(f"- {sentence}")


@click.command("pareto")
@click.argument("model", type=FILE)
@_planning
@calibration_options
@terminal.options
def pareto_(model: Path, **options: Any) -> None:
    """List the plans that no other beats in memory and instructions at once.

    Instructions are estimates from the kernels; mbv2gen profile counts them. Blocks in groups: blocks that take their
    expanded channels in groups, one after the other. MAC done again: multiply-accumulates that save memory by
    computing rows anew instead of keeping them. Weights fetched: bytes of weights that an inference reads from flash.

    Example: mbv2gen pareto model.onnx --target cortex-m7 --feed rows
    """
    out = terminal.current()
    chosen, quantized = _quantized(out, model, _given(options))
    with out.progress("plan") as tell:
        points = pareto(quantized, chosen, tell)
    saving = ("blocks in groups", "MAC done again")
    columns = ("arena B", "instructions, estimated", "more", *saving, "weights fetched B", "--optimize")
    title = f"{quantized.source.file} for {chosen.target}, --feed {chosen.feed}"
    out.table(title, columns, [_point(point, points[0]) for point in points])
    out.line("with --arena-limit BYTES compile takes the fastest that fits")
    out.document(
        {
            "model": quantized.source.file,
            "target": chosen.target,
            "feed": chosen.feed,
            "keep_input": chosen.keep_input,
            "plans": [point.as_json() for point in points],
        }
    )


def _point(point: Point, fastest: Point) -> tuple[object, ...]:
    more = f"{100 * (point.instructions / fastest.instructions - 1):.1f} %"
    saving = point.blocks_in_groups or None, point.macs_again or None
    return point.arena_bytes, point.instructions, more, *saving, point.weights_fetched, ", ".join(point.optimize)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


COMMANDS = (inspect, pareto_)
