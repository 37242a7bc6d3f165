# SPDX-License-Identifier: Apache-2.0
"""Shell completion: what a shell is told, and bash itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import assert_refused, command

from mbv2gen import targets
from mbv2gen.commands import cli
from mbv2gen.commands.completion import FOLDERS, VARIABLE, Folder
from mbv2gen.hardware import boards

Capture = pytest.CaptureFixture[str]


def offered(capsys: Capture, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What fish is offered for the last of ``words``: TYPE,NAME and a description behind a tab."""
    monkeypatch.setenv(VARIABLE, "fish_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["mbv2gen", *words[:-1]]))
    monkeypatch.setenv("COMP_CWORD", words[-1])
    return command(capsys).out.splitlines()


def test_commands_and_options_are_offered(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [line.split("\t")[0] for line in offered(capsys, monkeypatch, "pro")] == ["plain,profile"]
    found = {line.split("\t")[0] for line in offered(capsys, monkeypatch, "compile", "--")}
    assert {"plain,--calibration", "plain,--target", "plain,--optimize", "plain,--json"} <= found


@pytest.mark.parametrize("name", ["compile", "inspect", "pareto"])
def test_targets_are_offered_with_what_they_are(capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = offered(capsys, monkeypatch, name, "--target", "cortex-m")
    assert found == [f"plain,{t.name}\t{t.description}" for t in targets.TARGETS if t.name.startswith("cortex-m")]


BOARD_COMMANDS = sorted(
    name for name, one in cli.cli.commands.items() if any("--board" in parameter.opts for parameter in one.params)
)


@pytest.mark.parametrize("name", BOARD_COMMANDS)
def test_boards_are_offered_wherever_one_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = offered(capsys, monkeypatch, name, "--board", "")
    assert [line.split("\t")[0] for line in found] == [f"plain,{board}" for board in boards.names()]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("compile", "mod"), "file,mod"),
        (("compile", "--calibration", "ima"), "file,ima"),
        (("evaluate", "--images", "ima"), "file,ima"),
        (("run", "--input", "x"), "file,x"),
        (("verify", "bu"), "dir,bu"),
        (("compile", "-o", "bu"), "dir,bu"),
    ],
)
def test_files_and_folders_are_left_to_the_shell(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, *, words: tuple[str, ...], kind: str
) -> None:
    assert offered(capsys, monkeypatch, *words) == [kind]


def test_every_output_folder_is_completed_as_one() -> None:
    parameters = [parameter for one in cli.cli.commands.values() for parameter in one.params]
    folders = [parameter for parameter in parameters if parameter.name in FOLDERS]
    assert len(folders) > 8
    assert all(isinstance(parameter.type, Folder) for parameter in folders)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(capsys: Capture, shell: str) -> None:
    said = command(capsys, "completion", shell).out
    assert f"{VARIABLE}={shell}_complete" in said
    assert json.loads(command(capsys, "completion", shell, "--json").out)["script"].strip() == said.strip()


def test_another_shell_is_refused(capsys: Capture) -> None:
    assert_refused(command(capsys, "completion", "tcsh"), "tcsh", "bash")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, absent here")
def test_bash_completes_a_board(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "completions").write_text(command(capsys, "completion", "bash").out)
    program = tmp_path / "mbv2gen"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mbv2gen "$@"\n')
    program.chmod(0o755)
    script = (
        f"source {tmp_path}/completions; COMP_WORDS=(mbv2gen compile --board micro); COMP_CWORD=3; "
        '_mbv2gen_completion mbv2gen; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("microbit\n", "")
