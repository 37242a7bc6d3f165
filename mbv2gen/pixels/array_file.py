# SPDX-License-Identifier: Apache-2.0
"""ArrayFile: one array of a .npy or .npz file, read row by row, so that its size does not matter.

Nothing is ever unpickled, and no more is read than asked for: neither a header's shape nor a compressed member
decides how much memory is taken.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError

MAX_ROWS = 1 << 22
MAX_ROW_BYTES = 1 << 29
MAX_WHOLE_BYTES = 1 << 26
READ_ERRORS = (OSError, ValueError, RuntimeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class ArrayFile:
    """``key`` is the array's name in an .npz and None in an .npy; ``offset`` where its values begin, in bytes."""

    path: Path
    key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape[1:])

    def rows(self, indices: Sequence[int]) -> Iterator[NDArray[np.generic]]:
        """The rows [index] for rising ``indices``, one at a time; Mbv2genError where the file ends too early."""
        if self.row_bytes > MAX_ROW_BYTES:
            raise Mbv2genError(f"{self}: one row of shape {self.shape[1:]} has more than {MAX_ROW_BYTES} bytes")
        with _reading(self.path, self.key) as stream:
            for index in indices:
                stream.seek(self.offset + index * self.row_bytes)
                data = stream.read(self.row_bytes)
                if len(data) != self.row_bytes:
                    raise Mbv2genError(f"{self}: ends inside row {index} of {self.shape[0]}; the file is truncated")
                yield np.frombuffer(data, self.dtype).reshape(self.shape[1:])

    def whole(self) -> NDArray[np.generic]:
        """The whole of a small array, such as labels."""
        if self.row_bytes * self.shape[0] > MAX_WHOLE_BYTES:
            raise Mbv2genError(f"{self}: shape {self.shape} is too large for labels or names")
        return np.stack(list(self.rows(range(self.shape[0])))) if self.shape[0] else np.empty(self.shape, self.dtype)

    def __str__(self) -> str:
        return _name(self.path, self.key)


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an .npz, in the file's order."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name[:-4] for name in archive.namelist() if name.endswith(".npy"))
    except READ_ERRORS as error:
        raise Mbv2genError(f"{path}: not a readable .npz: {_one_line(error)}") from None


def open_array(path: Path, key: str | None) -> ArrayFile:
    """Read and check the header of one array: C order, of numbers or text, not of Python objects."""
    with _reading(path, key) as stream:
        version = npy_format.read_magic(stream)
        read_header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ValueError(f"npy version {version[0]}.{version[1]} is not read")
        shape, is_fortran, dtype = read_header(stream)
        if dtype.hasobject or dtype.names is not None or dtype.itemsize == 0:
            raise ValueError("holds Python objects or records; save it as plain numbers")
        if is_fortran and len(shape) > 1:
            raise ValueError("is in Fortran order; save numpy.ascontiguousarray(x)")
        if not shape or min(shape) < 0:
            raise ValueError(f"shape {shape} has no rows")
        array = ArrayFile(path, key, shape, dtype, stream.tell())
        if shape[0] > MAX_ROWS or array.offset + array.row_bytes * shape[0] > _size(path, key):
            raise ValueError(f"is shorter than its shape {shape} says, or has more than {MAX_ROWS} rows")
        return array


def _size(path: Path, key: str | None) -> int:
    """Bytes of the .npy stream, by the file system or the archive's directory."""
    if key is None:
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(f"{key}.npy").file_size


@contextmanager
def _reading(path: Path, key: str | None) -> Iterator[IO[bytes]]:
    """The bytes of one .npy stream; whatever goes wrong becomes one line that names the file."""
    try:
        if key is None:
            with path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
                yield member
    except Mbv2genError:
        raise
    except READ_ERRORS as error:
        raise Mbv2genError(f"{_name(path, key)}: cannot be read: {_one_line(error)}") from None


def _name(path: Path, key: str | None) -> str:
    return str(path) if key is None else f"{path}:{key}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
