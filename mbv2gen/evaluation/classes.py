# SPDX-License-Identifier: Apache-2.0
"""Truth: which of the network's classes each picture shows, and what the classes are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mbv2gen.evaluation.figures import Integers
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.quantized_network import QuantizedNetwork

NAME_KEYS = ("classes", "class_names", "labels")
MAX_JSON_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Truth:
    """``labels`` are the network's classes, int64 [n], None where they are not known. ``names``, one a class: their
    numbers where nothing names them; empty where the output chooses none. ``note``: why there are no labels, or what
    was taken for granted."""

    labels: Integers | None
    names: tuple[str, ...]
    note: str


def class_count(network: QuantizedNetwork) -> int:
    """Classes that the output chooses from: a single sigmoid from two; 0 where it is none of this."""
    c = network.shape(network.outputs[0])[2]
    if c == 1:
        return 2 if network.model_output.tail == "sigmoid" else 0
    return c


def names_beside(model: Path, classes: int) -> tuple[str, ...] | None:
    """The class names that MODEL.json beside the model lists ("classes": [...]); None where it does not fit."""
    file = model.with_suffix(".json")
    try:
        document = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= MAX_JSON_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    values = [document.get(key) for key in NAME_KEYS] if isinstance(document, dict) else []
    lists = [value for value in values if isinstance(value, list) and all(isinstance(name, str) for name in value)]
    return next((tuple(names) for names in lists if len(names) == classes), None)


def truth(network: QuantizedNetwork, found: Pictures, names: Sequence[str] | None) -> Truth:
    """The labels of ``found`` as the network's classes; ``names`` are the network's own, where they are known.

    Labels called as the network's classes are those; called by numbers they are the classes of these numbers; as
    many as there are classes they are those in sorted order. All else gives no labels, but a note.
    """
    h, w, _ = network.shape(network.outputs[0])
    classes = class_count(network)
    known = tuple(names) if names is not None else tuple(map(str, range(classes)))
    if not classes:
        return Truth(None, (), "the output names no class")
    if found.labels is None:
        return Truth(None, known, "the pictures have no labels")
    if h * w > 1:
        return Truth(None, known, "the output is a map of cells, labels of whole pictures do not fit it")
    labels, called, note = found.labels, found.class_names, ""
    if called is not None and names is not None and set(called) <= set(names):
        labels = np.array([list(names).index(name) for name in called], np.int64)[labels]
    elif called is not None and all(name.isdecimal() for name in called):
        labels = np.array([int(name) for name in called], np.int64)[labels]
    elif called is not None:
        if len(called) != classes:
            return Truth(None, known, f"the pictures have {len(called)} classes, the network {classes}")
        note = "" if names is None else _by_order(called, names)
        known = known if names is not None else called
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        span = f"from {labels.min()} to {labels.max()}"
        return Truth(None, known, f"the labels go {span}, the network has {classes} classes")
    return Truth(labels, known, note)


def _by_order(called: Sequence[str], names: Sequence[str]) -> str:
    pairs = [f"{one} is {other}" for one, other in zip(called, names, strict=True) if one != other]
    return f"labels taken for the network's classes in sorted order: {', '.join(pairs[:4])}"
