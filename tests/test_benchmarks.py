# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: the pages they write, on a few networks; that they count MACs as the literature does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mobilenets import mobilenet_v2
from toy_network import needs_arm_compiler, needs_qemu

from mbv2gen import compiler
from mbv2gen.compiler import Options
from mbv2gen.hardware import boards

ROOT = Path(__file__).parents[1]
BENCHMARKS, MICROBIT = ROOT / "benchmarks", ROOT / "examples" / "microbit" / "run.py"


def run(script: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)


def cells(page: str, heading: str) -> list[dict[str, str]]:
    """The rows of the first table behind a heading, by column."""
    lines = [line for line in page.partition(f"## {heading}")[2].splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    length = next((i for i, row in enumerate(split) if i > 2 and set(row[0]) <= {"-"}), len(split) + 1) - 1
    return [dict(zip(split[0], row, strict=True)) for row in split[2:length]]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


@pytest.fixture(scope="module")
def networks() -> object:
    """benchmarks/networks.py, imported as its scripts import it: by its folder."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import networks  # noqa: PLC0415 - benchmarks/ is put on the path first
    finally:
        sys.path.remove(str(BENCHMARKS))
    return networks


@pytest.mark.parametrize(
    ("width", "resolution", "millions"),
    [(1.4, 224, 582), (1.0, 224, 300), (1.0, 192, 221), (1.0, 128, 99), (1.0, 96, 56), (0.75, 224, 209)],
)
def test_macs_are_those_that_the_literature_states(
    networks: object, width: float, resolution: int, millions: int
) -> None:
    """The table in the documentation of tf.keras.applications.mobilenet_v2, in whole millions."""
    macs = networks.mobilenet_macs(width, resolution, 1000)  # type: ignore[attr-defined]  # loaded by path
    assert macs / 1e6 == pytest.approx(millions, abs=1)


@pytest.mark.parametrize(("width", "resolution"), [(0.1, 33), (0.35, 96), (1.0, 65)])
def test_macs_of_the_formula_are_those_of_the_layers(networks: object, width: float, resolution: int) -> None:
    built = mobilenet_v2(width, resolution, 10).macs
    assert networks.mobilenet_macs(width, resolution, 10) == built  # type: ignore[attr-defined]  # loaded by path


def test_memory_writes_the_arenas_that_a_compile_has(tmp_path: Path) -> None:
    ended = run(BENCHMARKS / "memory.py", "--quick", "-o", tmp_path / "memory.md")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "memory.md").read_text(encoding="utf-8")
    frame = {row["net"]: row for row in cells(page, "Frame")}
    fed = {row["net"]: row for row in cells(page, "Rows")}
    assert set(frame) == set(fed) == {"0.35 @ 96", "digits"}
    network = mobilenet_v2(0.35, 96)
    for feed, row in (("frame", frame["0.35 @ 96"]), ("rows", fed["0.35 @ 96"])):
        arena = compiler.plan_program(network, Options(target="cortex-m0", feed=feed)).arena_bytes
        assert number(row["Cortex-M0"]) == arena
    assert number(fed["digits"]["sum"]) == number(fed["digits"]["Cortex-M7"]) + 32  # a row of 32 grey pixels


def test_exports_tells_how_far_other_engines_are_from_the_reference(tmp_path: Path) -> None:
    """Equal where the rounding is the same; elsewhere steps apart, but nearly always of one opinion."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    ended = run(BENCHMARKS / "exports.py", "--quick", "-o", tmp_path / "exports.md")
    assert ended.returncode == 0, ended.stderr
    page = "## Table\n" + (tmp_path / "exports.md").read_text(encoding="utf-8")
    differ = {row["engine"]: float(row["values that differ"].split()[0]) for row in cells(page, "Table")}
    same = {row["engine"]: float(row["same choice"].split()[0]) for row in cells(page, "Table")}
    assert differ.pop("TensorFlow Lite Micro") == 0
    assert differ.pop("LiteRT, reference kernels") < 2  # its fully connected layer requantizes otherwise
    assert len(differ) == 5
    assert min(differ.values()) > 10
    assert min(same.values()) >= 80


@needs_arm_compiler
@needs_qemu
def test_bench_writes_exact_rows_whose_kernels_add_up_to_the_whole(tmp_path: Path) -> None:
    ended = run(BENCHMARKS / "bench.py", "--quick", "-o", tmp_path / "bench.md", "--work", tmp_path / "work")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    fast, small = cells(page, "One ELF a row")
    assert (fast["core"], fast["feed"], small["core"], small["feed"]) == ("M7", "rows", "M0", "frame")
    for row in (fast, small):
        assert (row["bytes off NumPy"], row["off TFLite Micro"]) == ("0", "0")
        assert float(row["per MAC"]) == pytest.approx(number(row["instructions"]) / 1_323_520, abs=0.001)
        assert number(row["code"]) < number(row["weights"])
    whole = sum(number(row["instructions"]) for row in cells(page, "By kernel"))
    assert whole == pytest.approx(number(small["instructions"]), rel=0.02)


@needs_arm_compiler
@needs_qemu
def test_the_microbit_classifies_digits_within_its_ram(tmp_path: Path) -> None:
    ended = run(MICROBIT, "--digits", "--count", 2, "-o", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert "All 2 outputs equal NumPy's, byte for byte." in ended.stdout
    ram = [int(n.replace(",", "")) for n in re.findall(r"(?:arena|stack|variables|free) +([\d,]+)", ended.stdout)[:4]]
    assert sum(ram) == boards.load("microbit").ram_bytes


@pytest.mark.prove
@needs_arm_compiler
@needs_qemu
def test_the_microbit_runs_the_trained_flowers(shared_data: Path, tmp_path: Path) -> None:
    """16 KB for arena, stack and all variables; ``make microbit`` shows ten pictures."""
    assert (shared_data / "models" / "flowers_w010_r96.onnx").is_file()
    ended = run(MICROBIT, "--count", 2, "-o", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert "flowers" in (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert "All 2 outputs equal NumPy's, byte for byte." in ended.stdout
    assert "daisy" in ended.stdout


def test_the_page_of_accuracy_holds_every_effort_that_was_asked_for(tmp_path: Path) -> None:
    done = run(BENCHMARKS / "accuracy.py", "--quick", "--effort", 1, "--effort", 0, "-o", tmp_path / "accuracy.md")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "accuracy.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "digits" in line][
        -3:
    ]
    assert [row[2] for row in rows if row[0] == "digits"] == ["0", "1"]
    assert all(row[3] == "98.06 %" for row in rows if row[0] == "digits")  # as the example's README has it, in float
    assert "only the digits were measured" in page


@needs_arm_compiler
@needs_qemu
def test_fusion_writes_what_the_same_kernels_take_both_ways(tmp_path: Path) -> None:
    ended = run(BENCHMARKS / "fusion.py", "--quick", "-o", tmp_path / "fusion.md", "--work", tmp_path / "work")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "fusion.md").read_text(encoding="utf-8")
    (row,) = cells(page.replace("# Fusion", "## Fusion"), "Fusion")
    assert row["net"] == "digits"
    assert number(row["arena, row by row"]) < number(row["arena, layer by layer"]) / 4
    assert abs(float(row["more"].split(" ")[0])) < 3
