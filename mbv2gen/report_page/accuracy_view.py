# SPDX-License-Identifier: Apache-2.0
"""AccuracyView: what evaluate measured, as rates, a confusion matrix and the worst pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_CLASSES = 24  # whose whole confusion matrix is shown
MOST_ROWS = 20  # of more classes, those on which int8 is worst
LEAST_TINT = 0.2
ENGINES = {"float": "float", "int8": "int8 in NumPy", "c": "int8 in C"}


@dataclass(frozen=True)
class Rate:
    name: str
    top1: float
    top5: float | None


@dataclass(frozen=True)
class Cell:
    """``share`` of the pictures of the row's class; ``tint`` that can be seen even of a single one."""

    count: int
    share: float
    is_right: bool

    @property
    def tint(self) -> float:
        return max(self.share, LEAST_TINT) if self.count else 0.0


@dataclass(frozen=True)
class ClassRow:
    """``taken_for``: the commonest mistakes, in words; ``cells`` one a column of the matrix."""

    name: str
    images: int
    of_float: float | None
    of_int8: float | None
    taken_for: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class AccuracyView:
    """``columns`` empty: there are too many classes for a matrix, and ``rows`` are the worst of them."""

    rates: tuple[Rate, ...]
    rows: tuple[ClassRow, ...]
    columns: tuple[str, ...]
    classes: int


def accuracy_view(accuracy: Mapping[str, Any]) -> AccuracyView:
    classes, confusion = accuracy["classes"], accuracy["confusion"]
    names = [one["class"] for one in classes]
    names += sorted({name for taken in confusion.values() for name in taken} - set(names))
    columns = tuple(names) if len(names) <= MOST_CLASSES else ()
    shown = classes if columns else sorted(classes, key=lambda one: one["int8"] or 0.0)[:MOST_ROWS]
    return AccuracyView(
        rates=tuple(_rates(accuracy)),
        rows=tuple(_row(one, confusion.get(one["class"], {}), columns) for one in shown),
        columns=columns,
        classes=len(classes),
    )


def _rates(accuracy: Mapping[str, Any]) -> list[Rate]:
    first, five = accuracy["top1"], accuracy["top5"] or {}
    return [Rate(name, first[key], five.get(key)) for key, name in ENGINES.items() if first[key] is not None]


def _row(one: Mapping[str, Any], taken: Mapping[str, int], columns: tuple[str, ...]) -> ClassRow:
    name, images = one["class"], one["images"]
    wrong = sorted(((count, other) for other, count in taken.items() if other != name), key=lambda pair: -pair[0])
    cells = (Cell(taken.get(other, 0), taken.get(other, 0) / max(images, 1), other == name) for other in columns)
    mistakes = ", ".join(f"{other} {count}" for count, other in wrong[:3])
    return ClassRow(name, images, one["float"], one["int8"], mistakes, tuple(cells))
