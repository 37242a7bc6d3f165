# SPDX-License-Identifier: Apache-2.0
"""Shell completion: the command that prints a shell's script, and what the values of options are completed with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem, get_completion_class

from mbv2gen import targets
from mbv2gen.commands import terminal
from mbv2gen.hardware import boards

VARIABLE = "_MBV2GEN_COMPLETE"  # click's own: the script sets it, and the program then answers
WHERE = {  # the shell looks for it
    "bash": "~/.local/share/bash-completion/completions/mbv2gen",
    "zsh": "_mbv2gen in a folder of $fpath",
    "fish": "~/.config/fish/completions/mbv2gen.fish",
}


class KnownName(click.ParamType[str]):
    """Any text, completed with (name, what it is)."""

    name = "text"

    def __init__(self, known: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._known = known

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name, help=what) for name, what in self._known() if name.startswith(incomplete)]


class Data(KnownName):
    """Text that begins with a file or folder, such as FILE.npz:KEY."""

    def __init__(self) -> None:
        super().__init__(tuple)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class Folder(click.Path):
    """A path, completed with folders alone; whether it is one the command itself says."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


def _targets() -> list[tuple[str, str]]:
    return [(target.name, target.description) for target in targets.TARGETS]


def _boards() -> list[tuple[str, str]]:
    return [(board.name, board.core) for board in boards.all_boards()]


NAMES = {
    "target": KnownName(_targets),
    "board": KnownName(_boards),
    "calibration": Data(),
    "images": Data(),
    "input_": Data(),
}
FOLDERS = frozenset({"out", "into", "folder", "keep"})


def completed(command: click.Command) -> click.Command:
    """The command itself; parameters of a known name are completed alike in all of them."""
    for parameter in command.params:
        if parameter.name in NAMES and parameter.type is click.STRING:
            parameter.type = NAMES[parameter.name]
        elif parameter.name in FOLDERS and isinstance(parameter.type, click.Path):
            parameter.type = Folder()
    return command


@click.command()
@click.argument("shell", type=click.Choice(list(WHERE)))
@terminal.options
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options, targets, boards and files.

    Write it to where the shell looks: bash ~/.local/share/bash-completion/completions/mbv2gen, zsh _mbv2gen in a
    folder of $fpath, fish ~/.config/fish/completions/mbv2gen.fish.

    Example: mbv2gen completion bash > ~/.local/share/bash-completion/completions/mbv2gen
    """
    screen = terminal.current()
    kind, context = get_completion_class(shell), click.get_current_context()
    assert kind is not None
    assert context is not None
    script = kind(context.find_root().command, {}, "mbv2gen", VARIABLE).source()
    screen.line(script.strip())
    screen.document({"shell": shell, "script": script, "where": WHERE[shell]})


COMMANDS = (completion,)
