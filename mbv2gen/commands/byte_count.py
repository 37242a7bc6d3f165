"""Byte count: an option's value such as 30000, 30k or 32KiB."""

from __future__ import annotations

import re
from typing import Any

import rich_click as click

UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1024, "m": 1000**2, "mb": 1000**2, "mib": 1024**2}


class ByteCount(click.ParamType[int]):
    """A positive number of bytes: k and M count in thousands, KiB and MiB in powers of two."""

    name = "bytes"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9][0-9_]*)\s*([a-z]*)", str(value).strip().lower())
        unit = UNITS.get(match[2]) if match else None
        if match is None or unit is None or int(match[1]) == 0:
            self.fail(
                f"'{value}' is no number of bytes; write 30000, 30k (= 30000) or 32KiB (= 32768)", parameter, context
            )
        return int(match[1]) * unit
