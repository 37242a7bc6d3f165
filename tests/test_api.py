# SPDX-License-Identifier: Apache-2.0
"""The Python interface: the same as the command line, typed, and quick to import."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import click
import numpy as np
import onnxruntime
import pytest
from command_line import command
from small_models import CLASSES, pixels, save_pixels, save_small_model
from test_output_folder import contents
from toy_network import needs_host_compiler

import mbv2gen

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> mbv2gen.Result:
    folder = tmp_path_factory.mktemp("api")
    model, data = save_small_model(folder), save_pixels(folder)
    return mbv2gen.compile(model, calibration=data, mean=120, std=(60, 61, 62), output=folder / "out")


def test_it_writes_what_the_command_writes(
    result: mbv2gen.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert result.folder is not None
    model = result.folder.path.parent / "small.onnx"
    options = ("--calibration", model.with_name("pixels.npy"), "--mean", "120.0", "--std", "60.0,61.0,62.0")
    assert command(capsys, "compile", model, *options, "-o", tmp_path / "out", "--quiet").code == 0
    assert contents(tmp_path / "out") == contents(result.folder.path)


def test_a_result_runs_as_onnxruntime_does(result: mbv2gen.Result) -> None:
    assert result.folder is not None
    pictures = pixels(6)
    x = ((pictures.astype(np.float32) - 120) / np.array([60, 61, 62], np.float32)).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(result.folder.path.parent / "small.onnx", providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"image": one[None]})[0] for one in np.ascontiguousarray(x)])
    made = result.run(pictures)
    assert (made.dtype, made.shape) == (np.float32, (6, CLASSES))
    np.testing.assert_allclose(made, wanted, atol=0.05)
    np.testing.assert_array_equal(result.run(x), made)
    np.testing.assert_array_equal(result.run(pictures[0]), made[:1])


@needs_host_compiler
def test_c_gives_what_the_result_gives_and_verifies(result: mbv2gen.Result) -> None:
    assert result.folder is not None
    np.testing.assert_array_equal(mbv2gen.run(result, pixels(3)), result.run(pixels(3)))
    q = np.random.default_rng(0).integers(-128, 128, (2, 12, 14, 3)).astype(np.int8)
    np.testing.assert_array_equal(mbv2gen.run(result.folder, q, raw=True), result.run_int8(q))
    assert mbv2gen.verify(result.folder.path, count=2).difference is None


def test_evaluating_goes_into_the_report_and_says_what_it_cannot_do(result: mbv2gen.Result, tmp_path: Path) -> None:
    written = result.write(tmp_path / "elsewhere" / "out")
    images = save_pixels(tmp_path)
    with pytest.warns(UserWarning, match="no float figures"):
        figures = mbv2gen.evaluate(written, images, on="numpy")
    assert figures.images == 6
    assert mbv2gen.open_folder(tmp_path / "elsewhere" / "out").report()["accuracy"]["images"] == 6


def test_a_result_is_frozen_and_knows_whether_it_was_written(tmp_path: Path) -> None:
    made = mbv2gen.compile(save_small_model(tmp_path), preprocess="unit", effort=0)
    assert made.folder is None
    assert any("no --calibration" in text for text in made.warnings)
    with pytest.raises(FrozenInstanceError):
        made.warnings = ()  # type: ignore[misc]  # what is to be refused
    with pytest.raises(mbv2gen.Mbv2genError, match="was not written"):
        mbv2gen.verify(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.onnx"]


@pytest.mark.parametrize(
    "wrong",
    [{"target": "z80"}, {"optimize": "power"}, {"feed": "milk"}, {"emit": ["pickle"]}, {"effort": 7}, {"mean": "a"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_value_is_one_line_that_names_it(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(mbv2gen.Mbv2genError, match=re.escape(next(iter(wrong)))) as refused:
        mbv2gen.compile(save_small_model(tmp_path), output=tmp_path / "out", **wrong)  # type: ignore[arg-type]  # what is to be refused
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_importing_loads_nothing_and_every_name_is_there() -> None:
    script = (
        "import sys, mbv2gen; assert 'numpy' not in sys.modules; "
        "assert all(getattr(mbv2gen, name) for name in mbv2gen.__all__); "
        "assert set(mbv2gen.__all__) <= set(dir(mbv2gen)); "
        "print(hasattr(mbv2gen, 'absent'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@needs_host_compiler
def test_the_example_of_the_manual_prints_what_it_says(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    said = re.findall(r"print\(.*\)  # ([^:\n]*)", example)
    assert done.stdout.split() == said
    assert (tmp_path / "build" / "digits" / "digits.h").is_file()


def test_the_types_name_the_values_that_the_command_takes() -> None:
    """Options of fixed values, as the annotations of compile list them."""
    from mbv2gen.commands.models import compile_  # noqa: PLC0415 - the interface itself needs no commands

    taken = {
        option.name: tuple(option.type.choices) for option in compile_.params if isinstance(option.type, click.Choice)
    }
    taken.pop("package")  # made of the folder afterwards: mbv2gen package
    assert {"resize", "optimize", "emit", "feed"} <= set(taken)
    hints = get_type_hints(mbv2gen.compile)
    assert {name: literals(hints[name]) for name in taken} == taken


def literals(hint: object) -> tuple[str, ...]:
    """The values of the Literal inside of an annotation."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := literals(part))), ())
