"""Accuracy: the float network, the int8 one and its C on the same pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference, int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import execution
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Network
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.progress import Tell, part
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import QuantizedNetwork

BATCH = 32

Reals: TypeAlias = NDArray[np.float64]
Classes: TypeAlias = NDArray[np.int64]  # [n][cells]


@dataclass(frozen=True)
class Top1:
    """Fractions of the pictures whose class is the right one; None where it is not known."""

    of_float: float | None
    of_int8: float | None
    of_c: float | None


@dataclass(frozen=True)
class Accuracy:
    """What was measured; None where it could not be.

    ``cells`` is h * w of the output: 1 for a classifier, more for a heat map. ``agreement`` is the fraction of all
    cells where float and int8 choose the same class. ``snr_db`` compares the outputs before softmax or sigmoid, each
    less its mean over the classes: of all pictures together, and the median of the pictures' own. ``c_equal`` counts
    the pictures whose output is equal in C and NumPy, byte for byte.
    """

    source: str
    images: int
    cells: int
    top1: Top1
    agreement: float | None
    snr_db: float | None
    snr_median_db: float | None
    on: str
    board: str | None
    c_equal: int | None
    note: str

    @property
    def is_c_equal(self) -> bool:
        return self.c_equal is None or self.c_equal == self.images

    def as_json(self) -> dict[str, Any]:
        """As it stands in report.json."""
        return {
            "source": self.source,
            "images": self.images,
            "cells": self.cells,
            "top1": {"float": self.top1.of_float, "int8": self.top1.of_int8, "c": self.top1.of_c},
            "agreement": self.agreement,
            "snr_db": self.snr_db,
            "snr_median_db": self.snr_median_db,
            "c": None if self.c_equal is None else {"on": self.on, "board": self.board, "equal": self.c_equal},
            "note": self.note or None,
        }


@dataclass(frozen=True, eq=False)
class _Batch:
    """One batch of outputs, [n][h][w][c] as real numbers; None for what did not run. ``equal`` [n]: C is NumPy."""

    wanted: Reals | None
    made: Reals
    c: Reals | None
    equal: NDArray[np.bool_] | None


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
    folder: OutputFolder, spec: str, network: Network | None, place: Place | None, tell: Tell | None = None
) -> Accuracy:
    """Run ``network`` (None: no float figures), the int8 reference and C (``place`` None: no C) on pictures.

    Raises Mbv2genError for pictures that cannot be read, CheckFailed where the C does not end well.
    """
    quantized = folder.network()
    found = network_inputs.open_pictures(quantized, spec)
    h, w, c = quantized.shape(quantized.outputs[0])
    is_binary = c == 1 and quantized.model_output.tail == "sigmoid"
    decides = c > 1 or is_binary
    labels, note = _labels(found, h * w, 2 if is_binary else c) if decides else (None, "the output names no class")
    wanted: list[Classes] = []
    made: list[Classes] = []
    in_c: list[Classes] = []
    powers: list[Reals] = []
    equal = 0
    for batch in _batches(folder, quantized, found, network=network, place=place, tell=tell):
        made.append(_classes(batch.made))
        if batch.wanted is not None:
            wanted.append(_classes(batch.wanted))
            powers.append(_signal_and_noise(batch.wanted, batch.made))
        if batch.c is not None and batch.equal is not None:
            in_c.append(_classes(batch.c))
            equal += int(batch.equal.sum())
    snr, median = _snr(np.concatenate(powers)) if powers else (None, None)
    return Accuracy(
        source=spec.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
        images=len(found),
        cells=h * w,
        top1=Top1(_top1(wanted, labels), _top1(made, labels), _top1(in_c, labels)),
        agreement=_agreement(wanted, made) if decides else None,
        snr_db=snr,
        snr_median_db=median,
        on="numpy" if place is None else place.on,
        board=None if place is None or place.board is None else place.board.name,
        c_equal=None if place is None else equal,
        note=note,
    )


def _batches(
    folder: OutputFolder,
    quantized: QuantizedNetwork,
    found: Pictures,
    *,
    network: Network | None,
    place: Place | None,
    tell: Tell | None,
) -> Iterator[_Batch]:
    output, done = quantized.tensor(quantized.outputs[0]), 0
    for feed in network_inputs.feeds(quantized, found, BATCH):
        wanted = None if network is None else float_reference.run_outputs(network, feed.real).astype(np.float64)
        made = int8_reference.run_outputs(quantized, feed.integer)
        c = equal = None
        if place is not None:
            batch_tell = part(tell, done, len(found)) if tell is not None else None
            run = execution.outputs(folder, quantized, place, feed.integer, tell=batch_tell)
            c, equal = dequantize(run, output), (run == made).all(axis=(1, 2, 3))
        done += len(made)
        if tell is not None:
            tell(done, len(found))
        yield _Batch(wanted, dequantize(made, output), c, equal)


def _labels(found: Pictures, cells: int, classes: int) -> tuple[Classes | None, str]:
    """The right class of every picture, or None and why not. Folders named by numbers stand for those classes."""
    if found.labels is None:
        return None, "the pictures have no labels"
    if cells > 1:
        return None, "the output is a map of cells, labels of whole pictures do not fit it"
    names, labels = found.class_names, found.labels
    if names is not None and all(name.isdecimal() for name in names):
        labels = np.array([int(name) for name in names], np.int64)[labels]
    elif names is not None and len(names) != classes:
        return None, f"the pictures have {len(names)} classes, the network {classes}"
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        return None, f"the labels go from {labels.min()} to {labels.max()}, the network has {classes} classes"
    return labels, ""


def _classes(outputs: Reals) -> Classes:
    """[n][cells]: the class of the largest output; of a single output whether it is above 0 (probability 1/2)."""
    if outputs.shape[3] == 1:
        return (outputs > 0).reshape(len(outputs), -1).astype(np.int64)
    chosen: Classes = outputs.argmax(axis=3).reshape(len(outputs), -1).astype(np.int64)
    return chosen


def _signal_and_noise(wanted: Reals, made: Reals) -> Reals:
    """[n][2]: power of the float output, and of the difference, each less its mean over the classes."""
    if wanted.shape[3] > 1:
        wanted = wanted - wanted.mean(axis=3, keepdims=True)
        made = made - made.mean(axis=3, keepdims=True)
    return np.stack([(wanted**2).sum(axis=(1, 2, 3)), ((made - wanted) ** 2).sum(axis=(1, 2, 3))], axis=1)


def _snr(powers: Reals) -> tuple[float | None, float | None]:
    """(of all, median) in dB; None where there is no noise or no signal."""
    signal, noise = powers.sum(axis=0)
    fit = (powers > 0).all(axis=1)
    if signal <= 0 or noise <= 0 or not fit.any():
        return None, None
    each = 10 * np.log10(powers[fit, 0] / powers[fit, 1])
    return float(10 * np.log10(signal / noise)), float(np.median(each))


def _agreement(wanted: Sequence[Classes], made: Sequence[Classes]) -> float | None:
    return float((np.concatenate(wanted) == np.concatenate(made)).mean()) if wanted else None


def _top1(chosen: Sequence[Classes], labels: Classes | None) -> float | None:
    if labels is None or not chosen:
        return None
    return float((np.concatenate(chosen)[:, 0] == labels).mean())
