# SPDX-License-Identifier: Apache-2.0
"""Weights of 4 bits: what they cost and save, by network and budget -> docs/weights.md."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import rich_click as click
import tables
from accuracy import CASES, Case, Figures, Subject, figures, subject
from networks import ROOT

from mbv2gen import compiler, profiling, progress, targets
from mbv2gen.compiler import Options
from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards
from mbv2gen.output_folder import OutputFolder, write_folder

TITLE = """# Weights of 4 bits

Made by `benchmarks/weights.py` (`make weights`); do not edit. Each network is compiled with `--weights int8`, `mixed`
at 0.60 (the default) of the bytes that weights take in int8, and `int4`. *Weights* are the bytes
of weights in the tables, *parameters* all others.
*Instructions* are counted in QEMU, on the Cortex-M7 with the dsp kernels and on the Cortex-M3 with the portable ones;
they are not cycles. *Top-1* and *agreement* with float are on pictures that the network was not calibrated on; one
picture is about 0.16 points. How weights are chosen and rounded: [quantization.md](quantization.md#weights-of-4-bits).
"""
STORAGES = (
    ("int8", Options()),
    ("mixed 0.60", Options(weights="mixed")),
    ("int4", Options(weights="int4")),
)
TARGETS = ("cortex-m7", "cortex-m3")
COLUMNS = ("network", "weights", "layers of 4 bits", "weights B", "of int8", "parameters B", "Cortex-M7, instructions",
           "more", "Cortex-M3, instructions", "more", "top-1 (float)", "agreement", "signal-to-noise, dB")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One network stored in one way; ``instructions`` by target, None where it was not asked for."""

    title: str
    four_bits: int
    weights_bytes: int
    parameters_bytes: int
    instructions: tuple[int | None, ...]
    accuracy: Figures


def measure(of: Subject, title: str, options: Options, wanted: tuple[str, ...], work: Path) -> Row | None:
    """None where the network has too few layers for the budget. ``wanted``: targets, the first of TARGETS or more."""
    case, network = of.case, of.network
    given = replace(options, calibration=case.calibration, preprocess=case.preprocess, target=TARGETS[0])
    try:
        quantized, _ = compiler.quantize(case.model, network, given)
    except Mbv2genError:
        return None
    counts: list[int | None] = []
    for target in TARGETS:
        if target not in wanted:
            counts.append(None)
            continue
        _, files = compiler.generate(case.model, network, quantized, replace(given, target=target))
        folder = write_folder(work / f"{case.model.stem}-{title}-{target}", network.name, files)
        counts.append(instructions(folder, target))
        if target == wanted[0]:
            report = folder.report()
    bits = [layer["weight_bits"] for layer in report["layers"]]
    flash = report["flash"]
    found = figures(of, quantized, given.effort, 0.0)
    return Row(title, bits.count(4), flash["weights_bytes"], flash["parameters_bytes"], tuple(counts), found)


def instructions(folder: OutputFolder, target: str) -> int | None:
    """Of one inference on the core's board."""
    board = targets.find(target).board
    assert board is not None
    return profiling.profile(folder, boards.load(board)).instructions


def document(rows: list[tuple[Case, Row]]) -> list[str]:
    lines, first = [], rows[0][1]
    for case, row in rows:
        first = row if row.title == STORAGES[0][0] else first
        counted = []
        for count, before in zip(row.instructions, first.instructions, strict=True):
            counted += [count, None if count is None or before is None else f"{100 * (count / before - 1):+.1f} %"]
        accuracy = row.accuracy
        lines.append(
            (case.model.stem, row.title, row.four_bits, row.weights_bytes,
             f"{100 * row.weights_bytes / first.weights_bytes:.0f} %", row.parameters_bytes, *counted,
             f"{100 * accuracy.top1:.2f} ({100 * (accuracy.top1 - accuracy.float_top1):+.2f})",
             f"{100 * accuracy.agreement:.2f} %", f"{accuracy.snr_db:.1f}")
        )  # fmt: skip
    return [TITLE, tables.table(COLUMNS, lines)]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="The digits only.")
@click.option("--network", "names", multiple=True, help="Only these, by the names of their files.")
@click.option("--target", "wanted", type=click.Choice(TARGETS), multiple=True, help="Only on these.")
@click.option("-o", "output", type=click.Path(path_type=Path), default=ROOT / "docs" / "weights.md")
def main(quick: bool, names: tuple[str, ...], wanted: tuple[str, ...], output: Path) -> None:
    cases = [case for case in CASES if case.model.is_file() and (not names or case.model.stem in names)]
    cases = cases[: 1 if quick else None]
    rows: list[tuple[Case, Row]] = []
    with tempfile.TemporaryDirectory(prefix="mbv2gen-weights-") as work, progress.bar("weights") as tell:
        for index, case in enumerate(cases):
            of = subject(case)
            for step, (title, options) in enumerate(STORAGES):
                row = measure(of, title, options, wanted or TARGETS, Path(work))
                if row is not None:
                    rows.append((case, row))
                    text = f"{row.weights_bytes:,} B, {row.instructions}, {100 * row.accuracy.agreement:.2f} %"
                    click.echo(f"{case.model.stem}, {row.title}: {text}")
                    tables.write(output, document(rows))
                tell(index * len(STORAGES) + step + 1, len(cases) * len(STORAGES))


if __name__ == "__main__":
    main()
