# SPDX-License-Identifier: Apache-2.0
"""Accuracy of int8 by effort, on trained networks and pictures they were not calibrated on -> docs/accuracy.md."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import rich_click as click
import tables
from networks import DIGITS_NET, FLOWERS, ROOT, SHARED
from numpy.typing import NDArray

from mbv2gen import compiler, float_reference, int8_reference, progress, pruning
from mbv2gen.evaluation.figures import decibels, signal_and_noise
from mbv2gen.network import Network
from mbv2gen.pixels import network_inputs, pictures, preprocessing
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.quantization import effort
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import QuantizedNetwork

BATCH = 32
RUBBISH = SHARED / "images" / "rubbish4" / "split.csv"
TITLE = """# Accuracy by effort

Made by `benchmarks/accuracy.py`; do not edit. Each network is calibrated on one set of pictures and tried on another,
with the int8 reference, which the C equals byte for byte. *Agreement*: pictures for which int8 chooses the class that
float chooses. *Signal-to-noise*: of the logits, each picture's less their mean, all pictures together, and the median
of the pictures' own. *Seconds* of one processor, calibration and search. What the efforts do:
[quantization.md](quantization.md).

One picture is about 0.16 points: networks of equal signal-to-noise scatter by 0.3 to 0.5 points in top-1 and agreement,
so compare methods by signal-to-noise.
"""


@dataclass(frozen=True)
class Goal:
    """What the default effort is to reach in dB, and agreement at the default and the highest effort."""

    snr_db: float
    agreement: float
    best_agreement: float


@dataclass(frozen=True)
class Case:
    """A network, what it is calibrated on, and pictures that it has not seen."""

    model: Path
    calibration: str
    test: str
    preprocess: str | None
    goal: Goal | None = None


CASES = (
    Case(DIGITS_NET.model, DIGITS_NET.calibration, DIGITS_NET.pictures, None),
    Case(SHARED / "models" / "flowers_w035_r96.onnx", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf",
         goal=Goal(26, 0.98, 0.985)),
    Case(SHARED / "models" / "flowers_w010_r96.onnx", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf",
         goal=Goal(27, 0.98, 0.985)),
    Case(SHARED / "models_found" / "st_flowers_w035_r128.onnx", str(SHARED / "images" / "flowers160" / "calib"),
         str(SHARED / "images" / "flowers160" / "test"), "tf", goal=Goal(31, 0.98, 0.985)),
    Case(SHARED / "models_found" / "ei_rubbish4_w035_r96.onnx", f"{RUBBISH}:calib", f"{RUBBISH}:train,test", "unit",
         goal=Goal(21, 0.965, 0.97)),
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """One network at one effort."""

    case: Case
    effort: int
    calibrated_on: int
    tested_on: int
    float_top1: float
    top1: float
    agreement: float
    snr_db: float
    median_db: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Subject:
    """A case with its network and pictures; ``wanted`` float outputs [n][h][w][c] of the test pictures."""

    case: Case
    network: Network
    how: Preprocessing
    calibration: Pictures
    test: Pictures
    wanted: NDArray[np.float64]


def subject(case: Case) -> Subject:
    network = compiler.read_network(case.model)
    shape = network.shape(network.inputs[0])
    toml = case.model.with_suffix(".toml")
    how = preprocessing.from_options(shape[2], network.model_input, preprocess=case.preprocess, toml=toml)
    calibration, test = (
        pictures.open_pictures(s, shape, how, network.model_input) for s in (case.calibration, case.test)
    )
    wanted = np.concatenate([float_reference.run_outputs(network, x) for x in test.batches(BATCH)]).astype(np.float64)
    return Subject(case, network, how, calibration, test, wanted)


def measure(case: Case, efforts: list[int], tell: progress.Tell) -> list[Figures]:
    found, made = subject(case), []
    for index, level in enumerate(efforts):
        before = time.process_time()
        quantized = effort.quantize(pruning.prune(found.network), found.calibration, found.how, level).integer
        made.append(figures(found, quantized, level, time.process_time() - before))
        tell(index + 1, len(efforts))
    return made


def figures(of: Subject, quantized: QuantizedNetwork, level: int, seconds: float) -> Figures:
    """Of ``quantized``, made at that effort in so many seconds, on the test pictures."""
    test, output = of.test, quantized.tensor(quantized.outputs[0])
    assert test.labels is not None
    chosen = of.wanted.argmax(axis=3).reshape(len(test), -1)[:, 0]
    made = np.concatenate([
        dequantize(int8_reference.run_outputs(quantized, feed.integer), output)
        for feed in network_inputs.feeds(quantized, test, BATCH)
    ])  # fmt: skip
    classes = made.argmax(axis=3).reshape(len(test), -1)[:, 0]
    noise = signal_and_noise(of.wanted, made)
    return Figures(
        of.case, level, len(of.calibration), len(test), float((chosen == test.labels).mean()),
        float((classes == test.labels).mean()), float((classes == chosen).mean()),
        float(decibels(noise.sum(axis=0))), float(np.median(decibels(noise))), seconds,
    )  # fmt: skip


def document(figures: list[Figures]) -> list[str]:
    """The page: a table, and how it stands to the goals."""
    columns = ("network", "calibrated / tested on", "effort", "top-1, float", "top-1, int8", "agreement",
               "signal-to-noise, dB", "median, dB", "seconds")  # fmt: skip
    rows = [
        (one.case.model.stem, f"{one.calibrated_on} / {one.tested_on}", str(one.effort), _percent(one.float_top1),
         f"{_percent(one.top1)} ({100 * (one.top1 - one.float_top1):+.2f})", _percent(one.agreement),
         f"{one.snr_db:.1f}", f"{one.median_db:.1f}", f"{one.seconds:.1f}")
        for one in figures
    ]  # fmt: skip
    return [TITLE, tables.table(columns, rows), *_against_goals(figures)]


def _against_goals(figures: list[Figures]) -> list[str]:
    aimed = [one for one in figures if one.case.goal is not None and one.effort >= effort.DEFAULT]
    if not aimed:
        return ["The other networks are not here: only the digits were measured.\n"]
    lines = []
    for one in aimed:
        goal = one.case.goal
        assert goal is not None
        least = goal.agreement if one.effort == effort.DEFAULT else goal.best_agreement
        fit = one.snr_db >= goal.snr_db and one.agreement >= least and one.top1 >= one.float_top1 - 0.007
        lines.append((one.case.model.stem, str(one.effort), f"{goal.snr_db:g} dB, {_percent(least)}, -0.70",
                      "reached" if fit else "not reached"))  # fmt: skip
    parts = ["## Against the aims\n", "Least signal-to-noise, agreement and top-1 against float.\n"]
    parts.append(tables.table(("network", "effort", "aim", ""), lines))
    for level in sorted({one.effort for one in aimed}):
        lost = [100 * (one.top1 - one.float_top1) for one in aimed if one.effort == level]
        parts.append(
            f"Effort {level}: {np.mean(lost):+.2f} points of top-1 on the average of {len(lost)} (aim: -0.25).\n"
        )
    return parts


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="The digits only.")
@click.option("--effort", "efforts", type=click.IntRange(0, effort.HIGHEST), multiple=True, help="Only these.")
@click.option("-o", "output", type=click.Path(path_type=Path), default=ROOT / "docs" / "accuracy.md")
def main(quick: bool, efforts: tuple[int, ...], output: Path) -> None:
    cases = [case for case in CASES if case.model.is_file()][: 1 if quick else None]
    levels = sorted(set(efforts)) or list(range(effort.HIGHEST + 1))
    figures = []
    with progress.bar("accuracy") as tell:
        for index, case in enumerate(cases):
            within = progress.part(tell, index * len(levels), len(cases) * len(levels))
            made = measure(case, levels, within)
            figures += made
            for one in made:
                text = f"{one.snr_db:.1f} dB, agreement {_percent(one.agreement)}, {one.seconds:.1f} s"
                click.echo(f"{case.model.stem}, effort {one.effort}: {text}")
    tables.write(output, document(figures))


if __name__ == "__main__":
    main()
