# SPDX-License-Identifier: Apache-2.0
"""Runs another program and waits for it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*command: str | Path, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=where, capture_output=True, text=True, check=False)


def successful(*command: str | Path, where: Path | None = None) -> str:
    result = run(*command, where=where)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
