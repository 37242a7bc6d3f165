# SPDX-License-Identifier: Apache-2.0
"""Static asserts: every compiler refuses a header whose numbers are not the code's, and files of another compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_network
from small_models import write_network
from toy_network import needs_arm_compiler, needs_host_compiler

from mbv2gen.output_folder import OutputFolder

COMPILERS = pytest.mark.parametrize(
    "compiler",
    [("gcc", "-std=c11"), ("clang", "-std=c11"), ("g++", "-xc++", "-std=c++20"), ("clang++", "-xc++", "-std=c++20")],
    ids=lambda compiler: compiler[0],
)
NUMBER = re.compile(r"#define NET_(\w+) +(0x[0-9a-f]+|\d+)\b")
STATUS = {"OK", "ARENA_TOO_SMALL", "ARENA_MISALIGNED", "NOT_INITIALISED", "MORE", "HUNGRY"}  # free to choose


@pytest.fixture(scope="module", params=["frame", "rows"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    made = random_network(np.random.default_rng(21), size=(9, 8), blocks=2, max_channels=6, name="net")
    return write_network(made, tmp_path_factory.mktemp(request.param) / "out", feed=request.param)


def refusal(folder: Path, compiler: tuple[str, ...], source: str, *flags: str) -> str:
    """What the compiler says; empty where it takes the source."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed here")
    command = [*compiler, *flags, "-fsyntax-only", source]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr


def changed(folder: OutputFolder, to: Path, file: str, old: str, new: str) -> Path:
    """A copy of the folder with one change in one file."""
    shutil.copytree(folder.path, to)
    text = (to / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (to / file).write_text(text.replace(old, new), encoding="utf-8")
    return to


@needs_host_compiler
@COMPILERS
@pytest.mark.parametrize("by", [-1, 1])
def test_no_number_of_the_header_can_be_changed(
    folder: OutputFolder, tmp_path: Path, *, compiler: tuple[str, ...], by: int
) -> None:
    """All of them at once; the compiler names each."""
    assert refusal(folder.path, compiler, "net.c") == ""
    names = tamper(folder, tmp_path / "out", by)
    told = refusal(tmp_path / "out", compiler, "net.c")
    for name in names - {"CTX_BYTES", "COMPILE"}:
        assert f"NET_{name}" in told, name
    assert "not of one compile" in told


def tamper(folder: OutputFolder, to: Path, by: int) -> set[str]:
    """A copy of the folder with every number of its header changed -> their names."""
    names = set()

    def other(found: re.Match[str]) -> str:
        if found.group(1) in STATUS:
            return found.group(0)
        names.add(found.group(1))
        return f"#define NET_{found.group(1)} {int(found.group(2), 0) + by & 0xFFFFFFFF}"

    shutil.copytree(folder.path, to)
    header = to / "net.h"
    header.write_text(NUMBER.sub(other, header.read_text(encoding="utf-8")), encoding="utf-8")
    assert {"ARENA_BYTES", "ARENA_ALIGN", "INPUT_BYTES", "ROW_BYTES", "OUTPUT_BYTES", "LAYERS", "CTX_BYTES"} <= names
    return names


@needs_arm_compiler
def test_the_contexts_bytes_are_those_of_a_32_bit_compiler(folder: OutputFolder, tmp_path: Path) -> None:
    compiler = ("arm-none-eabi-gcc", "-std=c11", "-mcpu=cortex-m0", "-mthumb")
    assert refusal(folder.path, compiler, "net.c") == ""
    tamper(folder, tmp_path / "out", 4)
    assert "NET_CTX_BYTES" in refusal(tmp_path / "out", compiler, "net.c")


@needs_host_compiler
@COMPILERS
def test_a_context_with_fewer_steps_is_refused(folder: OutputFolder, tmp_path: Path, compiler: tuple[str, ...]) -> None:
    header = (folder.path / "net.h").read_text(encoding="utf-8")
    steps = re.findall(r"done\[(\d+)\]", header)[0]
    tampered = changed(folder, tmp_path / "out", "net.h", f"done[{steps}]", f"done[{int(steps) - 1}]")
    assert "net.h was changed" in refusal(tampered, compiler, "net.c")


@needs_host_compiler
@COMPILERS
def test_a_tensor_that_does_not_lie_in_the_arena_is_refused(
    folder: OutputFolder, tmp_path: Path, compiler: tuple[str, ...]
) -> None:
    source = (folder.path / "net.c").read_text(encoding="utf-8")
    arena = int(re.findall(r"HEADER_SAYS\(NET_ARENA_BYTES, (\d+)\)", source)[0])
    places = re.findall(r"(IN_ARENA\((\d+), )((\d+)(?: \* (\d+))?)\);", source)
    assert any(int(offset) + int(a) * int(b or 1) > arena - 16 for _, offset, _, a, b in places)
    start, offset, _, _, _ = places[0]
    for size, refused in ((arena - int(offset), False), (arena - int(offset) + 1, True)):
        text = re.sub(re.escape(places[0][0] + places[0][2]), f"{start}{size}", source, count=1)
        work = tmp_path / str(size)
        shutil.copytree(folder.path, work)
        (work / "net.c").write_text(text, encoding="utf-8")
        assert ("outside the arena" in refusal(work, compiler, "net.c")) == refused


@needs_host_compiler
@COMPILERS
@pytest.mark.parametrize("file", ["net.h", "net_weights.h", "mbv2_kernels.h"])
def test_files_of_another_compile_or_version_are_refused(
    folder: OutputFolder, tmp_path: Path, compiler: tuple[str, ...], file: str
) -> None:
    text = (folder.path / file).read_text(encoding="utf-8")
    line = re.findall(r"#define (?:NET_COMPILE|NET_WEIGHTS_COMPILE|MBV2_ABI) +\w+", text)[0]
    other = changed(folder, tmp_path / "out", file, line, line.rpartition(" ")[0] + " 77")
    told = refusal(other, compiler, "net.c")
    assert "another version" in told if file == "mbv2_kernels.h" else "not of one compile" in told
    if file == "net_weights.h":
        assert "not of one compile" in refusal(other, compiler, "net_weights.c")


@needs_host_compiler
def test_other_weights_are_another_compile(tmp_path: Path) -> None:
    """The same shapes with weights of another seed: the sources of one and the tables of the other do not mix."""
    first, second = (
        write_network(
            random_network(np.random.default_rng([3, seed]), size=(9, 8), blocks=1, max_channels=4, name="net"),
            tmp_path / str(seed),
        ).path
        for seed in (1, 2)
    )
    shutil.copyfile(second / "net_weights.h", first / "net_weights.h")
    assert "not of one compile" in refusal(first, ("gcc", "-std=c11"), "net.c")
