# SPDX-License-Identifier: Apache-2.0
"""The command evaluate, and how an accuracy is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from mbv2gen import api, workers
from mbv2gen.commands import terminal
from mbv2gen.commands.terminal import Terminal, percent
from mbv2gen.errors import CheckFailed
from mbv2gen.evaluation import evaluator
from mbv2gen.evaluation.accuracy import Accuracy
from mbv2gen.output_folder import open_folder
from mbv2gen.workers import Crew

FILE = click.Path(path_type=Path)
MOST_COLUMNS = 12  # classes whose whole confusion matrix is shown
MOST_ROWS = 12  # of more classes, those on which int8 is worst


@click.command()
@click.argument("out", type=FILE)
@click.option(
    "--images",
    required=True,
    metavar="DATA",
    help="Folder of pictures or CLASS/ folders, table FILE.csv[:SPLIT], .npz[:KEY[:LABELS]] or .npy.",
)
@click.option("--labels", type=FILE, help="A table of file,label for a folder of pictures.")
@click.option("--model", type=FILE, help="The ONNX model. [default: looked for beside OUT and in this folder]")
@click.option(
    "--on",
    type=click.Choice(["host", "qemu", "numpy"]),
    help="Where C runs; numpy: nowhere. [default: host, if it has a compiler]",
)
@click.option("--board", metavar="BOARD", help="Which board to emulate. [default: that of the target]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes or threads. [default: as many cores as pay]")
@click.option("--backend", type=click.Choice(workers.BACKENDS), help="Who works: joblib's backend. [default: loky]")
@click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster, for --backend dask.")
@click.option(
    "--worst", type=click.IntRange(min=0), default=evaluator.WORST, show_default=True, help="How many to name."
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read, and say which.")
@terminal.options
def evaluate(
    out: Path, images: str, *, jobs: int | None, backend: str | None, scheduler: str | None, **how: Any
) -> None:
    """Measure accuracy on pictures: float, NumPy int8 and C. Into report.json.

    Top-1 and top-5, agreement of int8 with float, signal-to-noise, accuracy and confusion by class, the worst images.

    Example: mbv2gen evaluate build/flowers --images flowers/test
    """
    screen, folder = terminal.current(), open_folder(out)
    with screen.progress("evaluate") as tell:
        result = api.evaluate(
            folder, images, crew=_crew(backend, jobs, scheduler), progress=tell, warn=screen.warn, **how
        )
    screen.document(result.as_json())
    for image, reason in result.skipped:
        screen.warn(f"left out {image}: {reason}")
    show(screen, result)
    if not result.is_c_equal:
        where = result.board or "the host"
        raise CheckFailed(
            f"{out}: C on {where} equals NumPy on {result.c_equal} of {result.images} pictures only; "
            f"'mbv2gen verify {out} --images {images}' says where"
        )


def _crew(backend: str | None, jobs: int | None, scheduler: str | None) -> Crew | None:
    """None where nothing is said: the evaluation then takes as many processes as pay."""
    if all(option is None for option in (backend, jobs, scheduler)):
        return None
    return Crew(backend or Crew.backend, jobs, scheduler)


def show(screen: Terminal, result: Accuracy) -> None:
    """The figures; classes and worst images where there are any."""
    title = f"{result.source}: {result.images} pictures"
    title += "" if result.cells == 1 else f", {result.cells} cells each"
    rates = [("top-1", result.top1)] + ([("top-5", result.top5)] if result.top5 is not None else [])
    rows = [(name, *(percent(value) for value in rate.as_json().values())) for name, rate in rates]
    if result.top1.of_int8 is None:
        screen.line(title)
    else:
        screen.table(title, ("", "float", "int8 in NumPy", "int8 in C"), rows)
    if result.note:
        screen.line(f"note: {result.note}")
    if result.agreement is not None:
        screen.line(f"agreement of int8 with float   {percent(result.agreement)}{_interval(result)}")
    if result.snr_db is not None:
        each = f"by picture: mean {result.snr_mean_db:.1f} dB, median {result.snr_median_db:.1f} dB"
        screen.line(f"signal-to-noise of the logits  {result.snr_db:.1f} dB; {each}")
    if result.c_equal is not None:
        screen.line(f"C equals NumPy, byte for byte  {result.c_equal} of {result.images}")
    _show_classes(screen, result)
    if result.worst:
        worst = [(one.image, one.snr_db, one.right, one.of_float, one.of_int8) for one in result.worst]
        screen.table("Worst pictures", ("picture", "dB", "class", "float", "int8"), worst)


def _interval(result: Accuracy) -> str:
    if result.agreement_interval is None:
        return ""
    low, high = result.agreement_interval
    return f" (95 % confidence: {percent(low)} to {percent(high)})"


def _show_classes(screen: Terminal, result: Accuracy) -> None:
    """Of few classes the confusion matrix, of many the worst and what int8 takes them for."""
    shown = result.classes
    if not shown:
        return
    chosen = {name for one in shown for name in one.taken_for}
    names = [one.name for one in shown] + sorted(chosen - {one.name for one in shown})
    if len(names) <= MOST_COLUMNS:
        title, columns = "Pictures of a class (row), and what int8 takes them for", tuple(names)
        cells: list[tuple[object, ...]] = [tuple(one.taken_for.get(name, 0) for name in names) for one in shown]
    else:
        shown = tuple(sorted(shown, key=lambda one: one.of_int8 or 0.0)[:MOST_ROWS])
        title, columns = f"The worst of {len(result.classes)} classes", ("int8 takes it for",)
        cells = [(", ".join(f"{name} {count}" for name, count in list(one.taken_for.items())[:3]),) for one in shown]
    rows = [
        (one.name, one.images, percent(one.of_float), percent(one.of_int8), *line)
        for one, line in zip(shown, cells, strict=True)
    ]
    screen.table(title, ("class", "pictures", "float", "int8", *columns), rows)


COMMANDS = (evaluate,)
