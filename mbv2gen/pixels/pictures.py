# SPDX-License-Identifier: Apache-2.0
"""Pictures: labelled images out of a folder, a table, an .npz or an .npy, as batches in bounded memory.

Two kinds of data: pictures (files, or uint8 arrays [N][H][W][C]), which are preprocessed, and float arrays in the
model's own layout, which are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import FloatArray, ModelInput, Shape
from mbv2gen.pixels import image_files
from mbv2gen.pixels.array_file import ArrayFile, array_names, open_array
from mbv2gen.pixels.array_labels import array_labels
from mbv2gen.pixels.image import UInt8Array, fit, read_image
from mbv2gen.pixels.image_files import ImageFiles
from mbv2gen.pixels.preprocessing import Preprocessing, normalise

Values: TypeAlias = NDArray[np.generic]
Reader: TypeAlias = Callable[[Sequence[Any]], Iterator[Any]]
Preparation: TypeAlias = Callable[[Any], Values]

WANTED = "a folder of images, a table (.csv), an .npz or an .npy"


def as_it_is(values: Values) -> Values:
    """The preparation of values that need none."""
    return values


@dataclass(frozen=True, eq=False)
class Pictures:
    """``read`` yields for rising ``indices`` what ``prepare`` makes a picture of.

    Reading is cheap and goes through a source in its order; preparing (decoding, resizing) is the work, and can be
    done anywhere, in any order. A picture is uint8 [h][w][c] where ``is_pixels``, else a float32 input. ``labels`` are
    class indices, int64 [n]; ``class_names`` their names, where the source has them.
    """

    source: str
    shape: Shape
    preprocessing: Preprocessing
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    is_pixels: bool
    read: Reader
    indices: Sequence[Any]
    prepare: Preparation = as_it_is

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Values]:
        """Picture after picture; Mbv2genError naming the file where one cannot be read."""
        return map(self.prepare, self.read(self.indices))

    def pixels(self, size: int) -> Iterator[UInt8Array]:
        """Batches uint8 [n][h][w][c], n <= size, resized and in the model's colour order."""
        if not self.is_pixels:
            raise Mbv2genError(f"{self.source}: holds float inputs, not pictures; give a folder or uint8 pictures")
        for batch in self._batches(size):
            yield batch.astype(np.uint8, copy=False)

    def batches(self, size: int) -> Iterator[FloatArray]:
        """Batches of the network's input, float32 [n][h][w][c], n <= size."""
        for batch in self._batches(size):
            if self.is_pixels:
                yield normalise(batch, self.preprocessing.mean, self.preprocessing.std)
            else:
                yield batch.astype(np.float32, copy=False)

    def subset(self, positions: Sequence[int]) -> Pictures:
        """The pictures at rising ``positions``, in that order."""
        chosen = list(positions)
        labels = None if self.labels is None else self.labels[chosen]
        names = tuple(self.names[position] for position in chosen)
        return replace(self, names=names, labels=labels, indices=[self.indices[position] for position in chosen])

    def parts(self, size: int) -> Iterator[Pictures]:
        """All pictures in parts of at most ``size``, which are read but not prepared: another process can do that.

        Of arrays a part holds its own rows, so that the file is read once, in order; of files their paths.
        """
        rows = self.read(self.indices)
        for start in range(0, len(self), size):
            part = self.subset(range(start, min(start + size, len(self))))
            yield replace(part, read=iter, indices=list(islice(rows, len(part))))

    def _batches(self, size: int) -> Iterator[Values]:
        pictures = iter(self)
        while batch := list(islice(pictures, size)):
            yield np.stack(batch)


def open_pictures(
    spec: str, shape: Shape, preprocessing: Preprocessing, model_input: ModelInput, labels: Path | None = None
) -> Pictures:
    """Pictures for a network input of ``shape`` (h, w, c) out of ``spec``:

    a folder of images or of CLASS/ folders (``labels``: a table for the former), a table FILE.csv or
    FILE.csv:SPLIT,SPLIT, an FILE.npz, FILE.npz:KEY or FILE.npz:KEY:LABELS, an FILE.npy. Of an .npz without KEY its
    ``images`` are taken, or its only array, or its only one of three or more dimensions.
    Raises Mbv2genError naming the file; files are decoded, and found broken, when they are prepared.
    """
    path, details = _parted(spec)
    if not path.exists():
        raise Mbv2genError(f"{spec}: no such file or folder; give {WANTED}")
    suffix = path.suffix.lower()
    if labels is not None and not path.is_dir():
        raise Mbv2genError(f"{labels}: labels from a table are for a folder of pictures, {path} brings its own")
    if path.is_dir():
        files = image_files.in_folder(path)
        files = files if labels is None else image_files.with_labels(files, path, labels)
        return _of_files(files, shape, preprocessing)
    if suffix == ".csv":
        splits = [split for part in details for split in part.split(",")]
        return _of_files(image_files.in_table(path, splits), shape, preprocessing)
    if suffix not in (".npz", ".npy") or len(details) > 2:
        raise Mbv2genError(f"{spec}: not {WANTED}")
    key, label_key = (*details, None, None)[:2]
    array = open_array(path, _picture_key(path, key) if suffix == ".npz" else None)
    return _of_array(array, label_key, shape, preprocessing, model_input)


def _parted(spec: str) -> tuple[Path, list[str]]:
    """The file of ``spec``, and what stands behind it between colons."""
    if not Path(spec).exists():
        for suffix in (".npz", ".csv"):
            file, found, rest = spec.rpartition(suffix + ":")
            if found:
                return Path(file + suffix), rest.split(":")
    return Path(spec), []


def _of_files(files: ImageFiles, shape: Shape, preprocessing: Preprocessing) -> Pictures:
    if shape[2] not in (1, 3):
        raise Mbv2genError(
            f"{files.source}: images have 1 or 3 channels, the model {shape[2]}; give an .npz or an .npy"
        )
    return Pictures(
        source=files.source,
        shape=shape,
        preprocessing=preprocessing,
        names=files.names,
        labels=files.labels,
        class_names=files.class_names,
        is_pixels=True,
        read=iter,
        indices=files.paths,
        prepare=partial(_prepared_file, shape, preprocessing),
    )


def _prepared_file(shape: Shape, preprocessing: Preprocessing, path: Path) -> UInt8Array:
    return fit(read_image(path, "L" if shape[2] == 1 else "RGB"), shape, preprocessing)


def _picture_key(path: Path, key: str | None) -> str:
    """Which array of an .npz holds the pictures."""
    names = array_names(path)
    listed = ", ".join(names[:8])
    if key is not None:
        if key not in names:
            raise Mbv2genError(f"{path}: has no array {key!r}; it holds {listed or 'none'}")
        return key
    if "images" in names:
        return "images"
    candidates = names if len(names) == 1 else [name for name in names if len(open_array(path, name).shape) >= 3]
    if len(candidates) != 1:
        raise Mbv2genError(f"{path}: which array holds the pictures? write {path.name}:KEY, KEY one of {listed}")
    return candidates[0]


def _of_array(
    array: ArrayFile, label_key: str | None, shape: Shape, preprocessing: Preprocessing, model_input: ModelInput
) -> Pictures:
    if array.shape[0] == 0:
        raise Mbv2genError(f"{array}: holds no picture, its shape is {array.shape}")
    is_pixels = array.dtype == np.uint8
    if is_pixels:
        _check_pictures(array, shape)
    else:
        _check_floats(array, shape, model_input)
    label = array.key if array.key is not None else array.path.stem
    names, labels, class_names = array_labels(array, label_key)
    return Pictures(
        source=str(array),
        shape=shape,
        preprocessing=preprocessing,
        names=names or tuple(f"{label}[{index}]" for index in range(array.shape[0])),
        labels=labels,
        class_names=class_names,
        is_pixels=is_pixels,
        read=array.rows if is_pixels else partial(_read_floats, array, shape, model_input),
        indices=range(array.shape[0]),
        prepare=partial(_prepared_row, shape, preprocessing) if is_pixels else as_it_is,
    )


def _prepared_row(shape: Shape, preprocessing: Preprocessing, row: Values) -> UInt8Array:
    picture = row.astype(np.uint8, copy=False)
    return fit(picture.reshape(picture.shape[0], picture.shape[1], -1), shape, preprocessing)


def _check_pictures(array: ArrayFile, shape: Shape) -> None:
    channels = array.shape[3] if len(array.shape) == 4 else 1
    is_plane_list = len(array.shape) == 3 and array.shape[2] > 4
    fits = channels == shape[2] or {channels, shape[2]} == {1, 3}
    if not (len(array.shape) == 4 or is_plane_list) or not fits or 0 in array.shape:
        raise Mbv2genError(f"{array}: uint8 pictures must be [N][H][W][{shape[2]}], the array is {list(array.shape)}")


def _own_shape(shape: Shape, model_input: ModelInput) -> Shape:
    return (shape[2], shape[0], shape[1]) if model_input.layout == "NCHW" else shape


def _check_floats(array: ArrayFile, shape: Shape, model_input: ModelInput) -> None:
    if array.dtype.kind != "f":
        raise Mbv2genError(f"{array}: dtype {array.dtype}; pictures must be uint8, the model's own inputs float32")
    own = _own_shape(shape, model_input)
    if [n for n in array.shape[1:] if n != 1] != [n for n in own if n != 1]:
        raise Mbv2genError(
            f"{array}: float inputs must be [N]{''.join(f'[{n}]' for n in own)} as the model takes them "
            f"({model_input.layout}), the array is {list(array.shape)}"
        )


def _read_floats(
    array: ArrayFile, shape: Shape, model_input: ModelInput, indices: Sequence[int]
) -> Iterator[FloatArray]:
    """The Network's input: NHWC, and behind the normalisation that the graph does itself."""
    for index, row in zip(indices, array.rows(indices), strict=True):
        values = row.reshape(_own_shape(shape, model_input)).astype(np.float32)
        if not np.isfinite(values).all():
            raise Mbv2genError(f"{array}: row {index} holds a value that is not finite")
        if model_input.layout == "NCHW":
            values = values.transpose(1, 2, 0)
        if model_input.mean is not None and model_input.std is not None:
            values = normalise(values, model_input.mean, model_input.std)
        yield values
