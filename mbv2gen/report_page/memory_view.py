# SPDX-License-Identifier: Apache-2.0
"""MemoryView: what RAM and flash hold, against a board's memories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbv2gen.hardware.board import Board


@dataclass(frozen=True)
class Part:
    """Bytes of one thing; ``share`` of all that is used."""

    name: str
    key: str
    size: int
    share: float


@dataclass(frozen=True)
class MemoryView:
    """``capacity`` and ``fill`` (may exceed 1) None: no board to compare with. ``missing``: what is not measured."""

    title: str
    used: int
    capacity: int | None
    fill: float | None
    parts: tuple[Part, ...]
    missing: tuple[str, ...]


RAM_PARTS = (("arena_bytes", "arena"), ("static_bytes", "variables"), ("stack_bytes", "stack"))
FLASH_PARTS = (
    ("weights_bytes", "weights"),
    ("parameters_bytes", "parameters"),
    ("descriptions_bytes", "descriptions of layers"),
    ("code_bytes", "code"),
)


def memory_views(report: Mapping[str, Any], board: Board | None) -> tuple[MemoryView, MemoryView]:
    """(RAM, flash)"""
    capacities = (None, None) if board is None else (board.ram_bytes, board.flash_bytes)
    return (
        _view("RAM", report["ram"], RAM_PARTS, capacities[0]),
        _view("Flash", report["flash"], FLASH_PARTS, capacities[1]),
    )


def _view(
    title: str, sizes: Mapping[str, int | None], names: tuple[tuple[str, str], ...], capacity: int | None
) -> MemoryView:
    known = [(name, key, size) for key, name in names if (size := sizes[key]) is not None]
    used = sum(size for _, _, size in known)
    return MemoryView(
        title=title,
        used=used,
        capacity=capacity,
        fill=None if capacity is None else used / capacity,
        parts=tuple(Part(n, key.removesuffix("_bytes"), size, size / max(used, 1)) for n, key, size in known if size),
        missing=tuple(name for key, name in names if sizes[key] is None),
    )
