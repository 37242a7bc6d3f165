# SPDX-License-Identifier: Apache-2.0
"""Accuracy: the figures of one evaluation, as they stand in report.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mbv2gen.evaluation import figures
from mbv2gen.evaluation.classes import Truth
from mbv2gen.evaluation.measurement import Answers, Measured

TOP_5 = 5


@dataclass(frozen=True)
class Rates:
    """Fractions of the pictures; None where it is not known, or did not run."""

    of_float: float | None
    of_int8: float | None
    of_c: float | None

    def as_json(self) -> dict[str, float | None]:
        return {"float": self.of_float, "int8": self.of_int8, "c": self.of_c}


@dataclass(frozen=True)
class ClassAccuracy:
    """One class: how many pictures show it, the fractions taken for it, and what int8 took them for."""

    name: str
    images: int
    of_float: float | None
    of_int8: float | None
    taken_for: dict[str, int]


@dataclass(frozen=True)
class WorstImage:
    """A picture on which int8 is far from float: what it shows (None: not known), and what each took it for."""

    image: str
    snr_db: float | None
    right: str | None
    of_float: str | None
    of_int8: str | None


@dataclass(frozen=True)
class Accuracy:
    """What was measured; None where it could not be.

    ``cells`` is h * w of the output: 1 for a classifier, more for a heat map. ``top5`` only of more than 5 classes.
    ``agreement`` is the fraction of all cells where float and int8 choose the same class, ``agreement_interval`` its
    95 % confidence interval (of a classifier: cells of one picture are not independent). Signal-to-noise compares the
    outputs before softmax or sigmoid, each less its mean over the classes: of all pictures together, and mean and
    median of the pictures' own, but those where the outputs are equal. ``classes``: those that have labels.
    ``worst``: where float and int8 differ, then those of the least signal-to-noise. ``skipped``: (name, reason).
    ``c_equal`` counts the pictures whose output is equal in C and NumPy, byte for byte.
    """

    source: str
    images: int
    cells: int
    top1: Rates
    top5: Rates | None
    agreement: float | None
    agreement_interval: tuple[float, float] | None
    snr_db: float | None
    snr_mean_db: float | None
    snr_median_db: float | None
    classes: tuple[ClassAccuracy, ...]
    worst: tuple[WorstImage, ...]
    skipped: tuple[tuple[str, str], ...]
    on: str
    board: str | None
    c_equal: int | None
    note: str

    @property
    def is_c_equal(self) -> bool:
        return self.c_equal is None or self.c_equal == self.images

    def as_json(self) -> dict[str, Any]:
        """As it stands in report.json. ``confusion``: {right class: {class that int8 chose: pictures}}."""
        return {
            "source": self.source,
            "images": self.images,
            "cells": self.cells,
            "top1": self.top1.as_json(),
            "top5": None if self.top5 is None else self.top5.as_json(),
            "agreement": self.agreement,
            "agreement_interval": None if self.agreement_interval is None else list(self.agreement_interval),
            "snr_db": self.snr_db,
            "snr_mean_db": self.snr_mean_db,
            "snr_median_db": self.snr_median_db,
            "classes": [
                {"class": one.name, "images": one.images, "float": one.of_float, "int8": one.of_int8}
                for one in self.classes
            ],
            "confusion": {one.name: one.taken_for for one in self.classes},
            "worst": [
                {
                    "image": one.image,
                    "snr_db": one.snr_db,
                    "class": one.right,
                    "float": one.of_float,
                    "int8": one.of_int8,
                }
                for one in self.worst
            ],
            "skipped": [{"image": image, "reason": reason} for image, reason in self.skipped],
            "c": None if self.c_equal is None else {"on": self.on, "board": self.board, "equal": self.c_equal},
            "note": self.note or None,
        }


@dataclass(frozen=True)
class Setting:
    """What an accuracy is of: the pictures' source, the output's cells, where C ran, how many worst images to name."""

    source: str
    cells: int
    on: str
    board: str | None
    worst: int


def accuracy(measured: Measured, truth: Truth, setting: Setting) -> Accuracy:
    """The figures of all pictures; ``measured`` has its own labels, since pictures may have been left out."""
    count, powers, agreed = len(measured.names), measured.powers, measured.agreed
    is_classifier = setting.cells == 1
    agreements = None if agreed is None else int(agreed.sum())
    snr, snr_mean, snr_median = (None, None, None) if powers is None else _signal_to_noise(powers)
    return Accuracy(
        source=setting.source,
        images=count,
        cells=setting.cells,
        top1=_rates(measured, 1),
        top5=_rates(measured, TOP_5) if measured.labels is not None and len(truth.names) > TOP_5 else None,
        agreement=None if agreements is None else agreements / (count * setting.cells),
        agreement_interval=None if agreements is None or not is_classifier else figures.interval_95(agreements, count),
        snr_db=snr,
        snr_mean_db=snr_mean,
        snr_median_db=snr_median,
        classes=_by_class(measured, truth.names),
        worst=_worst(measured, truth.names, setting),
        skipped=measured.bad,
        on=setting.on,
        board=setting.board,
        c_equal=None if measured.equal is None else int(measured.equal.sum()),
        note=truth.note,
    )


def _rates(measured: Measured, places: int) -> Rates:
    """How often the right class is among the first ``places``."""

    def rate(answers: Answers | None) -> float | None:
        return None if answers is None or answers.rank is None else float((answers.rank < places).mean())

    return Rates(rate(measured.of_float), rate(measured.of_int8), rate(measured.of_c))


def _signal_to_noise(powers: figures.Reals) -> tuple[float | None, float | None, float | None]:
    """(of all, mean, median) in dB; None where there is no noise or no signal."""
    each = figures.decibels(powers[(powers > 0).all(axis=1)])
    whole = float(figures.decibels(powers.sum(axis=0)))
    return (
        (whole, float(each.mean()), float(np.median(each))) if each.size and np.isfinite(whole) else (None, None, None)
    )


def _by_class(measured: Measured, names: tuple[str, ...]) -> tuple[ClassAccuracy, ...]:
    """The classes that have labels, in the network's order."""
    labels, made = measured.labels, measured.of_int8
    if labels is None or made is None:
        return ()
    taken = figures.confusion(labels, made.chosen, len(names))
    images = taken.sum(axis=1)
    right = None
    if measured.of_float is not None:
        right = np.diagonal(figures.confusion(labels, measured.of_float.chosen, len(names)))
    return tuple(
        ClassAccuracy(
            name=names[one],
            images=int(images[one]),
            of_float=None if right is None else float(right[one] / images[one]),
            of_int8=float(taken[one, one] / images[one]),
            taken_for={
                names[other]: int(taken[one, other])
                for other in np.argsort(-taken[one], kind="stable")
                if taken[one, other]
            },
        )
        for one in np.flatnonzero(images)
    )


def _worst(measured: Measured, names: tuple[str, ...], setting: Setting) -> tuple[WorstImage, ...]:
    if measured.powers is None:
        return ()
    snr = figures.decibels(measured.powers)
    agrees = np.zeros(len(snr)) if measured.agreed is None else measured.agreed == setting.cells
    order = np.lexsort((np.arange(len(snr)), np.nan_to_num(snr, nan=np.inf, posinf=np.inf), agrees))

    def name(classes: figures.Integers | None, index: int) -> str | None:
        return None if classes is None else names[classes[index]]

    def chosen(answers: Answers | None) -> figures.Integers | None:
        return None if answers is None else answers.chosen

    return tuple(
        WorstImage(
            image=measured.names[index],
            snr_db=float(snr[index]) if np.isfinite(snr[index]) else None,
            right=name(measured.labels, index),
            of_float=name(chosen(measured.of_float), index),
            of_int8=name(chosen(measured.of_int8), index),
        )
        for index in order[: setting.worst]
    )
