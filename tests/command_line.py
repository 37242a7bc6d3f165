# SPDX-License-Identifier: Apache-2.0
"""Runs a command in this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbv2gen.commands import cli


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def command(capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, said.out, said.err)


def assert_refused(ended: Ended, *words: str, code: int = 2) -> None:
    """One line on standard error that holds all the words, nothing on standard output."""
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert ended.err.startswith("mbv2gen: error: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    for word in words:
        assert word in ended.err, ended.err


def compile_refused(
    capsys: pytest.CaptureFixture[str], model: Path, *words: str, options: tuple[object, ...] = ()
) -> None:
    """Exit code 2, one line, no output folder, nothing new beside it."""
    before = sorted(os.listdir(model.parent))
    assert_refused(command(capsys, "compile", model, "-o", model.parent / "out", *options), *words)
    assert sorted(os.listdir(model.parent)) == before
