# SPDX-License-Identifier: Apache-2.0
"""What stands beside an array of pictures in its .npz: labels, names of classes, names of files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.pixels.array_file import ArrayFile, array_names, open_array
from mbv2gen.pixels.image_files import numbered

Labels = NDArray[np.int64]


def array_labels(
    array: ArrayFile, label_key: str | None
) -> tuple[tuple[str, ...], Labels | None, tuple[str, ...] | None]:
    """(names of files, labels, names of classes); x_test goes with y_test and files_test, or with ``label_key``.

    Labels are integers, or text, whose sorted values are then the classes. Raises Mbv2genError where ``label_key``
    is no such array of one label a picture.
    """
    if array.key is None:
        return (), None, None
    files = _beside(array, ("files", "names"), "U")
    found = _beside(array, ("y", "labels"), "iuU") if label_key is None else _named(array, label_key)
    names = () if files is None else tuple(str(value) for value in files)
    if found is None:
        return names, None, _class_names(array)
    if found.dtype.kind == "U":
        return names, *numbered([str(value) for value in found])
    return names, found.astype(np.int64), _class_names(array)


def _beside(array: ArrayFile, prefixes: Sequence[str], kinds: str) -> NDArray[np.generic] | None:
    """The first array of such a name that has one value of such a kind for each picture."""
    assert array.key is not None
    present = array_names(array.path)
    suffixes = [array.key[1:]] if array.key[:1] in ("x", "X") else []
    for name in (prefix + suffix for suffix in (*suffixes, f"_{array.key}", "") for prefix in prefixes):
        if name in present and name != array.key:
            other = open_array(array.path, name)
            if other.dtype.kind in kinds and _is_one_a_picture(other, array):
                return other.whole().reshape(-1)
    return None


def _named(array: ArrayFile, key: str) -> NDArray[np.generic]:
    names = array_names(array.path)
    if key not in names:
        raise Mbv2genError(f"{array.path}: has no array {key!r} of labels; it holds {', '.join(names[:8])}")
    labels = open_array(array.path, key)
    if labels.dtype.kind not in "iuU" or not _is_one_a_picture(labels, array):
        raise Mbv2genError(
            f"{labels}: labels must be {array.shape[0]} integers or names, one a picture "
            f"(got {labels.dtype} {list(labels.shape)})"
        )
    return labels.whole().reshape(-1)


def _is_one_a_picture(labels: ArrayFile, array: ArrayFile) -> bool:
    return labels.shape in (array.shape[:1], (array.shape[0], 1))


def _class_names(array: ArrayFile) -> tuple[str, ...] | None:
    present = array_names(array.path)
    for name in ("classes", "class_names"):
        if name in present and (found := open_array(array.path, name)).dtype.kind == "U" and len(found.shape) == 1:
            return tuple(str(value) for value in found.whole())
    return None
