# SPDX-License-Identifier: Apache-2.0
"""The command package: compiled networks as another build system wants them."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from mbv2gen.commands import terminal
from mbv2gen.output_folder import open_folder
from mbv2gen.packages import kinds, package

FILE = click.Path(path_type=Path)


@click.command("package")
@click.argument("out", type=FILE, nargs=-1, required=True)
@click.option("--as", "kind", type=click.Choice(list(kinds.NAMES)), required=True, help="For which build system.")
@click.option("-o", "--output", "folder", type=FILE, required=True, help="The folder to write.")
@click.option("--name", help="The package's name. [default: the networks']")
@terminal.options
def package_(out: tuple[Path, ...], kind: str, folder: Path, name: str | None) -> None:
    """Lay out compiled networks as a library or module of a build system: the same C files, with what builds them.

    Several networks go into one package: it holds the kernels they share once, and its example runs them in one arena.

    Example: mbv2gen package build/digits build/flowers --as cmake -o vision --name vision
    """
    screen, chosen = terminal.current(), kinds.find(kind)
    files = package.write([open_folder(path) for path in out], chosen, folder, name)
    screen.document({"output": str(folder), "kind": chosen.name, "files": list(files)})
    screen.line(f"{folder}: {chosen.title}, {len(files)} files; {folder / 'README.md'} says how to add it")


COMMANDS = (package_,)
