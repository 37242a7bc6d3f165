# SPDX-License-Identifier: Apache-2.0
"""The tutorial's scripts: its pictures are what it says, and the training writes a model that compiles."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documents import ROOT
from PIL import Image
from sklearn.datasets import load_digits
from test_docs import loaded

from mbv2gen.compiler import read_network

SCRIPTS = ROOT / "examples" / "tutorial"
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
WITHOUT_TORCH = "needs torch and torchvision: pip install 'mbv2gen[train]' torchvision"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial") / "pictures"
    data = load_digits()
    counts = loaded(SCRIPTS / "pictures.py").write(folder, data.images, data.target)
    assert ", ".join(f"{count} pictures in {part}/" for part, count in counts.items()) in TUTORIAL
    return folder


def files(folder: Path) -> dict[str, str]:
    """{CLASS/FILE.png: hash of its bytes}"""
    found = sorted(folder.glob("*/*.png"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_pictures_stand_under_the_class_that_the_data_set_says(pictures: Path) -> None:
    train, test = files(pictures / "train"), files(pictures / "test")
    labels = load_digits().target
    assert {name: int(name.split("/")[0]) for name in train | test} == {
        f"{label}/{index:04}.png": label for index, label in enumerate(labels.tolist())
    }
    assert sorted(name.split("/")[1] for name in test) == [f"{index:04}.png" for index in range(1437, 1797)]


def test_calibration_pictures_are_training_pictures_of_every_class_and_none_is_a_test_picture(pictures: Path) -> None:
    train, calibration, test = (files(pictures / part) for part in ("train", "calibration", "test"))
    assert calibration.items() <= train.items()
    assert {name.split("/")[0] for name in calibration} == set("0123456789")
    assert not set(test.values()) & set(train.values())


def test_a_picture_is_an_orange_digit_on_blue_of_the_size_that_the_tutorial_says(pictures: Path) -> None:
    with Image.open(pictures / "train" / "0" / "0000.png") as file:
        assert file.size == (80, 60)
        pixels = np.asarray(file).astype(int)
    corner, ring = pixels[:8, :8].mean(axis=(0, 1)), pixels[pixels[..., 0] > 200].mean(axis=0)
    assert corner[2] > corner[0] + 20
    assert ring[0] > ring[2] + 60


def test_sizes_and_constants_in_the_text_are_those_of_the_training() -> None:
    source = (SCRIPTS / "train.py").read_text(encoding="utf-8")
    for constants in re.findall(r"mean=\[[0-9., ]+\], std=\[[0-9., ]+\]", TUTORIAL):
        assert constants in source
    assert "SIDE = 48" in source
    assert 'default=0.25, help="width' in source


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason=WITHOUT_TORCH)
def test_the_training_writes_a_model_that_is_read_as_mobilenet_v2(pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, SCRIPTS / "train.py", pictures, tmp_path / "colours.onnx", "--steps", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"top-1 \d+\.\d\d% on 360 test pictures", result.stdout)
    network = read_network(tmp_path / "colours.onnx")
    assert network.shape(network.inputs[0]) == (48, 48, 3)
    assert network.shape(network.outputs[0]) == (1, 1, 10)
    assert len(network.blocks) == 19
