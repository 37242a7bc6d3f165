# SPDX-License-Identifier: Apache-2.0
"""The command line: thin. Each command reads its options, calls one function and shows what it returns."""

from __future__ import annotations

import sys
from typing import NoReturn

import rich_click as click
from rich_click import rich_click

from mbv2gen import __version__
from mbv2gen.commands import analysis as commands_of_analysis
from mbv2gen.commands import completion as commands_of_completion
from mbv2gen.commands import evaluation as commands_of_evaluation
from mbv2gen.commands import fitting as commands_of_fitting
from mbv2gen.commands import images as commands_of_images
from mbv2gen.commands import insight as commands_of_insight
from mbv2gen.commands import models as commands_of_models
from mbv2gen.commands import outputs as commands_of_outputs
from mbv2gen.commands import packaging as commands_of_packaging
from mbv2gen.commands import viewing as commands_of_viewing
from mbv2gen.commands.completion import completed
from mbv2gen.commands.terminal import one_line
from mbv2gen.errors import Mbv2genError

PANELS = {  # of the help; what is in none stands below
    "A model": ("fit", "inspect", "pareto", "analyze", "compile"),
    "What compile has written": (
        "verify",
        "bisect",
        "view-input",
        "run",
        "evaluate",
        "profile",
        "report",
        "export",
        "package",
    ),
    "A board": ("boards", "firmware", "flash"),
}
rich_click.COMMAND_GROUPS["mbv2gen"] = [{"name": name, "commands": list(commands)} for name, commands in PANELS.items()]

INTERRUPTED = 130  # as a shell counts a program that SIGINT ended


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mbv2gen")
def cli() -> None:
    """Ahead-of-time compiler: a trained MobileNetV2 in ONNX becomes verified int8 C for microcontrollers.

    Exit codes: 0 fine, 1 a check failed, 2 bad input or usage.
    """


GROUPS = (
    commands_of_fitting,
    commands_of_insight,
    commands_of_models,
    commands_of_analysis,
    commands_of_outputs,
    commands_of_evaluation,
    commands_of_images,
    commands_of_completion,
    commands_of_viewing,
    commands_of_packaging,
)
for group in GROUPS:
    for command in group.COMMANDS:
        cli.add_command(completed(command))


def main(arguments: list[str] | None = None) -> NoReturn:
    """The program; ``arguments`` None: those of the process. A user's mistake becomes one line on standard error."""
    try:
        code = cli.main(arguments, prog_name="mbv2gen", standalone_mode=False)
    except Mbv2genError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "mbv2gen"
        _complain(f"{error.format_message()} (see '{path} --help')")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _complain(error.format_message())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(text: str) -> None:
    click.echo(f"mbv2gen: error: {one_line(text)}", err=True)
