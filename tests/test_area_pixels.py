# SPDX-License-Identifier: Apache-2.0
"""--resize area: a board's integers, the desk's NumPy and the definition of a mean make the same bytes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_libraries import STRICT
from command_line import command
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from small_models import save_small_model
from test_view_input import packed565
from toy_network import needs_host_compiler

from mbv2gen.hardware import toolchain
from mbv2gen.pixels import area
from mbv2gen.pixels.image import fit
from mbv2gen.pixels.input_diagnosis import rgb565
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.resources import templates_dir

UInt8Array = NDArray[np.uint8]
RGB888, BGR888, RGB565, RGB565_SWAPPED, GREY = range(5)
SIZES = st.tuples(st.integers(1, 23), st.integers(1, 23))
SOURCE = templates_dir() / "kernels" / "mbv2_pixels.c"


class Picture(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_char_p), ("h", ctypes.c_uint32), ("w", ctypes.c_uint32), ("row_bytes", ctypes.c_uint32),
        ("format", ctypes.c_int),
    )  # fmt: skip


class Part(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("top", "left", "h", "w"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("pixels") / "pixels.so"
    compiler = str(toolchain.require_host_compiler())
    sanitizers = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    subprocess.run(
        [compiler, "-std=c11", "-O1", *STRICT, *sanitizers, "-shared", "-fPIC", str(SOURCE), "-o", str(path)],
        check=True,
    )
    made = ctypes.CDLL(str(path))
    made.mbv2_whole.restype = made.mbv2_centre.restype = Part
    return made


def by_c(
    library: ctypes.CDLL,
    data: bytes,
    size: tuple[int, int],
    form: int,
    target: tuple[int, int, int],
    *,
    crop: bool,
    function: str = "mbv2_area_row",
) -> UInt8Array:
    """Row by row; rows of the source are two bytes longer than their pixels."""
    (source_h, source_w), (h, w, c) = size, target
    length = len(data) // source_h
    padded = b"".join(data[i * length : (i + 1) * length] + b"\xaa\x55" for i in range(source_h))
    picture = Picture(padded, source_h, source_w, length + 2, form)
    part = library.mbv2_centre(ctypes.byref(picture), h, w) if crop else library.mbv2_whole(ctypes.byref(picture))
    made = np.empty((h, w, c), np.uint8)
    for y in range(h):
        row = made[y].ctypes.data_as(ctypes.c_void_p)
        getattr(library, function)(row, ctypes.byref(picture), ctypes.byref(part), y, h, w, c)
    return made


def by_definition(picture: UInt8Array, target: tuple[int, int]) -> UInt8Array:
    """Each pixel cut into h x w equal pieces, of which each place of the result has H x W: their mean, rounded."""
    (source_h, source_w, c), (h, w) = picture.shape, target
    pieces = picture.repeat(h, axis=0).repeat(w, axis=1).astype(int)
    sums = pieces.reshape(h, source_h, w, source_w, c).sum(axis=(1, 3))
    return ((2 * sums + source_h * source_w) // (2 * source_h * source_w)).astype(np.uint8)


def pictures(size: tuple[int, int], seed: int) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


@given(SIZES, SIZES, st.integers(0, 1 << 20))
def test_numpy_is_the_mean_of_areas(size: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    picture = pictures(size, seed)
    np.testing.assert_array_equal(area.resize(picture, target), by_definition(picture, target))
    np.testing.assert_array_equal(area.resize(picture, size), picture)


@needs_host_compiler
@given(SIZES, SIZES, st.integers(0, 1 << 20), st.sampled_from(["area", "crop-area"]), st.sampled_from([1, 3]))
def test_c_is_what_evaluate_and_calibration_make(
    library: ctypes.CDLL, size: tuple[int, int], target: tuple[int, int], seed: int, resize: str, c: int
) -> None:
    """Of every format; the words of RGB565 are packed bit by bit."""
    picture, how = pictures(size, seed), Preprocessing((0.0,) * c, (1.0,) * c, resize)
    shape, crop = (*target, c), resize == "crop-area"
    wanted = fit(picture, shape, how)
    np.testing.assert_array_equal(by_c(library, picture.tobytes(), size, RGB888, shape, crop=crop), wanted)
    swapped = picture[:, :, ::-1].tobytes()
    np.testing.assert_array_equal(by_c(library, swapped, size, BGR888, shape, crop=crop), wanted)
    for form, order in ((RGB565, "little"), (RGB565_SWAPPED, "big")):
        words = packed565(picture, order)
        unpacked = rgb565(np.frombuffer(words, "<u2" if order == "little" else ">u2").reshape(size))
        made = by_c(library, words, size, form, shape, crop=crop)
        np.testing.assert_array_equal(made, fit(unpacked, shape, how))
    grey = picture[:, :, :1]
    np.testing.assert_array_equal(by_c(library, grey.tobytes(), size, GREY, shape, crop=crop), fit(grey, shape, how))


@pytest.mark.parametrize("words", ["gcc -std=c11", "clang -std=c11", "g++ -x c++", "clang++ -x c++"])
def test_it_compiles_without_a_warning(words: str) -> None:
    compiler, *options = words.split()
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    done = subprocess.run([compiler, *options, *STRICT, "-fsyntax-only", str(SOURCE)], capture_output=True, check=False)
    assert done.stderr == b""


@needs_host_compiler
def test_the_largest_picture_does_not_overflow(library: ctypes.CDLL) -> None:
    white = bytes([255]) * (4096 * 4096)
    assert by_c(library, white, (4096, 4096), GREY, (1, 1, 1), crop=False)[0, 0, 0] == 255


@given(SIZES, SIZES)
def test_the_part_in_the_middle_is_the_largest_of_its_proportions(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    top, left, h, w = area.centre(size, target)
    assert h == size[0] or w == size[1]
    assert top == (size[0] - h) // 2
    assert left == (size[1] - w) // 2
    wider = (h, w + 1) if h == size[0] else (h + 1, w)
    assert wider[0] > size[0] or wider[1] > size[1] or (wider[0] * target[1] < wider[1] * target[0]) == (h == size[0])


def test_a_compile_that_asks_for_it_brings_it_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_small_model(tmp_path)
    pictures_dir = tmp_path / "pictures"
    pictures_dir.mkdir()
    for index in range(3):
        Image.fromarray(pictures((31, 20), index)).save(pictures_dir / f"{index}.png")
    words = ("compile", model, "--calibration", pictures_dir, "--preprocess", "tf", "--effort", "0")
    for resize, is_there in (("crop-area", True), ("squash", False)):
        ended = command(capsys, *words, "--resize", resize, "-o", tmp_path / resize)
        assert ended.code == 0, ended.err
        assert (tmp_path / resize / "mbv2_pixels.c").is_file() == is_there
        assert ("mbv2_pixels.o" in (tmp_path / resize / "Makefile").read_text()) == is_there
    assert "what --resize crop-area made" in (tmp_path / "crop-area" / "small.h").read_text()
    ended = command(capsys, "verify", tmp_path / "crop-area", "--images", pictures_dir)
    assert ended.code == 0, ended.err
