# SPDX-License-Identifier: Apache-2.0
"""Terminal: what a command says. Text or one JSON document on standard output, everything else on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table

from mbv2gen import progress
from mbv2gen.identifiers import comment

WIDTH_WITHOUT_TERMINAL = 300
LONG = 24  # characters; wider columns give way where the terminal is narrow

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Terminal:
    """``quiet``: warnings and errors only; ``as_json``: one JSON document and no other text on standard output."""

    quiet: bool
    as_json: bool

    def line(self, text: str) -> None:
        """A line for the reader."""
        if not (self.quiet or self.as_json):
            click.echo(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table under its title; numbers, with commas, stand on the right, None is a dash."""
        if self.quiet or self.as_json:
            return
        click.echo(title)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        cells = [[_cell(value) for value in row] for row in rows]
        for index, column in enumerate(columns):
            is_number = any(isinstance(row[index], int | float) for row in rows)
            is_long = any(len(row[index]) > LONG for row in cells)
            table.add_column(column, justify="right" if is_number else "left", no_wrap=not is_long, overflow="fold")
        for line in cells:
            table.add_row(*line)
        width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
        Console(width=width, markup=False, highlight=False, emoji=False).print(table)

    def document(self, value: Mapping[str, Any] | Sequence[Any]) -> None:
        """The JSON document, where one is wanted."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2))

    def warn(self, text: str) -> None:
        """A warning: never silent."""
        click.echo(f"mbv2gen: warning: {one_line(text)}", err=True)

    def progress(self, description: str) -> AbstractContextManager[progress.Tell]:
        return progress.bar(description, quiet=self.quiet)


def options(command: Command) -> Command:
    """--quiet and --json, which every command has; both arrive as one ``terminal``."""

    def pair(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        context.ensure_object(dict)[parameter.name] = value
        return value

    for name, text in (
        ("quiet", "Say nothing but warnings and errors."),
        ("json", "Write one JSON document to standard output, and no other text."),
    ):
        command = click.option(f"--{name}", is_flag=True, expose_value=False, callback=pair, help=text)(command)
    return command


def current() -> Terminal:
    """The terminal of the command that runs."""
    context = click.get_current_context()
    assert context is not None
    chosen = context.ensure_object(dict)
    return Terminal(bool(chosen.get("quiet")), bool(chosen.get("json")))


def one_line(text: str) -> str:
    """``text`` without line breaks and other control characters, whatever names of a model's it quotes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip()


def percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else comment(str(value))
