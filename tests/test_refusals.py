# SPDX-License-Identifier: Apache-2.0
"""What compile refuses: exit code 2, one line that names file, node and what to do, and nothing written or touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command, compile_refused
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Builder, build, saved
from PIL import Image
from small_models import SIZE, pixels, save_pixels, save_small_model, small_model
from test_output_folder import contents

NEGATIVES = sorted((Path(__file__).parents[2] / "shared" / "data" / "exports").glob("neg_*.onnx"))

Capture = pytest.CaptureFixture[str]


@pytest.mark.skipif(not NEGATIVES, reason="needs the shared test data, absent here")
@pytest.mark.parametrize("path", NEGATIVES, ids=lambda path: path.stem)
def test_a_shared_negative_model_is_refused(path: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / path.name).write_bytes(path.read_bytes())
    compile_refused(capsys, tmp_path / path.name, path.name)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_model_is_refused(tmp_path: Path, capsys: Capture, fraction: float) -> None:
    data = small_model().SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * fraction)])
    compile_refused(capsys, tmp_path / "cut.onnx", "cut.onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_refused_with_its_node(tmp_path: Path, capsys: Capture, value: float) -> None:
    model = small_model()
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.flat[7] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    compile_refused(capsys, saved(model, tmp_path, "nan.onnx"), "nan.onnx", "Conv_0", "NaN or infinity")


def test_an_unknown_operator_is_refused_with_its_node(tmp_path: Path, capsys: Capture) -> None:
    model = build(lambda b, x: b("HardSwish", b.conv(x, 3, 4)), (1, *SIZE))
    compile_refused(capsys, saved(model, tmp_path, "unknown.onnx"), "unknown.onnx", "HardSwish_1", "not supported")


def test_a_dynamic_height_is_refused(tmp_path: Path, capsys: Capture) -> None:
    model = build(lambda b, x: b.conv(x, 3, 4), (1, 3, "height", 14))
    compile_refused(capsys, saved(model, tmp_path, "dynamic.onnx"), "dynamic.onnx", "image", "height")


def test_two_inputs_are_refused_by_name(tmp_path: Path, capsys: Capture) -> None:
    model = build(lambda b, x: b("Add", b.conv(x, 3, 3), "second"), (1, *SIZE))
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, (1, *SIZE)))
    compile_refused(capsys, saved(model, tmp_path, "two.onnx"), "two.onnx", "image", "second")


def test_a_model_that_is_not_there_is_refused(tmp_path: Path, capsys: Capture) -> None:
    compile_refused(capsys, tmp_path / "absent.onnx", "absent.onnx", "no such file")


def test_a_calibration_picture_that_is_no_picture_is_refused_by_name(tmp_path: Path, capsys: Capture) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(pixels(1)[0]).save(pictures / "a.png")
    (pictures / "b.png").write_text("not a picture")
    compile_refused(capsys, save_small_model(tmp_path), "b.png", options=("--calibration", pictures))


def test_calibration_data_that_is_not_there_is_refused(tmp_path: Path, capsys: Capture) -> None:
    compile_refused(capsys, save_small_model(tmp_path), "nowhere", options=("--calibration", tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--target", "z80"), "--target z80"),
        (("--board", "uno"), "uno"),
        (("--name", "3d"), "--name"),
        (("--mean", "a", "--std", "1"), "--mean"),
        (("--mean", "1"), "--mean"),
        (("--std", "0", "--mean", "0"), "--std"),
        (("--preprocess", "keras"), "--preprocess"),
        (("--emit", "pickle"), "--emit"),
        (("--optimize", "power"), "--optimize"),
        (("--arena-limit", "30x"), "--arena-limit"),
        (("--arena-limit", "0"), "--arena-limit"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    tmp_path: Path, capsys: Capture, options: tuple[str, ...], word: str
) -> None:
    compile_refused(capsys, save_small_model(tmp_path), word, options=options)


def wide(b: Builder, x: str) -> str:
    return b("GlobalAveragePool", b.relu6(b.conv(x, 3, 4, 3, strides=[2, 2], pads=[1, 1, 1, 1])))


def heavy(b: Builder, x: str) -> str:
    x = b.relu6(b.conv(x, 3, 500, 3, strides=[2, 2]))
    return b("GlobalAveragePool", b.conv(x, 500, 600))


@pytest.mark.parametrize(
    ("body", "size", "words"),
    [(wide, (3, 96, 96), ("bytes of RAM", "16,384")), (heavy, (3, 6, 6), ("of weights and parameters", "262,144"))],
    ids=["RAM", "flash"],
)
def test_what_exceeds_the_boards_memory_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: Capture, body: object, size: tuple[int, int, int], words: tuple[str, ...]
) -> None:
    model = saved(build(body, (1, *size)), tmp_path, "large.onnx")  # type: ignore[arg-type]  # a body of layers as the parameter has it
    np.save(tmp_path / "x.npy", np.zeros((1, *size), np.float32))
    options = ("--calibration", tmp_path / "x.npy", "--board", "microbit")
    compile_refused(capsys, model, "large.onnx", "microbit", *words, options=options)


def test_what_fits_the_board_is_compiled_for_its_core(tmp_path: Path, capsys: Capture) -> None:
    model, data = save_small_model(tmp_path), save_pixels(tmp_path)
    ended = command(
        capsys, "compile", model, "--calibration", data, "--board", "microbit", "-o", tmp_path / "out", "--json"
    )
    assert ended.code == 0
    assert json.loads(ended.out)["report"]["target"] == "cortex-m0"


def test_a_file_in_the_place_of_the_output_or_its_parent_is_refused_before_the_model_is_read(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("a")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        assert_refused(command(capsys, "compile", tmp_path / "absent.onnx", "-o", out), str(out), "-o")
    assert (tmp_path / "file").read_text() == "a"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path, capsys: Capture) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    model = save_small_model(tmp_path)
    assert_refused(command(capsys, "compile", model, "-o", locked / "out"), "locked", "not a writable folder")


def test_a_foreign_folder_is_refused_before_the_model_is_read_and_untouched(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    compile_refused(capsys, tmp_path / "absent.onnx", "out", "was not written by mbv2gen")
    assert contents(tmp_path) == {"out/thesis.txt": b"precious"}


def test_a_failed_compile_leaves_the_old_output_as_it_was(tmp_path: Path, capsys: Capture) -> None:
    model, data = save_small_model(tmp_path), save_pixels(tmp_path)
    options = ("--calibration", data, "--mean", "128", "--std", "64", "-o", tmp_path / "out")
    assert command(capsys, "compile", model, *options).code == 0
    before = contents(tmp_path)
    model.write_bytes(model.read_bytes()[:-40])
    assert_refused(command(capsys, "compile", model, *options), "small.onnx")
    assert contents(tmp_path) | {"small.onnx": b""} == before | {"small.onnx": b""}
