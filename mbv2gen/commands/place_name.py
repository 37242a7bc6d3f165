# SPDX-License-Identifier: Apache-2.0
"""Place name: --on, where C runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click

from mbv2gen.commands.terminal import Command
from mbv2gen.hardware.execution import SERIAL


class PlaceName(click.ParamType[str]):
    """One of ``names``, or serial:PORT."""

    name = "place"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        text = str(value)
        if text not in self.names and not (text.startswith(SERIAL) and len(text) > len(SERIAL)):
            self.fail(f"'{text}' is not {', '.join(self.names)} or serial:PORT", parameter, context)
        return text


def on_option(*names: str, default: str | None = None) -> Callable[[Command], Command]:
    """--on with these names, and serial:PORT; without ``default`` it is None where nothing is said."""
    shown = "|".join((*names, "serial:PORT"))
    text = f"Where C runs. PORT: /dev/ttyACM0, COM3, socket://HOST:PORT. [default: {default or 'host'}]"
    return click.option("--on", type=PlaceName(names), default=default, metavar=shown, help=text)
