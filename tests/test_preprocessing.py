# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import ModelInput
from mbv2gen.pixels.preprocessing import Preprocessing, from_options, normalise

PLAIN = ModelInput("x", "NCHW", "float32")
NORMALISING = ModelInput("x", "NHWC", "uint8", mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


def toml(folder: Path, text: str) -> Path:
    path = folder / "model.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_default_is_tf_style_and_says_so() -> None:
    made = from_options(3, PLAIN)
    assert (made.mean, made.std, made.resize, made.colour) == ((127.5,) * 3, (127.5,) * 3, "squash", "RGB")
    assert "127.5" in made.note
    assert not made.is_stated
    assert "\n" not in made.note


def test_options_beat_the_toml_file_key_by_key(tmp_path: Path) -> None:
    path = toml(tmp_path, 'mean = [1, 2, 3]\nstd = 2\nresize = "crop"\ncolour = "BGR"\n')
    assert from_options(3, PLAIN, toml=path) == Preprocessing((1.0, 2.0, 3.0), (2.0,) * 3, "crop", "BGR")
    changed = from_options(3, PLAIN, toml=path, preprocess="unit", colour="rgb")
    assert changed == Preprocessing((0.0,) * 3, (255.0,) * 3, "crop", "RGB")


def test_absent_toml_file_is_no_error(tmp_path: Path) -> None:
    assert from_options(1, PLAIN, toml=tmp_path / "none.toml").colour == "GREY"


def test_graph_normalisation_needs_no_option_and_no_note() -> None:
    made = from_options(3, NORMALISING)
    assert (made.mean, made.std, made.note) == ((0.0,) * 3, (255.0,) * 3, "")


def test_repeating_the_graph_normalisation_is_allowed() -> None:
    assert from_options(3, NORMALISING, preprocess="unit") == from_options(3, NORMALISING)


def test_uint8_model_that_normalises_nothing_takes_pixels_as_they_are() -> None:
    made = from_options(3, ModelInput("x", "NHWC", "uint8"))
    assert (made.mean, made.std, made.note) == ((0.0,) * 3, (1.0,) * 3, "")


def test_torchvision_preset_follows_the_channel_order() -> None:
    rgb, bgr = (from_options(3, PLAIN, preprocess="torchvision", colour=colour) for colour in ("RGB", "BGR"))
    assert rgb.mean == pytest.approx((123.675, 116.28, 103.53))
    assert rgb.std == pytest.approx((58.395, 57.12, 57.375))
    assert bgr.mean == rgb.mean[::-1]
    assert bgr.std == rgb.std[::-1]


def test_text_gives_one_value_a_channel() -> None:
    assert from_options(3, PLAIN, mean="1,2,3", std="4").mean == (1.0, 2.0, 3.0)


def test_interval_spans_the_pixels_of_all_channels() -> None:
    assert Preprocessing((0.0, 255.0), (255.0, 51.0)).interval == (-5.0, 1.0)


def test_normalise_is_float32_by_channel() -> None:
    values = normalise(np.array([[[0, 255]]], np.uint8), (1.0, 5.0), (2.0, 10.0))
    assert values.dtype == np.float32
    assert values.tolist() == [[[-0.5, 25.0]]]


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"mean": 1.0}, "--mean"),
        ({"std": 1.0}, "--std"),
        ({"mean": "a", "std": 1.0}, "--mean"),
        ({"mean": [1.0, 2.0], "std": 1.0}, "--mean"),
        ({"mean": 0.0, "std": 0.0}, "--std"),
        ({"mean": float("nan"), "std": 1.0}, "--mean"),
        ({"preprocess": "caffe"}, "--preprocess"),
        ({"preprocess": "tf", "mean": 1.0, "std": 1.0}, "--preprocess"),
        ({"resize": "stretch"}, "--resize"),
        ({"colour": "CMYK"}, "--colour"),
        ({"colour": "GREY"}, "--colour"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(options: dict[str, Any], option: str) -> None:
    with pytest.raises(Mbv2genError) as caught:
        from_options(3, PLAIN, **options)
    assert str(caught.value).startswith(option)
    assert "\n" not in str(caught.value)


def test_torchvision_preset_is_refused_for_one_channel() -> None:
    with pytest.raises(Mbv2genError, match="--preprocess"):
        from_options(1, PLAIN, preprocess="torchvision")


@pytest.mark.parametrize(("options", "text"), [({"mean": 127.5, "std": 127.5}, ""), ({}, 'preprocess = "tf"')])
def test_contradicting_the_graph_is_refused(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(Mbv2genError, match="contradicts the graph"):
        from_options(3, NORMALISING, toml=path, **options)


@pytest.mark.parametrize("text", ["mean = ", "meen = 1\n", "mean = 1\n", 'mean = "x"\nstd = 1\n', "resize = 3\n"])
def test_a_bad_toml_file_is_named_in_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(Mbv2genError) as caught:
        from_options(3, PLAIN, toml=toml(tmp_path, text))
    assert "model.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
