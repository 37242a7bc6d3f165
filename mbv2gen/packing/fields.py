# SPDX-License-Identifier: Apache-2.0
"""Fields: the members of a kernel's struct as values that render as a C initialiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Symbol:
    """A function by its C name, or NULL."""

    name: str


@dataclass(frozen=True)
class TableName:
    """A table of the same call, by its field."""

    field: str


@dataclass(frozen=True)
class StructName:
    """The address of a struct of the same call, by its field."""

    field: str


Value: TypeAlias = "int | StructName | Symbol | TableName | tuple[int, ...] | Fields"
Fields: TypeAlias = "tuple[tuple[str, Value], ...]"

NULL = Symbol("NULL")
