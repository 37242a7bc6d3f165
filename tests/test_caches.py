# SPDX-License-Identifier: Apache-2.0
"""What is kept in the user's cache folder: objects that ccache finds again, translated templates; neither is needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from processes import run
from toy_network import TOY, needs_host_compiler

from mbv2gen import resources
from mbv2gen.hardware import firmware

Patch = pytest.MonkeyPatch


def build(folder: Path) -> Path:
    return firmware.build_host(TOY, "toy", folder, sanitize=False, taps=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: Patch) -> Path:
    """An empty cache folder of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mbv2gen"


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: Patch) -> None:
    """Nothing can be written there."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The file in which a stand-in for ccache writes its folder and the command that it then runs."""
    if os.name != "posix":
        pytest.skip("the stand-in is a shell script")
    stand_in, log = tmp_path / "bin" / "ccache", tmp_path / "log"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\necho "$CCACHE_DIR $*" >> "{log}"\nexec "$@"\n', encoding="utf-8")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    return log


@needs_host_compiler
def test_every_source_is_compiled_through_ccache_where_there_is_one(tmp_path: Path, cache: Path, log: Path) -> None:
    assert build(tmp_path / "build").is_file()
    lines = log.read_text(encoding="utf-8").splitlines()
    sources = {Path(word).name for line in lines for word in line.split() if word.endswith(".c")}
    assert {"toy.c", "toy_weights.c", "mbv2_toy.c", "main.c"} <= sources
    assert {line.split()[0] for line in lines} == {str(cache / "objects")}


@needs_host_compiler
@pytest.mark.skipif(shutil.which("ccache") is None, reason="needs ccache")
def test_a_second_build_folder_gets_its_objects_from_the_cache(tmp_path: Path, cache: Path) -> None:
    for folder in ("a", "b"):
        build(tmp_path / folder)
    shown = run("env", f"CCACHE_DIR={cache / 'objects'}", "ccache", "--print-stats").stdout
    counts = dict(line.split("\t") for line in shown.splitlines())
    hits = int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])
    assert hits == int(counts["cache_miss"]) > 0


@needs_host_compiler
@pytest.mark.usefixtures("no_cache")
def test_without_a_cache_folder_programs_are_built_all_the_same(tmp_path: Path, log: Path) -> None:
    assert build(tmp_path / "build").is_file()
    assert not log.exists()


def test_templates_are_translated_once(cache: Path) -> None:
    files = []
    for _ in range(2):
        resources.environment(resources.templates_dir()).get_template("Makefile.j2")
        (translated,) = (cache / "templates").iterdir()
        files.append((translated.stat().st_ino, translated.stat().st_mtime_ns))
    assert files[0] == files[1], "written again: the second run has translated it, too"


@pytest.mark.usefixtures("no_cache")
def test_without_a_cache_folder_templates_are_translated_each_time() -> None:
    environment = resources.environment(resources.templates_dir())
    assert environment.bytecode_cache is None
    assert environment.get_template("Makefile.j2").name == "Makefile.j2"
