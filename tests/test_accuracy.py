"""Accuracy figures, against onnxruntime for float and TensorFlow Lite Micro for int8."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import assert_refused, command
from numpy.typing import NDArray
from onnx_models import Builder, build, saved
from PIL import Image
from small_models import save_small_model
from tflite_micro.python.tflite_micro import runtime
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen.commands import cli

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
COUNT = 120  # of the test images

Capture = pytest.CaptureFixture[str]


def compiled(model: Path, *options: object) -> Path:
    """The model's output folder, beside it."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", str(model), "-o", str(model.parent / "out"), "--quiet", *map(str, options)])
    assert ended.value.code == 0
    return model.parent / "out"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's output folder; its model and the first test images lie beside it."""
    folder = tmp_path_factory.mktemp("digits")
    for name in ("digits.onnx", "digits.toml"):
        shutil.copy(DIGITS / name, folder / name)
    with np.load(DIGITS / "digits_calibration.npz") as data:
        np.save(folder / "calibration.npy", data["images"][:40])
    with np.load(DIGITS / "digits_test.npz") as data:
        np.savez(folder / "test.npz", images=data["images"][:COUNT], labels=data["labels"][:COUNT])
    return compiled(folder / "digits.onnx", "--calibration", folder / "calibration.npy", "--emit", "tflite")


def labelled_images(digits: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    with np.load(digits.parent / "test.npz") as data:
        return data["images"], data["labels"]


def float_logits(digits: Path) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(str(digits.parent / "digits.onnx"), providers=["CPUExecutionProvider"])
    x = labelled_images(digits)[0].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return np.concatenate([session.run(None, {"image": one[None]})[0] for one in x]).astype(np.float64)


def int8_logits(digits: Path) -> NDArray[np.float64]:
    """What TensorFlow Lite Micro computes, in real numbers; the digits' pixels are its input by XOR."""
    interpreter = runtime.Interpreter.from_file(str(digits / "digits.tflite"))
    scale = interpreter.get_output_details(0)["quantization_parameters"]
    outputs = []
    for picture in labelled_images(digits)[0]:
        interpreter.set_input((picture.astype(np.int32) - 128).astype(np.int8)[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1).astype(np.float64))
    return (np.array(outputs) - scale["zero_points"][0]) * scale["scales"][0]


@needs_host_compiler
def test_figures_are_those_of_onnxruntime_and_tensorflow_lite_micro(digits: Path, capsys: Capture) -> None:
    labels = labelled_images(digits)[1]
    wanted, made = float_logits(digits), int8_logits(digits)
    ended = command(capsys, "evaluate", digits, "--images", digits.parent / "test.npz", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["images"], found["cells"], found["source"]) == (COUNT, 1, "test.npz")
    assert found["top1"]["float"] == pytest.approx((wanted.argmax(axis=1) == labels).mean())
    assert found["top1"]["int8"] == pytest.approx((made.argmax(axis=1) == labels).mean())
    assert found["top1"]["c"] == found["top1"]["int8"]
    assert found["agreement"] == pytest.approx((wanted.argmax(axis=1) == made.argmax(axis=1)).mean())
    signal, got = (x - x.mean(axis=1, keepdims=True) for x in (wanted, made))
    noise = ((signal - got) ** 2).sum(axis=1)
    assert found["snr_db"] == pytest.approx(10 * np.log10((signal**2).sum() / noise.sum()), abs=0.01)
    each = 10 * np.log10((signal**2).sum(axis=1) / noise)
    assert found["snr_median_db"] == pytest.approx(np.median(each), abs=0.01)
    assert found["c"] == {"on": "host", "board": None, "equal": COUNT}


def test_the_report_keeps_what_it_held_and_gains_the_accuracy(digits: Path, capsys: Capture) -> None:
    before = json.loads((digits / "report.json").read_text())
    ended = command(capsys, "evaluate", digits, "--images", digits.parent / "test.npz", "--on", "numpy", "--json")
    assert ended.code == 0, ended.err
    after = json.loads((digits / "report.json").read_text())
    assert after["accuracy"] == json.loads(ended.out)
    assert after["accuracy"]["c"] is after["accuracy"]["top1"]["c"] is None
    assert {**after, "accuracy": None} == {**before, "accuracy": None}


@needs_arm_compiler
@needs_qemu
def test_c_on_the_board_is_counted_as_equal(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "few.npz", images=labelled_images(digits)[0][:4])
    words = ("evaluate", digits, "--images", tmp_path / "few.npz", "--on", "qemu", "--json")
    found = json.loads(command(capsys, *words).out)
    assert found["c"] == {"on": "qemu", "board": "mps2-an500", "equal": 4}
    assert found["top1"] == {"float": None, "int8": None, "c": None}
    assert found["note"] == "the pictures have no labels"


def evaluated(capsys: Capture, out: Path, images: object, *options: object) -> dict[str, object]:
    ended = command(capsys, "evaluate", out, "--images", images, "--on", "numpy", "--json", *options)
    assert ended.code == 0, ended.err
    document: dict[str, object] = json.loads(ended.out)
    return document


def test_folders_named_by_numbers_stand_for_those_classes(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    """3 and 7 alone: taken as the first and second folder, none would be right."""
    images, labels = labelled_images(digits)
    right = float_logits(digits).argmax(axis=1) == labels
    for digit in (3, 7):
        (tmp_path / "pictures" / str(digit)).mkdir(parents=True)
        for index in np.flatnonzero((labels == digit) & right)[:3]:
            Image.fromarray(images[index, :, :, 0]).save(tmp_path / "pictures" / str(digit) / f"{index}.png")
    assert evaluated(capsys, digits, tmp_path / "pictures")["top1"] == {"float": 1.0, "int8": 1.0, "c": None}


def test_folders_that_are_not_the_networks_classes_give_no_top1_but_a_reason(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    for name in ("three", "seven"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.fromarray(labelled_images(digits)[0][0, :, :, 0]).save(tmp_path / "pictures" / name / "a.png")
    found = evaluated(capsys, digits, tmp_path / "pictures")
    assert found["top1"] == {"float": None, "int8": None, "c": None}
    assert found["note"] == "the pictures have 2 classes, the network 10"
    assert found["agreement"] is not None


def test_labels_beyond_the_classes_give_no_top1_but_a_reason(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "x.npz", images=labelled_images(digits)[0][:3], labels=np.array([1, 2, 10]))
    assert "from 1 to 10" in str(evaluated(capsys, digits, tmp_path / "x.npz")["note"])


def test_without_the_model_there_are_no_float_figures_and_a_warning(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(digits, tmp_path / "out")
    words = ("evaluate", tmp_path / "out", "--images", digits.parent / "test.npz", "--on", "numpy", "--json")
    ended = command(capsys, *words)
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["top1"]["float"] is found["agreement"] is found["snr_db"] is None
    assert found["top1"]["int8"] > 0.9
    assert ended.err.startswith("mbv2gen: warning: digits.onnx is neither beside")


def test_a_file_of_the_models_name_but_other_bytes_is_not_taken_for_it(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(digits, tmp_path / "out")
    save_small_model(tmp_path, "digits.onnx")
    found = evaluated(capsys, tmp_path / "out", digits.parent / "test.npz")
    assert found["agreement"] is None
    words = ("evaluate", tmp_path / "out", "--images", digits.parent / "test.npz", "--model", tmp_path / "digits.onnx")
    assert_refused(command(capsys, *words), "digits.onnx", "was compiled from")


def test_the_model_may_be_named_or_lie_in_the_current_folder(
    digits: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits, tmp_path / "sub" / "out")
    images, model = digits.parent / "test.npz", digits.parent / "digits.onnx"
    named = evaluated(capsys, tmp_path / "sub" / "out", images, "--model", model)
    monkeypatch.chdir(digits.parent)
    here = evaluated(capsys, tmp_path / "sub" / "out", images)
    assert named["agreement"] == here["agreement"] is not None


def compiled_small(folder: Path, body: object, count: int = 5) -> tuple[Path, NDArray[np.float64]]:
    """(output folder, float outputs [count][...]) of a model of float inputs that are written to x.npy."""
    model = build(body, (1, 3, 6, 8))  # type: ignore[arg-type]
    path = saved(model, folder)
    x = np.random.default_rng(4).standard_normal((count, 3, 6, 8)).astype(np.float32)
    np.save(folder / "x.npy", x)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = [session.run(None, {"image": one[None]})[0][0] for one in x]
    return compiled(path, "--calibration", folder / "x.npy"), np.array(outputs, np.float64)


def heat_map(b: Builder, x: str) -> str:
    return b("Softmax", b("Transpose", b.conv(b.relu6(b.conv(x, 3, 6)), 6, 2), perm=[0, 2, 3, 1]), axis=-1)


def test_a_heat_map_is_compared_cell_by_cell(tmp_path: Path, capsys: Capture) -> None:
    out, wanted = compiled_small(tmp_path, heat_map)
    assert wanted.shape == (5, 6, 8, 2)
    found = evaluated(capsys, out, tmp_path / "x.npy")
    assert (found["images"], found["cells"]) == (5, 48)
    assert isinstance(found["agreement"], float)
    assert found["agreement"] > 0.9
    assert (found["agreement"] * 5 * 48) % 1 == pytest.approx(0, abs=1e-6)


def one_probability(b: Builder, x: str) -> str:
    pooled = b("Flatten", b("GlobalAveragePool", b.relu6(b.conv(x, 3, 9))))
    return b("Sigmoid", b("Gemm", pooled, b.random(1, 9), np.zeros(1, np.float32), transB=1))


def test_a_single_probability_decides_at_one_half(tmp_path: Path, capsys: Capture) -> None:
    out, wanted = compiled_small(tmp_path, one_probability, count=12)
    x = np.load(tmp_path / "x.npy")
    labels = (wanted[:, 0] > 0.5).astype(np.int64)
    np.savez(tmp_path / "x.npz", x=x, y=labels)
    np.savez(tmp_path / "inverse.npz", x=x, y=1 - labels)
    right, wrong = (evaluated(capsys, out, f"{tmp_path / name}.npz:x")["top1"] for name in ("x", "inverse"))
    assert isinstance(right, dict)
    assert isinstance(wrong, dict)
    assert (right["float"], wrong["float"]) == (1.0, 0.0)
    assert right["int8"] == pytest.approx(1 - wrong["int8"])


def test_an_output_that_names_no_class_has_no_agreement(tmp_path: Path, capsys: Capture) -> None:
    out, _ = compiled_small(tmp_path, lambda b, x: b("GlobalAveragePool", b.conv(x, 3, 1)))
    found = evaluated(capsys, out, tmp_path / "x.npy")
    assert (found["agreement"], found["note"]) == (None, "the output names no class")
    assert found["snr_db"] is not None


def test_pictures_for_a_network_that_was_not_told_of_pixels_are_refused(tmp_path: Path, capsys: Capture) -> None:
    out, _ = compiled_small(tmp_path, heat_map)
    np.save(tmp_path / "pixels.npy", np.zeros((2, 6, 8, 3), np.uint8))
    words = ("evaluate", out, "--images", tmp_path / "pixels.npy", "--on", "numpy")
    assert_refused(command(capsys, *words), "model.onnx", "--mean")


def test_pictures_that_are_not_there_are_refused(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    assert_refused(command(capsys, "evaluate", digits, "--images", tmp_path / "nowhere"), "nowhere")
