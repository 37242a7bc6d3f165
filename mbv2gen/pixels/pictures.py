"""Pictures: labelled images out of a folder, an .npz or an .npy, as batches in bounded memory.

Two kinds of data: pictures (files, or uint8 arrays [N][H][W][C]), which are preprocessed, and float arrays in the
model's own layout, which are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import FloatArray, ModelInput, Shape
from mbv2gen.pixels.array_file import ArrayFile, array_names, open_array
from mbv2gen.pixels.image import UInt8Array, fit, read_image
from mbv2gen.pixels.preprocessing import Preprocessing, normalise

COMPANIONS = {"", ".csv", ".db", ".json", ".md", ".npy", ".npz", ".onnx", ".toml", ".txt", ".xml", ".yaml", ".yml"}

Reader = Callable[[Sequence[int]], Iterator[NDArray[np.generic]]]


@dataclass(frozen=True, eq=False)
class Pictures:
    """``read`` yields for rising indices uint8 pictures [h][w][c] where ``is_pixels``, else float32 inputs.

    ``labels`` are class indices, int64 [n]; ``class_names`` their names, where the source has them.
    """

    source: str
    shape: Shape
    preprocessing: Preprocessing
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    is_pixels: bool
    read: Reader
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

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

    def _batches(self, size: int) -> Iterator[NDArray[np.generic]]:
        batch: list[NDArray[np.generic]] = []
        for picture in self.read(self.indices):
            batch.append(picture)
            if len(batch) == size:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)


def open_pictures(spec: str, shape: Shape, preprocessing: Preprocessing, model_input: ModelInput) -> Pictures:
    """Pictures for a network input of ``shape`` (h, w, c) out of a folder, FILE.npz, FILE.npz:KEY or FILE.npy.

    Of an .npz without KEY its ``images`` are taken, or its only array, or its only one of three or more dimensions.
    Raises Mbv2genError naming the file; files are decoded, and found broken, when they are read.
    """
    path, key = Path(spec), None
    if not path.exists() and ".npz:" in spec:
        name, _, key = spec.rpartition(":")
        path = Path(name)
    if not path.exists():
        raise Mbv2genError(f"{spec}: no such file or folder; give a folder of images, an .npz or an .npy")
    if path.is_dir():
        return _open_folder(path, shape, preprocessing)
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".npy"):
        raise Mbv2genError(f"{spec}: neither a folder of images nor an .npz nor an .npy")
    array = open_array(path, _picture_key(path, key) if suffix == ".npz" else None)
    return _open_array(array, shape, preprocessing, model_input)


def _open_folder(folder: Path, shape: Shape, preprocessing: Preprocessing) -> Pictures:
    """Images of a folder, or of its CLASS/ folders, in the order of names; labels are places among sorted classes."""
    if shape[2] not in (1, 3):
        raise Mbv2genError(f"{folder}: images have 1 or 3 channels, the model {shape[2]}; give an .npz or an .npy")
    files = _image_files(folder)
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    labelled = [(path, label) for label, one in enumerate(classes) for path in _image_files(one)]
    if files and labelled:
        raise Mbv2genError(f"{folder}: holds images both beside and inside folders such as {classes[0].name}")
    if not files and not labelled:
        hint = f"; did you mean {classes[0]}?" if any(p.is_dir() for one in classes for p in one.iterdir()) else ""
        raise Mbv2genError(f"{folder}: holds no image, nor do its CLASS/ folders{hint}")
    paths = files or [path for path, _ in labelled]
    return Pictures(
        source=str(folder),
        shape=shape,
        preprocessing=preprocessing,
        names=tuple(path.relative_to(folder).as_posix() for path in paths),
        labels=None if files else np.array([label for _, label in labelled], np.int64),
        class_names=None if files else tuple(one.name for one in classes),
        is_pixels=True,
        read=partial(_read_files, paths, shape, preprocessing),
        indices=range(len(paths)),
    )


def _image_files(folder: Path) -> list[Path]:
    """Every file that is not hidden and not of a kind that accompanies images (tables, notes, LICENSE, models)."""
    try:
        found = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise Mbv2genError(f"{folder}: cannot be listed: {error.strerror}") from None
    return sorted(p for p in found if p.suffix.lower() not in COMPANIONS)


def _read_files(
    paths: Sequence[Path], shape: Shape, preprocessing: Preprocessing, indices: Sequence[int]
) -> Iterator[UInt8Array]:
    mode = "L" if shape[2] == 1 else "RGB"
    for index in indices:
        yield fit(read_image(paths[index], mode), shape, preprocessing)


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


def _open_array(array: ArrayFile, shape: Shape, preprocessing: Preprocessing, model_input: ModelInput) -> Pictures:
    if array.shape[0] == 0:
        raise Mbv2genError(f"{array}: holds no picture, its shape is {array.shape}")
    is_pixels = array.dtype == np.uint8
    reader: Reader
    if is_pixels:
        _check_pictures(array, shape)
        reader = partial(_read_pictures, array, shape, preprocessing)
    else:
        _check_floats(array, shape, model_input)
        reader = partial(_read_floats, array, shape, model_input)
    label = array.key if array.key is not None else array.path.stem
    names, labels, class_names = _annotations(array)
    return Pictures(
        source=str(array),
        shape=shape,
        preprocessing=preprocessing,
        names=names or tuple(f"{label}[{index}]" for index in range(array.shape[0])),
        labels=labels,
        class_names=class_names,
        is_pixels=is_pixels,
        read=reader,
        indices=range(array.shape[0]),
    )


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


def _read_pictures(
    array: ArrayFile, shape: Shape, preprocessing: Preprocessing, indices: Sequence[int]
) -> Iterator[UInt8Array]:
    for row in array.rows(indices):
        picture = row.astype(np.uint8, copy=False)
        yield fit(picture.reshape(picture.shape[0], picture.shape[1], -1), shape, preprocessing)


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


def _annotations(array: ArrayFile) -> tuple[tuple[str, ...], NDArray[np.int64] | None, tuple[str, ...] | None]:
    """(names, labels, class names) that stand beside an array in its .npz; x_test goes with y_test and files_test."""
    if array.key is None:
        return (), None, None
    present = array_names(array.path)
    suffixes = [array.key[1:]] if array.key[:1] in ("x", "X") else []
    suffixes += [f"_{array.key}", ""]

    def beside(prefixes: Sequence[str], kinds: str) -> NDArray[np.generic] | None:
        """The first array of such a name that has one value of such a kind for each picture."""
        for name in (prefix + suffix for suffix in suffixes for prefix in prefixes):
            if name in present and name != array.key:
                other = open_array(array.path, name)
                if other.dtype.kind in kinds and other.shape in (array.shape[:1], (array.shape[0], 1)):
                    return other.whole().reshape(-1)
        return None

    labels, files = beside(("y", "labels"), "iu"), beside(("files", "names"), "U")
    classes = None
    for name in ("classes", "class_names"):
        if name in present and (found := open_array(array.path, name)).dtype.kind == "U" and len(found.shape) == 1:
            classes = tuple(str(value) for value in found.whole())
    return (
        () if files is None else tuple(str(value) for value in files),
        None if labels is None else labels.astype(np.int64),
        classes,
    )
