# SPDX-License-Identifier: Apache-2.0
"""Byte count: an option's value such as 30000, 30k or 32KiB."""

from __future__ import annotations

from typing import Any

import rich_click as click

from mbv2gen.byte_text import byte_count


class ByteCount(click.ParamType[int]):
    """A positive number of bytes: k and M count in thousands, KiB and MiB in powers of two."""

    name = "bytes"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        count = byte_count(str(value))
        if count is None:
            self.fail(
                f"'{value}' is no number of bytes; write 30000, 30k (= 30000) or 32KiB (= 32768)", parameter, context
            )
        return count
