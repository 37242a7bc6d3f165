# SPDX-License-Identifier: Apache-2.0
"""The command analyze: where a network loses accuracy in int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from mbv2gen import analysis, compiler
from mbv2gen.analysis import Analysis, LayerNoise
from mbv2gen.commands import terminal
from mbv2gen.commands.calibration_options import calibration_options
from mbv2gen.commands.terminal import Terminal
from mbv2gen.errors import Mbv2genError
from mbv2gen.output_folder import open_folder

FILE = click.Path(path_type=Path)
COLUMNS = ("layer", "op", "SNR dB", "alone dB", "float range", "int8 range", "saturated %", "dead", "weight spread")


@click.command("analyze")
@click.argument("model", type=FILE)
@calibration_options
@click.option("--into", type=FILE, metavar="OUT", help="Add the analysis to report.json of this compiled folder.")
@terminal.options
def analyze(model: Path, into: Path | None, **options: Any) -> None:
    """Show where a model loses accuracy in int8, layer by layer, and which layer hurts most.

    SNR is the signal-to-noise ratio of a layer's output with all layers in int8, "alone" that of the network's output
    where this layer alone is. "Dead" counts channels that were removed as they carry nothing, and after a + those
    that never change on these pictures.

    Example: mbv2gen analyze flowers.onnx --calibration images/
    """
    out = terminal.current()
    folder = None if into is None else open_folder(into)
    with out.progress("quantize") as tell:
        subject = analysis.quantize(model, compiler.Options(**options), tell)
    if folder is not None and not analysis.is_of(subject, folder.network()):
        raise Mbv2genError(f"{into}: holds another network; analyze with the options of its compile, or compile again")
    with out.progress("compare") as tell:
        found = analysis.analyze(subject, tell)
    for warning in found.warnings:
        out.warn(warning)
    if folder is not None:
        folder.write_report({**folder.report(), "analysis": found.as_json()})
    _show(out, model.name, found)
    out.document(found.as_json())


def _show(out: Terminal, title: str, found: Analysis) -> None:
    out.table(f"{title}, effort {found.effort}", COLUMNS, [_row(layer) for layer in found.layers])
    hurt = next(layer for layer in found.layers if layer.name == found.worst)
    out.line(f"signal-to-noise of the output  {_db(found.snr_db)} dB on {found.images} pictures of {found.source}")
    out.line(f"hurts most                     {hurt.name}: {_db(hurt.alone_db)} dB if it alone is int8")


def _row(layer: LayerNoise) -> tuple[object, ...]:
    dead = f"{layer.removed_channels}+{layer.constant_channels}"
    return (
        layer.name,
        layer.op,
        _db(layer.snr_db),
        _db(layer.alone_db),
        f"{layer.low:.3g}..{layer.high:.3g}",
        f"{layer.int8_low:.3g}..{layer.int8_high:.3g}",
        f"{100 * layer.saturated:.3f}",
        "" if dead == "0+0" else dead,
        None if layer.weight_spread is None else f"{layer.weight_spread:,.0f}:1",
    )


def _db(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


COMMANDS = (analyze,)
