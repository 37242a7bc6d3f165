# SPDX-License-Identifier: Apache-2.0
"""Markdown tables and documents for docs/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Numbers stand on the right and have commas; None is a dash."""
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    lines = [columns, ["---:" if right else "---" for right in numeric], *(list(map(cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write(path: Path, parts: Sequence[str]) -> None:
    """The parts, an empty line between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(part if part.endswith("\n") else part + "\n" for part in parts), encoding="utf-8")
