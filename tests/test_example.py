# SPDX-License-Identifier: Apache-2.0
"""The committed example: its accuracy, its size, and that its images are the data set's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = Path(__file__).parents[1] / "examples" / "digits"


def load(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with np.load(DIGITS / f"digits_{name}.npz", allow_pickle=False) as file:
        return file["images"], file["labels"]


@pytest.fixture(scope="module")
def dataset() -> ModuleType:
    """examples/digits/dataset.py, imported as train.py imports it: by its folder."""
    sys.path.insert(0, str(DIGITS))
    try:
        import dataset  # noqa: PLC0415 - beside the example, not on the path before
    finally:
        sys.path.remove(str(DIGITS))
    return dataset


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(DIGITS / "digits.onnx")


def top1(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Of the committed model in onnxruntime, with the preprocessing that digits.toml states (x = pixel / 255)."""
    session = onnxruntime.InferenceSession(DIGITS / "digits.onnx", providers=["CPUExecutionProvider"])
    x = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    logits = np.concatenate([session.run(None, {"image": one[None]})[0] for one in x])
    assert logits.shape == (len(images), 10)
    return float((logits.argmax(axis=1) == labels).mean())


def upscaled(small: NDArray[np.float64]) -> NDArray[np.float64]:
    """8x8 -> 32x32 bilinear, written out: pixel centres at (i + 1/2) / 4 - 1/2, edges repeated."""
    position = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    low = np.minimum(position.astype(int), 6)
    weights = np.zeros((32, 8))
    weights[np.arange(32), low] = 1 - (position - low)
    weights[np.arange(32), low + 1] = position - low
    return np.asarray(weights @ small @ weights.T)


def test_model_reproduces_the_accuracy_that_its_readme_states() -> None:
    stated = re.search(r"(\d+\.\d+) % of the 360 test\s+images", (DIGITS / "README.md").read_text())
    assert stated is not None
    measured = 100 * top1(*load("test"))
    assert measured > 97
    assert abs(measured - float(stated[1])) < 0.3  # one image is 0.28 points


def test_inverted_pictures_destroy_the_accuracy() -> None:
    images, labels = load("test")
    assert top1(255 - images, labels) < 0.5


def test_committed_files_are_small() -> None:
    assert (DIGITS / "digits.onnx").stat().st_size < 300_000
    binaries = [path for path in DIGITS.rglob("*") if path.suffix in (".onnx", ".npz", ".png")]
    assert sum(path.stat().st_size for path in binaries) < 1_000_000


def test_model_is_a_mobilenet_v2_of_seventeen_blocks(model: onnx.ModelProto) -> None:
    operators = [node.op_type for node in model.graph.node]
    assert set(operators) == {"Conv", "Clip", "Add", "ReduceMean", "Reshape", "Gemm"}
    groups = [a.i for node in model.graph.node for a in node.attribute if a.name == "group"]
    assert sum(group > 1 for group in groups) == 17
    assert operators.count("Conv") == 1 + 2 + 16 * 3 + 1  # stem, block without expansion, the other blocks, head
    assert operators.count("Clip") == 1 + 1 + 16 * 2 + 1
    # The paper's ten, and the first block of each of the first two stages: 8 channels at stride 1 on both sides.
    assert operators.count("Add") == 10 + 2


def test_model_says_nothing_about_the_machine_that_trained_it(model: onnx.ModelProto) -> None:
    words = re.findall(rb"[ -~]{4,}", (DIGITS / "digits.onnx").read_bytes())
    names = {name.encode() for node in model.graph.node for name in (*node.input, *node.output)}
    assert not [word for word in words if re.search(rb"site-packages|\.py\b|File \"|/home/|/root/", word)]
    assert any(name in word for name in names for word in words)


def test_committed_test_images_are_the_last_360_digits_of_the_data_set() -> None:
    digits = load_digits()
    images, labels = load("test")
    assert images.shape == (360, 32, 32, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(labels, digits.target[-360:])
    np.testing.assert_allclose(images[..., 0], upscaled(digits.images[-360:] * (255 / 16)), atol=1.5)


def test_committed_calibration_images_are_training_images_of_every_class() -> None:
    digits = load_digits()
    images, labels = load("calibration")
    assert len(images) >= 100
    np.testing.assert_array_equal(labels, digits.target[:-360:7])
    np.testing.assert_allclose(images[..., 0], upscaled(digits.images[:-360:7] * (255 / 16)), atol=1.5)
    assert set(labels) == set(range(10))


def test_no_calibration_image_is_a_test_image() -> None:
    test = {image.tobytes() for image in load("test")[0]}
    assert not [image for image in load("calibration")[0] if image.tobytes() in test]


@pytest.mark.parametrize("name", ["calibration", "test"])
def test_training_script_writes_exactly_the_committed_images(dataset: ModuleType, name: str) -> None:
    part = getattr(dataset, f"{name}_images")()
    images, labels = load(name)
    np.testing.assert_array_equal(part.images, images)
    np.testing.assert_array_equal(part.labels, labels)


def test_training_and_test_images_together_are_the_whole_data_set(dataset: ModuleType) -> None:
    together = np.concatenate([dataset.training_images().images, dataset.test_images().images])
    np.testing.assert_array_equal(together, dataset.load_all().images)
    assert len(together) == 1797


def test_png_pictures_are_test_images_in_the_folder_of_their_class() -> None:
    images, labels = load("test")
    pictures = sorted((DIGITS / "pictures").glob("*/*.png"))
    assert {int(path.parent.name) for path in pictures} == set(range(10))
    for path in pictures:
        index = int(path.stem.removeprefix("test_"))
        assert labels[index] == int(path.parent.name)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), images[index, :, :, 0])
