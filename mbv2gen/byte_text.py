# SPDX-License-Identifier: Apache-2.0
"""Byte text: 30000, 30k or 32KiB as a number of bytes."""

from __future__ import annotations

import re

UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1024, "m": 1000**2, "mb": 1000**2, "mib": 1024**2}


def byte_count(text: str) -> int | None:
    """A positive number of bytes: k and M count in thousands, KiB and MiB in powers of two; None where it is none."""
    match = re.fullmatch(r"([0-9][0-9_]*)\s*([a-z]*)", text.strip().lower())
    unit = UNITS.get(match[2]) if match else None
    if match is None or unit is None or int(match[1]) == 0:
        return None
    return int(match[1]) * unit
