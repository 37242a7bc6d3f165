# SPDX-License-Identifier: Apache-2.0
"""Evaluation of an output folder: pictures in parts, measured by a crew, as one Accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mbv2gen import workers
from mbv2gen.errors import Mbv2genError
from mbv2gen.evaluation import classes, measurement
from mbv2gen.evaluation.accuracy import Accuracy, Setting, accuracy
from mbv2gen.evaluation.measurement import Instrument, Measured
from mbv2gen.hardware import execution
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Network
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.progress import Tell
from mbv2gen.workers import Crew

PART = 32  # pictures: the same parts, and so the same figures, whoever works on them
MACS_A_WORKER = 1 << 30  # less than a second's work for each is not worth starting processes
WORST = 5


def find_model(folder: OutputFolder, model: Path | None) -> Path | None:
    """The ONNX file that the folder was compiled from: ``model``, else beside the folder or in the current one.

    None where it is nowhere. Mbv2genError where ``model`` is another file than the one compiled.
    """
    source = folder.network().source
    if model is not None:
        if _sha256(model) != source.sha256:
            raise Mbv2genError(f"{model}: is not the {source.file} that {folder.path} was compiled from; give that one")
        return model
    places = (folder.path.absolute().parent, folder.path, Path())
    candidates = (place / source.file for place in places)
    return next((path for path in candidates if path.is_file() and _sha256(path) == source.sha256), None)


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise Mbv2genError(f"{file}: cannot be read ({error.strerror})") from None


def evaluate(
    folder: OutputFolder,
    found: Pictures,
    network: Network | None,
    place: Place | None,
    *,
    names: Sequence[str] | None = None,
    crew: Crew | None = None,
    worst: int = WORST,
    skips_bad: bool = False,
    tell: Tell | None = None,
) -> Accuracy:
    """Run ``network`` (None: no float figures), the int8 reference and C (``place`` None: no C) on pictures.

    ``names`` are the network's classes, where they are known. Without a ``crew`` as many processes work as pay.
    Raises Mbv2genError for pictures that cannot be read, unless ``skips_bad``; CheckFailed where the C does not end
    well.
    """
    quantized = folder.network()
    truth = classes.truth(quantized, found, names)
    program = None if place is None else execution.build(folder, place)
    count = classes.class_count(quantized)
    instrument = measurement.packed(Instrument(quantized, network, place, program, count, skips_bad))
    parts = replace(found, labels=truth.labels).parts(PART)
    crew = crew or Crew(jobs=paying_jobs(quantized.macs * len(found)))
    measured: list[Measured] = []
    done = 0
    for part in workers.work(crew, measurement.measure, instrument, parts):
        measured.append(part)
        done += len(part.names) + len(part.bad)
        if tell is not None:
            tell(done, len(found))
    h, w, _ = quantized.shape(quantized.outputs[0])
    source = found.source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    board = None if place is None else place.board_name
    setting = Setting(source, h * w, "numpy" if place is None else place.on, board, worst)
    return accuracy(measurement.joined(measured), truth, setting)


def paying_jobs(macs: int) -> int:
    """Processes that are worth their start for so much work: at most one a core."""
    return int(np.clip(macs // MACS_A_WORKER, 1, workers.cores()))
