# SPDX-License-Identifier: Apache-2.0
"""Taps: the rows of every layer that a program built with taps wrote, put together (firmware/main.c: TAPS)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import CheckFailed

Int8Array: TypeAlias = NDArray[np.int8]
_HEAD = struct.Struct("<4I")  # layer, row, first value, count
_END = 0xFFFFFFFF

Rows: TypeAlias = dict[int, list[tuple[int, bytes]]]  # row -> [(first value, values)]


def read_taps(file: Path, title: str) -> Iterator[dict[int, Int8Array]]:
    """For each inference {layer: int8 [rows][values of a row]}, one at a time.

    CheckFailed where a layer lacks a value or has one twice: the program's taps are wrong.
    """
    layers: dict[int, Rows] = {}
    with file.open("rb") as stream:
        while head := stream.read(_HEAD.size):
            layer, row, first, count = _HEAD.unpack(head)
            if layer == _END:
                yield {index: _layer(layers[index], f"{title}: tap of layer {index}") for index in sorted(layers)}
                layers = {}
            else:
                layers.setdefault(layer, {}).setdefault(row, []).append((first, _values(stream, count, title)))


def _values(stream: BinaryIO, count: int, title: str) -> bytes:
    values = stream.read(count)
    if len(values) != count:
        raise CheckFailed(f"{title}: the file of taps ends within a row")
    return values


def _layer(rows: Rows, where: str) -> Int8Array:
    """[rows][values of a row], whatever the order in which they came."""
    if sorted(rows) != list(range(len(rows))):
        missing = min(set(range(max(rows) + 1)) - set(rows))
        raise CheckFailed(f"{where}: row {missing} is missing")
    joined = [_row(rows[row], f"{where}, row {row}") for row in range(len(rows))]
    lengths = {len(row) for row in joined}
    if len(lengths) > 1:
        raise CheckFailed(f"{where}: its rows have between {min(lengths)} and {max(lengths)} values")
    return np.frombuffer(b"".join(joined), dtype=np.int8).reshape(len(joined), -1)


def _row(pieces: list[tuple[int, bytes]], where: str) -> bytes:
    at = 0
    for first, values in sorted(pieces):
        if first != at:
            raise CheckFailed(f"{where}: {f'value {at} is missing' if first > at else f'value {first} comes twice'}")
        at += len(values)
    return b"".join(values for _, values in sorted(pieces))
