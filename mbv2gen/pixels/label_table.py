# SPDX-License-Identifier: Apache-2.0
"""LabelTable: a CSV file that names image files, their labels and, where it has them, the splits they belong to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbv2gen.errors import Mbv2genError

FILE_COLUMNS = ("file", "filename", "path", "image")
LABEL_COLUMNS = ("label", "class")
SPLIT_COLUMN = "split"
DELIMITERS = (",", ";", "\t")
MAX_TABLE_BYTES = 1 << 28


@dataclass(frozen=True)
class LabelTable:
    """Rows in the file's order. ``files`` as they are written; ``labels`` None: it has no such column."""

    path: Path
    files: tuple[str, ...]
    labels: tuple[str, ...] | None


def read_table(path: Path, splits: Sequence[str] = ()) -> LabelTable:
    """The rows of ``path`` whose split is one of ``splits``; of all splits where none is named.

    Its first line names the columns: file (or filename, path, image), label (or class), split; others are passed
    over. Raises Mbv2genError naming the file and the line.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise Mbv2genError(f"{path}: is larger than {MAX_TABLE_BYTES} bytes; is it a table of files and labels?")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=_delimiter(path))
            header = [name.strip().lower() for name in next(reader)]
            rows = [(reader.line_num, row) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Mbv2genError(f"{path}: cannot be read as CSV: {' '.join(str(error).split())}") from None
    file_at, label_at = _column(header, FILE_COLUMNS), _column(header, LABEL_COLUMNS)
    assert file_at is not None, "the delimiter was found by it"
    rows = _of_splits(path, rows, _column(header, (SPLIT_COLUMN,)), splits)
    if not rows:
        raise Mbv2genError(f"{path}: lists no file")
    files = tuple(_cell(path, line, row, file_at, header) for line, row in rows)
    labels = None if label_at is None else tuple(_cell(path, line, row, label_at, header) for line, row in rows)
    return LabelTable(path, files, labels)


def _delimiter(path: Path) -> str:
    """What separates the columns of the first line; Mbv2genError where no column names files."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline(1 << 16)
    for delimiter in DELIMITERS:
        if _column([name.strip(' "\r\n').lower() for name in first.split(delimiter)], FILE_COLUMNS) is not None:
            return delimiter
    raise Mbv2genError(f"{path}: its first line must name the columns, as in file,label or file,label,split")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _of_splits(
    path: Path, rows: list[tuple[int, list[str]]], split_at: int | None, wanted: Sequence[str]
) -> list[tuple[int, list[str]]]:
    if not wanted:
        return rows
    if split_at is None:
        raise Mbv2genError(f"{path}: has no column 'split'; leave out ':{','.join(wanted)}'")
    split_of = [row[split_at].strip() if split_at < len(row) else "" for _, row in rows]
    for name in wanted:
        if name not in split_of:
            known = ", ".join(sorted(set(split_of) - {""})[:8]) or "none"
            raise Mbv2genError(f"{path}: has no split {name!r}; it holds {known}")
    return [row for row, split in zip(rows, split_of, strict=True) if split in wanted]


def _cell(path: Path, line: int, row: Sequence[str], column: int, header: Sequence[str]) -> str:
    value = row[column].strip() if column < len(row) else ""
    if not value or "\0" in value:
        raise Mbv2genError(f"{path}: line {line} has no {header[column]}")
    return value
