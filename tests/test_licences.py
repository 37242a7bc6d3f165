# SPDX-License-Identifier: Apache-2.0
"""Every source says its licence on its first lines: what is rendered for users is 0BSD, the tool Apache-2.0."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mbv2gen", "firmware", "templates", "benchmarks", "examples", "tests", "tools")
SOURCES = {".py", ".c", ".h", ".j2", ".js", ".css", ".toml", ".sh"}
GENERATED = ROOT / "tests" / "golden"  # what the compiler writes, as it writes it


def sources(folder: str) -> list[Path]:
    paths = sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in SOURCES)
    return [path for path in paths if GENERATED not in path.parents and "__pycache__" not in path.parts]


def licence(path: Path) -> str | None:
    """The SPDX identifier on the first two lines (a script's first names its interpreter)."""
    first = "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:2])
    found = re.search(r"SPDX-License-Identifier: ([\w.-]+)", first)
    return found and found[1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_source_says_its_licence(folder: str) -> None:
    expected = "0BSD" if folder == "templates" else "Apache-2.0"
    found = {path.relative_to(ROOT).as_posix(): licence(path) for path in sources(folder)}
    assert found
    assert {name: said for name, said in found.items() if said != expected} == {}


def test_the_licence_of_the_tool_is_the_one_its_package_names() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'license = "{licence(ROOT / "mbv2gen" / "compiler.py")}"' in text
