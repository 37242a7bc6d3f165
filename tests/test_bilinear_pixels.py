# SPDX-License-Identifier: Apache-2.0
"""--resize bilinear: a board's integers, the desk's NumPy and exact fractions make the same bytes; what other programs
call bilinear is within a step of them."""

from __future__ import annotations

import ctypes
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import command
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from small_models import save_small_model
from test_area_pixels import BGR888, GREY, RGB565, RGB565_SWAPPED, RGB888, SIZES, UInt8Array, by_c, library, pictures
from test_view_input import packed565
from toy_network import needs_host_compiler

from mbv2gen.pixels import bilinear
from mbv2gen.pixels.image import fit
from mbv2gen.pixels.input_diagnosis import rgb565
from mbv2gen.pixels.preprocessing import Preprocessing

__all__ = ["library"]  # test_area_pixels' fixture
SEEDS = st.integers(0, 1 << 20)


def by_definition(picture: UInt8Array, target: tuple[int, int]) -> UInt8Array:
    """In fractions, pixel by pixel; halves are rounded up."""
    made = np.empty((*target, picture.shape[2]), np.uint8)
    for y, x, channel in np.ndindex(*made.shape):
        value = Fraction(0)
        for row, row_part in around(y, picture.shape[0], target[0]):
            for column, column_part in around(x, picture.shape[1], target[1]):
                value += row_part * column_part * int(picture[row, column, channel])
        made[y, x, channel] = math.floor(value + Fraction(1, 2))
    return made


def around(at: int, source: int, target: int) -> list[tuple[int, Fraction]]:
    middle = (at + Fraction(1, 2)) * source / target - Fraction(1, 2)
    first = math.floor(middle)
    part = middle - first
    return [(min(max(i, 0), source - 1), p) for i, p in ((first, 1 - part), (first + 1, part))]


@given(SIZES, SIZES, SEEDS)
@settings(max_examples=40)
def test_numpy_lies_between_the_four_pixels(size: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    picture = pictures(size, seed)[:, :, :1]
    np.testing.assert_array_equal(bilinear.resize(picture, target), by_definition(picture, target))
    np.testing.assert_array_equal(bilinear.resize(picture, size), picture)


@needs_host_compiler
@given(SIZES, SIZES, SEEDS, st.sampled_from(["bilinear", "crop-bilinear"]), st.sampled_from([1, 3]))
def test_c_is_what_evaluate_and_calibration_make(
    library: ctypes.CDLL, size: tuple[int, int], target: tuple[int, int], seed: int, resize: str, c: int
) -> None:
    """Of every format."""
    picture, how = pictures(size, seed), Preprocessing((0.0,) * c, (1.0,) * c, resize)
    shape = (*target, c)

    def made(data: bytes, form: int) -> UInt8Array:
        crop = resize == "crop-bilinear"
        return by_c(library, data, size, form, shape, crop=crop, function="mbv2_bilinear_row")

    wanted = fit(picture, shape, how)
    np.testing.assert_array_equal(made(picture.tobytes(), RGB888), wanted)
    np.testing.assert_array_equal(made(picture[:, :, ::-1].tobytes(), BGR888), wanted)
    for form, order in ((RGB565, "little"), (RGB565_SWAPPED, "big")):
        words = packed565(picture, order)
        unpacked = rgb565(np.frombuffer(words, "<u2" if order == "little" else ">u2").reshape(size))
        np.testing.assert_array_equal(made(words, form), fit(unpacked, shape, how))
    grey = picture[:, :, :1]
    np.testing.assert_array_equal(made(grey.tobytes(), GREY), fit(grey, shape, how))


@given(SIZES, st.tuples(st.integers(0, 20), st.integers(0, 20)), SEEDS)
def test_enlarging_is_within_a_step_of_pillows_bilinear(
    size: tuple[int, int], more: tuple[int, int], seed: int
) -> None:
    """Where nothing shrinks Pillow's filter is the same; it rounds after each of its two directions. The first rounding
    is off by 1/2, which the second direction does not enlarge, the second by 1/2, ours by 1/2: integers that differ by
    3/2 at most differ by 1."""
    picture, target = pictures(size, seed), (size[0] + more[0], size[1] + more[1])
    theirs = Image.fromarray(picture).resize(target[::-1], Image.Resampling.BILINEAR)
    assert np.abs(bilinear.resize(picture, target).astype(int) - np.asarray(theirs)).max() <= 1


@given(SIZES, SIZES, SEEDS)
def test_any_size_is_within_a_step_of_pillows_sampling(
    size: tuple[int, int], target: tuple[int, int], seed: int
) -> None:
    """Pillow's affine transform samples as we do, in double precision, and rounds down."""
    picture, (h, w) = pictures(size, seed), target
    scale = (size[1] / w, 0, 0, 0, size[0] / h, 0)
    theirs = Image.fromarray(picture).transform((w, h), Image.Transform.AFFINE, scale, Image.Resampling.BILINEAR)
    assert np.abs(bilinear.resize(picture, target).astype(int) - np.asarray(theirs)).max() <= 1


def by_onnxruntime(picture: UInt8Array, target: tuple[int, int]) -> NDArray[np.float32]:
    """Resize as torch's and TensorFlow's exporters write it; float32 [h][w][c]."""
    c = picture.shape[2]
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, c, *target])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, c, *picture.shape[:2]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, c, *target])
    graph = helper.make_graph([node], "resize", [x], [y], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": picture.transpose(2, 0, 1)[None].astype(np.float32)})
    return np.asarray(made)[0].transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("size", "target"),
    [((120, 160), (96, 96)), ((31, 20), (10, 8)), ((7, 9), (32, 32)), ((240, 320), (48, 64)), ((5, 5), (1, 3))],
)
def test_it_is_onnxruntimes_half_pixel_rounded(size: tuple[int, int], target: tuple[int, int]) -> None:
    """Half a step for rounding, and what float32 coordinates are off by: 1e-5 pixels of 255 steps."""
    picture = pictures(size, 5)
    theirs = by_onnxruntime(picture, target)
    assert np.abs(bilinear.resize(picture, target) - theirs).max() <= 0.5 + 0.02


@needs_host_compiler
def test_the_largest_sizes_do_not_overflow(library: ctypes.CDLL) -> None:
    """From and to the sizes that mbv2_pixels.h names: one row of the result, by the undefined-behaviour sanitizer."""
    white = bytes([255]) * (4096 * 4096)
    for shape in ((1, 1, 1), (1024, 4096, 1)):
        made = by_c(library, white, (4096, 4096), GREY, shape, crop=False, function="mbv2_bilinear_row")
        assert made.min() == made.max() == 255


def test_a_toml_beside_the_model_asks_for_it_and_the_folder_brings_it_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_small_model(tmp_path)
    model.with_suffix(".toml").write_text('preprocess = "tf"\nresize = "crop-bilinear"\n', encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        Image.fromarray(pictures((31, 20), index)).save(tmp_path / "pictures" / f"{index}.png")
    words = ("--calibration", tmp_path / "pictures", "--effort", "0", "-o", tmp_path / "out")
    ended = command(capsys, "compile", model, *words)
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "mbv2_pixels.c").is_file()
    header = (tmp_path / "out" / "small.h").read_text(encoding="utf-8")
    assert "mbv2_bilinear_row (mbv2_pixels.h) makes of them what --resize crop-bilinear made" in header
