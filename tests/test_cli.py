# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, one line for every mistake, one document for --json, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import Ended, assert_refused, command, compile_refused
from onnx_models import build, saved
from PIL import Image
from small_models import CLASSES, SIZE, layers, pixels, save_pixels, save_small_model
from tflite_micro.python.tflite_micro import runtime
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import compiler
from mbv2gen.commands import cli
from mbv2gen.commands.byte_count import ByteCount

COMMANDS = sorted(cli.cli.commands)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of the small model; the model and pixels.npy lie beside it."""
    folder = tmp_path_factory.mktemp("compiled")
    model, data = save_small_model(folder), save_pixels(folder)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", str(model), "--calibration", str(data), "--mean", "120", "--std", "60,61,62",
                  "--emit", "tflite", "-o", str(folder / "out"), "--quiet"])  # fmt: skip
    assert ended.value.code == 0
    return folder / "out"


def test_compiling_without_calibration_warns_even_where_it_is_quiet(tmp_path: Path, capsys: Capture) -> None:
    model = save_small_model(tmp_path)
    ended = command(capsys, "compile", model, "--preprocess", "unit", "-o", tmp_path / "out", "--quiet")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("mbv2gen: warning: no --calibration: ")
    assert ended.err.count("\n") == 1


def test_an_interrupt_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compiler, "compile_model", interrupted)
    ended = command(capsys, "compile", tmp_path / "m.onnx", "-o", tmp_path / "out")
    assert (ended.code, ended.out, ended.err.split("\n")) == (130, "", ["", "mbv2gen: error: interrupted", ""])
    assert os.listdir(tmp_path) == []


def test_names_with_line_breaks_do_not_break_the_one_line(tmp_path: Path, capsys: Capture) -> None:
    model = build(lambda b, x: b("HardSwish", b.conv(x, 3, 4)), (1, *SIZE))
    model.graph.node[1].name = "bad\nmbv2gen: fine\r\x1b[2Jname"
    ended = command(capsys, "inspect", saved(model, tmp_path))
    assert_refused(ended, "HardSwish")
    assert ended.err.rstrip("\n").isprintable()


@pytest.mark.parametrize("words", [("nosuchcommand",), ("compile",), ("verify", "--on", "moon", "x"), ("run", "x")])
def test_wrong_usage_is_one_line_that_points_to_help(capsys: Capture, words: tuple[str, ...]) -> None:
    assert_refused(command(capsys, *words), "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_both_common_options(capsys: Capture, name: str) -> None:
    ended = command(capsys, name, "--help")
    assert ended.code == 0
    assert f"Example: mbv2gen {name}" in ended.out
    assert "--json" in ended.out
    assert "--quiet" in ended.out


def test_the_commands_are_those_of_the_manual() -> None:
    known = [
        "analyze",
        "bisect",
        "boards",
        "compile",
        "completion",
        "demo",
        "evaluate",
        "export",
        "firmware",
        "fit",
        "flash",
        "inspect",
        "package",
        "pareto",
        "profile",
        "report",
        "run",
        "targets",
        "verify",
        "view-input",
    ]
    assert known == COMMANDS


@pytest.mark.parametrize("words", [("inspect", "absent.onnx"), ("verify", "absent")])
def test_the_module_as_a_program_ends_with_2_and_without_a_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mbv2gen", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert_refused(Ended(result.returncode, result.stdout, result.stderr), "absent")


@pytest.mark.parametrize("name", ["verify", "run", "evaluate", "export", "profile", "report"])
def test_a_folder_that_compile_did_not_write_is_refused(tmp_path: Path, capsys: Capture, name: str) -> None:
    options = {"run": ("--input", "x.npy", "--output", "y.npy"), "evaluate": ("--images", "x")}.get(name, ())
    assert_refused(command(capsys, name, tmp_path, *options), str(tmp_path), "not written by mbv2gen compile")


def test_inspect_counts_what_the_shapes_say(tmp_path: Path, capsys: Capture) -> None:
    """Planes 6x7 after the stem: 42 positions times weights a position, and one of the classifier."""
    ended = command(capsys, "inspect", save_small_model(tmp_path), "--json")
    found = json.loads(ended.out)
    macs = [42 * 6 * 27, 42 * 6 * 14, 42 * 14 * 9, 42 * 14 * 6, 0, 42 * 6 * 20, 0, 20 * CLASSES]
    assert [line["macs"] for line in found["operators"]] == macs
    assert found["macs"] == sum(macs)
    assert found["weights_bytes"] == 6 * 27 + 6 * 14 + 14 * 9 + 14 * 6 + 6 * 20 + 20 * CLASSES
    assert [block["kind"] for block in found["blocks"]] == ["Stem", "InvertedResidual", "Head"]
    assert found["input"]["shape"] == [12, 14, 3]
    assert found["output"]["tail"] == "softmax"
    assert any("4 Clip: fused" in sentence for sentence in found["normalised"])


def test_inspect_shows_every_operator_untruncated_and_nothing_where_it_is_quiet(
    tmp_path: Path, capsys: Capture
) -> None:
    model = save_small_model(tmp_path)
    shown = command(capsys, "inspect", model)
    assert shown.code == 0
    names = [line["name"] for line in json.loads(command(capsys, "inspect", model, "--json").out)["operators"]]
    assert all(name in shown.out for name in names)
    assert "\u2026" not in shown.out
    assert command(capsys, "inspect", model, "--quiet") == Ended(0, "", "")


@pytest.mark.parametrize(("name", "member"), [("targets", "cortex-m7"), ("boards", "mps2-an500")])
def test_lists_are_one_document(capsys: Capture, name: str, member: str) -> None:
    assert member in {entry["name"] for entry in json.loads(command(capsys, name, "--json").out)}
    assert member in command(capsys, name).out


def test_compile_says_in_one_document_what_it_wrote(tmp_path: Path, capsys: Capture) -> None:
    model, data = save_small_model(tmp_path), save_pixels(tmp_path)
    words = ("compile", model, "--calibration", data, "-o", tmp_path / "out", "--name", "chosen", "--json")
    ended = command(capsys, *words)
    document = json.loads(ended.out)
    assert document["name"] == "chosen"
    assert document["report"] == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (tmp_path / "out" / "chosen.h").is_file()
    said = ended.err.count("mbv2gen: warning: ")
    assert len(document["warnings"]) == said == 2  # of the preprocessing, of so few pictures


def test_an_arena_limit_is_kept_or_refused_with_the_least_there_is(tmp_path: Path, capsys: Capture) -> None:
    model = save_small_model(tmp_path)
    ended = command(capsys, "compile", model, "-o", tmp_path / "least", "--optimize", "ram", "--json")
    least = json.loads(ended.out)["report"]["ram"]["arena_bytes"]
    said = command(capsys, "compile", model, "-o", tmp_path / "out", "--arena-limit", f"{least / 1000 + 2:.0f}k")
    assert f"--arena-limit {round(least / 1000 + 2) * 1000}" in said.out
    assert f"--arena-limit {round(least / 1000 + 2) * 1000}" in (tmp_path / "out" / "small.h").read_text()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert least <= report["ram"]["arena_bytes"] <= least + 3000
    compile_refused(
        capsys, model, f"--arena-limit {least - 1}", f"{least:,} B", options=("--arena-limit", str(least - 1))
    )


def test_pareto_lists_plans_that_compile_takes(tmp_path: Path, capsys: Capture) -> None:
    model = save_small_model(tmp_path)
    words = ("--target", "cortex-m7", "--feed", "rows", "--json")
    points = json.loads(command(capsys, "pareto", model, *words).out)["plans"]
    assert {name for point in points for name in point["optimize"]} == {"speed", "balanced", "ram"}
    for point in (points[0], points[-1]):
        chosen = ("--optimize", point["optimize"][0], "-o", tmp_path / "out")
        report = json.loads(command(capsys, "compile", model, *words, *chosen).out)["report"]
        assert report["ram"]["arena_bytes"] == point["arena_bytes"]
        assert report["flash"]["weights_bytes"] <= point["weights_fetched"] <= report["macs"]
    assert f"{points[0]['arena_bytes']:,}" in command(capsys, "pareto", model, *words[:-1]).out


def test_pareto_lists_plans_that_make_rows_again_and_a_limit_takes_one(tmp_path: Path, capsys: Capture) -> None:
    model = saved(build(layers, (1, 3, 24, 64)), tmp_path, "wide.onnx")
    words = ("--target", "cortex-m7", "--feed", "rows", "--json")
    points = json.loads(command(capsys, "pareto", model, *words).out)["plans"]
    least, ram = points[-1], next(point for point in points if "ram" in point["optimize"])
    assert (ram["macs_again"], least["optimize"]) == (0, [])
    assert all(point["blocks_in_groups"] == 0 for point in points)  # its planes are too large
    assert least["macs_again"] > 0
    assert f"{least['macs_again']:,}" in command(capsys, "pareto", model, *words[:-1]).out
    limit = ("--arena-limit", least["arena_bytes"], "-o", tmp_path / "out")
    report = json.loads(command(capsys, "compile", model, *words, *limit).out)["report"]
    assert (report["ram"]["arena_bytes"], report["macs_again"]) == (least["arena_bytes"], least["macs_again"])
    said = f"{report['macs']:,} MAC, and {least['macs_again']:,} "
    assert f"{said}done again to save memory" in (tmp_path / "out" / "wide.h").read_text()
    assert f"{said}again to save memory" in command(capsys, "compile", model, *words[:-1], *limit).out


def test_inspect_draws_the_plan_of_a_model_as_of_its_output(tmp_path: Path, capsys: Capture) -> None:
    model, words = save_small_model(tmp_path), ("--target", "cortex-m4", "--feed", "rows", "--optimize", "ram")
    document = json.loads(command(capsys, "compile", model, *words, "-o", tmp_path / "out", "--json").out)
    plan = document["report"]["plan"]
    assert json.loads(command(capsys, "inspect", model, "--plan", *words, "--json").out) == {"plan": plan}
    assert json.loads(command(capsys, "inspect", tmp_path / "out", "--plan", "--json").out) == {"plan": plan}
    drawn = command(capsys, "inspect", tmp_path / "out", "--plan").out
    assert drawn in command(capsys, "inspect", model, "--plan", *words).out
    assert plan["peak"]["operator"] in drawn
    assert f"{document['report']['ram']['arena_bytes']:,} B" in drawn


def test_what_goes_with_a_plan_is_refused_without_one(compiled: Path, capsys: Capture) -> None:
    assert_refused(command(capsys, "inspect", compiled.parent / "small.onnx", "--target", "cortex-m4"), "--plan")
    assert_refused(command(capsys, "inspect", compiled, "--plan", "--feed", "rows"), "--feed")
    assert_refused(command(capsys, "inspect", compiled.parent, "--plan"), "not written by mbv2gen")


@pytest.mark.parametrize(("text", "size"), [("30000", 30000), ("30k", 30000), ("32KiB", 32768), ("1 MB", 1000000)])
def test_bytes_are_counted_in_thousands_or_in_powers_of_two(text: str, size: int) -> None:
    assert ByteCount().convert(text, None, None) == size


def float_input(pictures: np.ndarray) -> np.ndarray:
    """What the small model itself takes for pictures, NCHW, with the preprocessing of the fixture."""
    x = (pictures.astype(np.float32) - 120) / np.array([60, 61, 62], np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


@needs_host_compiler
def test_run_gives_what_onnxruntime_gives(compiled: Path, tmp_path: Path, capsys: Capture) -> None:
    x = float_input(pixels(6))
    np.save(tmp_path / "x.npy", x)
    words = ("run", compiled, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert command(capsys, *words).code == 0
    session = onnxruntime.InferenceSession(str(compiled.parent / "small.onnx"), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"image": one[None]})[0] for one in x])
    made = np.load(tmp_path / "y.npy")
    assert made.dtype == np.float32
    assert made.shape == wanted.shape == (6, CLASSES)
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(made, wanted, atol=0.05)


@needs_host_compiler
def test_run_takes_pixels_as_picture_as_array_and_as_floats_alike(
    compiled: Path, tmp_path: Path, capsys: Capture
) -> None:
    picture = pixels(1, seed=8)
    Image.fromarray(picture[0]).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", picture)
    np.save(tmp_path / "c.npy", picture[0])
    np.save(tmp_path / "d.npy", float_input(picture))
    np.savez(tmp_path / "e.npz", other=picture + 1, one=float_input(picture)[0].astype(np.float64))
    outputs = []
    for name in ("a.png", "b.npy", "c.npy", "d.npy", "e.npz:one"):
        ended = command(capsys, "run", compiled, "--input", tmp_path / name, "--output", tmp_path / "y.npy")
        assert ended.code == 0, ended.err
        outputs.append(np.load(tmp_path / "y.npy"))
    assert all(output.shape == (1, CLASSES) for output in outputs)
    assert all(np.array_equal(output, outputs[0]) for output in outputs)


@needs_host_compiler
def test_raw_run_gives_what_tensorflow_lite_micro_gives(compiled: Path, tmp_path: Path, capsys: Capture) -> None:
    q = np.random.default_rng(1).integers(-128, 128, (4, 12, 14, 3)).astype(np.int8)
    np.save(tmp_path / "q.npy", q)
    words = ("run", compiled, "--raw", "--input", tmp_path / "q.npy", "--output", tmp_path / "y.npy")
    assert command(capsys, *words).code == 0
    interpreter = runtime.Interpreter.from_file(str(compiled / "small.tflite"))
    for one, made in zip(q, np.load(tmp_path / "y.npy"), strict=True):
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        np.testing.assert_array_equal(made, interpreter.get_output(0).reshape(1, 1, CLASSES))


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((12, 14, 3), np.int8), (), ("--raw",)),
        (np.zeros((12, 14, 3), np.uint8), ("--raw",), ("int8 [12][14][3]",)),
        (np.zeros((3, 12, 14), np.int8), ("--raw",), ("int8 [12][14][3]",)),
        (np.zeros((12, 14, 3), np.float32), (), ("small.onnx", "(n, 3, 12, 14)")),
        (np.full((3, 12, 14), np.nan, np.float32), (), ("not finite",)),
        (np.zeros((0, 12, 14, 3), np.uint8), (), ("holds no input",)),
        (np.zeros((2, 2), np.int64), (), ("int64",)),
        (np.zeros((12, 14, 2), np.uint8), (), ("[H][W][3]",)),
        (np.array([{}]), (), ("x.npy",)),
    ],
)
def test_run_refuses_arrays_that_do_not_fit(
    compiled: Path,
    tmp_path: Path,
    capsys: Capture,
    *,
    array: np.ndarray,
    options: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    ended = command(capsys, "run", compiled, *options, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert_refused(ended, *words)
    assert os.listdir(tmp_path) == ["x.npy"]


@pytest.mark.parametrize(
    ("source", "target", "word"),
    [("absent.png", "y.npy", "no such file"), ("note.png", "y.npy", "note.png"), ("a.png", "no/y.npy", "folder")],
)
def test_run_refuses_files_that_are_not_there_or_no_pictures(
    compiled: Path, tmp_path: Path, capsys: Capture, *, source: str, target: str, word: str
) -> None:
    (tmp_path / "note.png").write_text("a note")
    Image.fromarray(pixels(1)[0]).save(tmp_path / "a.png")
    words = ("run", compiled, "--input", tmp_path / source, "--output", tmp_path / target)
    assert_refused(command(capsys, *words), word)


def test_a_board_contradicts_the_host(compiled: Path, capsys: Capture) -> None:
    words = ("verify", compiled, "--on", "host", "--board", "mps2-an500")
    assert_refused(command(capsys, *words), "--board mps2-an500", "--on qemu")


@needs_arm_compiler
@needs_qemu
def test_profile_counts_and_its_report_adds_up(compiled: Path, capsys: Capture) -> None:
    before = json.loads((compiled / "report.json").read_text())
    ended = command(capsys, "profile", compiled, "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report == json.loads((compiled / "report.json").read_text())
    for key in ("weights_bytes", "parameters_bytes"):
        assert report["flash"][key] == before["flash"][key]
    counts = [layer["instructions"] for layer in report["layers"]]
    assert 0.5 * report["macs"] < sum(counts) < 1.1 * report["instructions"]
    assert min(counts) > 0
    ram, flash = report["ram"], report["flash"]
    assert ram["total_bytes"] == ram["arena_bytes"] + ram["static_bytes"] + ram["stack_bytes"]
    assert ram["static_bytes"] == 0
    parts = ("weights_bytes", "parameters_bytes", "descriptions_bytes", "code_bytes")
    assert flash["total_bytes"] == sum(flash[part] for part in parts)
    assert min(flash[part] for part in parts) > 0
    shown = command(capsys, "profile", compiled)
    assert f"{report['instructions']:,}" in shown.out
    assert "instructions (QEMU)" in shown.out
    assert "cycles" not in shown.out


@needs_arm_compiler
@needs_qemu
def test_run_on_the_board_gives_what_it_gives_on_the_host(compiled: Path, tmp_path: Path, capsys: Capture) -> None:
    outputs = []
    for on in ("host", "qemu"):
        words = ("run", compiled, "--on", on, "--input", compiled.parent / "pixels.npy", "--output", tmp_path / "y.npy")
        assert command(capsys, *words).code == 0
        outputs.append(np.load(tmp_path / "y.npy"))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_demo_without_any_compiler_says_what_it_left_out(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    ended = command(capsys, "demo", "--keep", tmp_path / "kept", "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert document["verified"] == {"host": None, "qemu": None}
    assert [text.split(":")[0] for text in document["left_out"]] == ["verify on the host", "mps2-an500 in QEMU"]
    assert document["report"]["accuracy"]["top1"]["int8"] > 0.95
    assert (tmp_path / "kept" / "digits.h").is_file()


@pytest.mark.prove
@needs_host_compiler
@needs_arm_compiler
@needs_qemu
def test_demo_proves_the_example_on_host_and_board(capsys: Capture) -> None:
    ended = command(capsys, "demo")
    assert ended.code == 0, ended.err
    assert ended.out.count("exact      C = NumPy, byte for byte") == 2
    assert "instructions (QEMU)" in ended.out
    assert "left out" not in ended.out
