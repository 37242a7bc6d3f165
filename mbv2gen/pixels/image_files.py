# SPDX-License-Identifier: Apache-2.0
"""ImageFiles: images in files and their labels: of a folder, of its CLASS/ folders, or listed in a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.pixels.label_table import LabelTable, read_table

COMPANIONS = {"", ".csv", ".db", ".json", ".md", ".npy", ".npz", ".onnx", ".toml", ".txt", ".xml", ".yaml", ".yml"}


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """``labels`` are places among ``class_names``, int64 [n], which are sorted; both None where nothing says them.

    ``names`` are the paths as a reader would like them: relative to the folder or the table.
    """

    source: str
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None


def in_folder(folder: Path) -> ImageFiles:
    """Images of a folder, or of its CLASS/ folders, in the order of names; an empty CLASS/ keeps its place."""
    files = _image_files(folder)
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    labelled = [(path, label) for label, one in enumerate(classes) for path in _image_files(one)]
    if files and labelled:
        raise Mbv2genError(f"{folder}: holds images both beside and inside folders such as {classes[0].name}")
    if not files and not labelled:
        hint = f"; did you mean {classes[0]}?" if any(p.is_dir() for one in classes for p in one.iterdir()) else ""
        raise Mbv2genError(f"{folder}: holds no image, nor do its CLASS/ folders{hint}")
    paths = tuple(files) or tuple(path for path, _ in labelled)
    return ImageFiles(
        source=str(folder),
        paths=paths,
        names=tuple(path.relative_to(folder).as_posix() for path in paths),
        labels=None if files else np.array([label for _, label in labelled], np.int64),
        class_names=None if files else tuple(one.name for one in classes),
    )


def in_table(path: Path, splits: Sequence[str] = ()) -> ImageFiles:
    """The images that a table lists, in its order; of ``splits`` alone where they are named."""
    table = read_table(path, splits)
    source = f"{path}:{','.join(splits)}" if splits else str(path)
    labels, class_names = (None, None) if table.labels is None else numbered(table.labels)
    return ImageFiles(source, tuple(path.parent / file for file in table.files), table.files, labels, class_names)


def with_labels(files: ImageFiles, folder: Path, path: Path) -> ImageFiles:
    """``files`` of ``folder`` with the labels of the table ``path``, whose names are relative to either's folder.

    Raises Mbv2genError where the table does not name one of them; what it names besides is passed over.
    """
    table = read_table(path)
    if table.labels is None:
        raise Mbv2genError(f"{path}: has no column 'label'")
    label_of = _by_path(table, folder) | _by_path(table, path.parent)
    found = [label_of.get(os.path.abspath(one)) for one in files.paths]
    if None in found:
        raise Mbv2genError(f"{path}: does not name {files.paths[found.index(None)]}, which is one of the pictures")
    labels, class_names = numbered([label for label in found if label is not None])
    return replace(files, labels=labels, class_names=class_names)


def numbered(labels: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(places among the class names, int64 [n]; the class names, sorted)."""
    names, places = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    return places.astype(np.int64), tuple(str(name) for name in names)


def _by_path(table: LabelTable, folder: Path) -> dict[str, str]:
    assert table.labels is not None
    pairs = zip(table.files, table.labels, strict=True)
    return {os.path.abspath(folder / file): label for file, label in pairs}


def _image_files(folder: Path) -> list[Path]:
    """Every file that is not hidden and not of a kind that accompanies images (tables, notes, LICENSE, models)."""
    try:
        found = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise Mbv2genError(f"{folder}: cannot be listed: {error.strerror}") from None
    return sorted(p for p in found if p.suffix.lower() not in COMPANIONS)
