# SPDX-License-Identifier: Apache-2.0
"""Accuracy figures, against onnxruntime for float and TensorFlow Lite Micro for int8."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from command_line import assert_refused, command
from numpy.typing import NDArray
from onnx_models import Builder, build, saved
from PIL import Image
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from small_models import save_small_model
from tflite_micro.python.tflite_micro import runtime
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen.commands import cli
from mbv2gen.evaluation import classes
from mbv2gen.hardware import toolchain

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
COUNT = 64  # of the test images

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
    assert (found["images"], found["cells"], found["source"]) == (COUNT, 1, "test.npz:images")
    assert found["top1"]["float"] == pytest.approx((wanted.argmax(axis=1) == labels).mean())
    assert found["top1"]["int8"] == pytest.approx((made.argmax(axis=1) == labels).mean())
    assert found["top1"]["c"] == found["top1"]["int8"]
    assert found["agreement"] == pytest.approx((wanted.argmax(axis=1) == made.argmax(axis=1)).mean())
    signal, got = (x - x.mean(axis=1, keepdims=True) for x in (wanted, made))
    noise = ((signal - got) ** 2).sum(axis=1)
    assert found["snr_db"] == pytest.approx(10 * np.log10((signal**2).sum() / noise.sum()), abs=0.01)
    each = 10 * np.log10((signal**2).sum(axis=1) / noise)
    assert found["snr_median_db"] == pytest.approx(np.median(each), abs=0.01)
    assert found["snr_mean_db"] == pytest.approx(each.mean(), abs=0.01)
    assert found["c"] == {"on": "host", "board": None, "equal": COUNT}


def test_figures_by_class_and_by_picture_are_those_of_scikit_learn(digits: Path, capsys: Capture) -> None:
    labels = labelled_images(digits)[1]
    wanted, made = float_logits(digits), int8_logits(digits)
    found = evaluated(capsys, digits, digits.parent / "test.npz", "--worst", "7")
    matrix = confusion_matrix(labels, made.argmax(axis=1), labels=range(10))
    assert found["confusion"] == {
        str(right): {str(chosen): int(count) for chosen, count in enumerate(line) if count}
        for right, line in enumerate(matrix)
    }
    for name, logits in (("float", wanted), ("int8", made)):
        right = logits.argmax(axis=1) == labels
        by_class = [pytest.approx(right[labels == digit].mean()) for digit in range(10)]
        assert [line[name] for line in found["classes"]] == by_class
    assert [line["images"] for line in found["classes"]] == np.bincount(labels, minlength=10).tolist()
    top5 = top_k_accuracy_score(labels, wanted, k=5, labels=range(10))
    assert found["top5"]["float"] == pytest.approx(top5)
    low, high = found["agreement_interval"]
    assert 0 <= low <= found["agreement"] <= high <= 1
    signal, got = (x - x.mean(axis=1, keepdims=True) for x in (wanted, made))
    each = 10 * np.log10((signal**2).sum(axis=1) / ((signal - got) ** 2).sum(axis=1))
    differs = wanted.argmax(axis=1) != made.argmax(axis=1)
    order = sorted(range(COUNT), key=lambda index: (not differs[index], each[index]))[:7]
    assert [line["image"] for line in found["worst"]] == [f"images[{index}]" for index in order]
    assert [line["snr_db"] for line in found["worst"]] == pytest.approx([each[index] for index in order], abs=0.01)
    assert [line["int8"] for line in found["worst"]] == [str(made[index].argmax()) for index in order]


@pytest.mark.parametrize("options", [("--jobs", 2), ("--jobs", 2, "--backend", "threading")])
def test_figures_do_not_depend_on_who_works(digits: Path, capsys: Capture, options: tuple[object, ...]) -> None:
    alone = evaluated(capsys, digits, digits.parent / "test.npz", "--jobs", 1)
    assert evaluated(capsys, digits, digits.parent / "test.npz", *options) == alone


@needs_host_compiler
def test_a_dask_cluster_gives_the_same_figures_c_included(digits: Path, capsys: Capture) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'mbv2gen[dask]'")
    words = ("evaluate", digits, "--images", digits.parent / "test.npz", "--json")
    here = command(capsys, *words)
    with distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster:
        there = command(capsys, *words, "--backend", "dask", "--scheduler", cluster.scheduler_address)
    assert (there.code, there.out) == (here.code, here.out)
    assert json.loads(there.out)["c"]["equal"] == COUNT


def write_classes(digits: Path, folder: Path, names: dict[int, str], each: int = 3) -> NDArray[np.float64]:
    """Pictures in a folder a class -> onnxruntime's logits of them, in the order of the folders."""
    images, labels = labelled_images(digits)
    chosen = []
    for digit, name in sorted(names.items(), key=lambda item: item[1]):
        (folder / name).mkdir(parents=True)
        for index in np.flatnonzero(labels == digit)[:each]:
            Image.fromarray(images[index, :, :, 0]).save(folder / name / f"{index:03}.png")
            chosen.append(index)
    return float_logits(digits)[chosen]


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_folders_called_as_the_models_classes_are_those(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    """In sorted order eight would be class 0; MODEL.json beside the model says it is 8."""
    shutil.copytree(digits, tmp_path / "out")
    shutil.copy(digits.parent / "digits.onnx", tmp_path / "digits.onnx")
    (tmp_path / "digits.json").write_text(json.dumps({"classes": WORDS}))
    logits = write_classes(digits, tmp_path / "pictures", {8: "eight", 2: "two", 5: "five"})
    found = evaluated(capsys, tmp_path / "out", tmp_path / "pictures")
    labels = np.repeat([8, 5, 2], 3)
    assert found["top1"]["float"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    assert found["top1"]["float"] > 0.7
    assert [line["class"] for line in found["classes"]] == ["two", "five", "eight"]
    assert found["note"] is None


def test_as_many_other_names_are_taken_in_sorted_order_and_it_says_so(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(digits, tmp_path / "out")
    shutil.copy(digits.parent / "digits.onnx", tmp_path / "digits.onnx")
    (tmp_path / "digits.json").write_text(json.dumps({"classes": WORDS}))
    logits = write_classes(digits, tmp_path / "pictures", {digit: f"n{digit}" for digit in range(10)}, each=1)
    found = evaluated(capsys, tmp_path / "out", tmp_path / "pictures")
    assert found["top1"]["float"] == pytest.approx((logits.argmax(axis=1) == np.arange(10)).mean())
    assert "n0 is zero, n1 is one" in found["note"]


@pytest.mark.parametrize("text", ["{", "[]", '{"classes": ["a"]}', '{"classes": 3}'])
def test_a_json_that_names_no_classes_is_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    assert classes.names_beside(tmp_path / "model.onnx", 2) is None


def test_a_table_of_labels_gives_the_figures_of_the_folders(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    write_classes(digits, tmp_path / "pictures", {digit: str(digit) for digit in (3, 7)})
    by_folder = evaluated(capsys, digits, tmp_path / "pictures")
    flat = tmp_path / "flat"
    flat.mkdir()
    rows = []
    for file in sorted((tmp_path / "pictures").glob("*/*.png")):
        shutil.copy(file, flat / file.name)
        rows.append(f"{file.name},{file.parent.name},test\n")
    (flat / "labels.csv").write_text("file,label,split\n" + "".join(rows) + "absent.png,3,train\n")
    by_table = evaluated(capsys, digits, f"{flat / 'labels.csv'}:test")
    by_labels = evaluated(capsys, digits, flat, "--labels", flat / "labels.csv")
    for key in ("images", "top1", "confusion", "classes"):
        assert by_table[key] == by_folder[key]
        assert by_labels[key] == by_folder[key]


def test_a_picture_that_cannot_be_read_ends_it_or_is_left_out(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    write_classes(digits, tmp_path / "pictures", {3: "3", 7: "7"})
    good = evaluated(capsys, digits, tmp_path / "pictures")
    (tmp_path / "pictures" / "3" / "aaa.png").write_text("this is no picture")
    words = ("evaluate", digits, "--images", tmp_path / "pictures", "--on", "numpy", "--json")
    assert_refused(command(capsys, *words), "aaa.png", "not a readable image")
    ended = command(capsys, *words, "--skip-bad")
    assert ended.code == 0, ended.err
    assert ended.err.startswith("mbv2gen: warning: left out 3/aaa.png")
    found = json.loads(ended.out)
    assert [line["image"] for line in found.pop("skipped")] == ["3/aaa.png"]
    assert found == {key: value for key, value in good.items() if key != "skipped"}
    for file in (tmp_path / "pictures").glob("*/*.png"):
        file.write_text("")
    assert_refused(command(capsys, *words, "--skip-bad"), "none of the 7 pictures can be read")


def test_without_a_compiler_numpy_alone_is_measured_and_it_says_so(
    digits: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "find_host_compiler", lambda: None)
    words = ("evaluate", digits, "--images", digits.parent / "test.npz", "--json")
    ended = command(capsys, *words)
    assert ended.code == 0
    assert "NumPy int8 alone" in ended.err
    assert (json.loads(ended.out)["c"], json.loads(ended.out)["top1"]["c"]) == (None, None)
    assert_refused(command(capsys, *words, "--on", "host"), "no C compiler")


def test_the_text_names_classes_and_worst_pictures(digits: Path, capsys: Capture) -> None:
    found = evaluated(capsys, digits, digits.parent / "test.npz")
    shown = command(capsys, "evaluate", digits, "--images", digits.parent / "test.npz", "--on", "numpy").out
    for word in ("top-1", "top-5", "95 % confidence", "what int8 takes them for", found["worst"][0]["image"]):
        assert word in shown


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


def evaluated(capsys: Capture, out: Path, images: object, *options: object) -> dict[str, Any]:
    ended = command(capsys, "evaluate", out, "--images", images, "--on", "numpy", "--json", *options)
    assert ended.code == 0, ended.err
    document: dict[str, Any] = json.loads(ended.out)
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
    model = build(body, (1, 3, 6, 8))  # type: ignore[arg-type]  # a body of layers as the parameter has it
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
