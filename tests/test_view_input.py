# SPDX-License-Identifier: Apache-2.0
"""view-input: every fault that a board can make of a picture is named, and where there is no telling it says so."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from small_models import write_network
from test_verification import network

from mbv2gen.network import frozen
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels.input_diagnosis import BIG, LITTLE, RIGHT, ZERO_POINT, Hypothesis, diagnose, pixels_of
from mbv2gen.quantized_network import PixelInput

Capture = pytest.CaptureFixture[str]
UInt8Array = NDArray[np.uint8]
XOR = np.tile(np.arange(256) - 128, (3, 1)).astype(np.int8)
# What happens on the board: the camera is mounted so, and the bytes are written so.
MOUNTED: dict[str, Callable[[UInt8Array], UInt8Array]] = {
    "upright": lambda p: p,
    "mirrored left to right": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "rotated by 180 degrees": lambda p: np.rot90(p, 2),
    "to be turned left by 90 degrees": lambda p: np.rot90(p, -1),
    "to be turned right by 90 degrees": lambda p: np.rot90(p, 1),
    "transposed": lambda p: np.swapaxes(p, 0, 1),
}


def scene(seed: int, side: int = 40) -> UInt8Array:
    """Smooth, in colour, as much of it dark as bright, different at each corner."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def packed565(picture: UInt8Array, order: str) -> bytes:
    """As cameras pack it, bit by bit."""
    words = [int(r) >> 3 << 11 | int(g) >> 2 << 5 | int(b) >> 3 for r, g, b in picture.reshape(-1, 3)]
    return b"".join(word.to_bytes(2, order) for word in words)  # type: ignore[arg-type]  # order is little or big


WRITTEN: dict[str, Callable[[UInt8Array], bytes]] = {
    RIGHT: lambda p: (p.astype(int) - 128).astype(np.int8).tobytes(),
    ZERO_POINT: lambda p: p.tobytes(),
    LITTLE: lambda p: packed565(p, "little"),
    BIG: lambda p: packed565(p, "big"),
}


@pytest.mark.parametrize(
    ("reading", "swapped", "mounted"), list(itertools.product(WRITTEN, [False, True], MOUNTED)), ids=str
)
def test_every_fault_is_named_for_certain_where_the_picture_is_known(reading: str, swapped: bool, mounted: str) -> None:
    expected = scene(4)
    picture = MOUNTED[mounted](expected)
    dump = WRITTEN[reading](picture[:, :, ::-1] if swapped else picture)
    found = diagnose(dump, (40, 40, 3), XOR, expected)
    assert found.best == Hypothesis(reading, swapped, mounted)
    assert found.certainty == "clear"


@given(st.integers(0, 1 << 20), st.sampled_from([RIGHT, ZERO_POINT]), st.integers(0, 40))
@settings(max_examples=25)
def test_another_exposure_and_noise_do_not_matter(seed: int, reading: str, darker: int) -> None:
    expected = scene(seed)
    noise = np.random.default_rng(seed).normal(0, 6, expected.shape)
    taken = np.clip(expected * 0.9 - darker / 2 + noise, 0, 255).astype(np.uint8)
    found = diagnose(WRITTEN[reading](taken), (40, 40, 3), XOR, expected)
    assert found.best == Hypothesis(reading, False, "upright")


def test_a_bright_picture_whose_zero_point_was_missed_is_told_by_its_mean() -> None:
    expected = scene(1) // 3 + 150
    found = diagnose(expected.tobytes(), (40, 40, 3), XOR, expected)
    assert (found.best.reading, found.certainty) == (ZERO_POINT, "clear")


def test_another_picture_is_no_answer() -> None:
    assert diagnose(WRITTEN[RIGHT](scene(5)), (40, 40, 3), XOR, scene(6)).certainty == "none"


@pytest.mark.parametrize("reading", [RIGHT, ZERO_POINT, LITTLE, BIG])
def test_without_the_picture_only_the_reading_is_guessed(reading: str) -> None:
    found = diagnose(WRITTEN[reading](np.fliplr(scene(2))), (40, 40, 3), XOR, None)
    assert found.best == Hypothesis(reading, False, "upright")
    assert found.certainty == "likely"
    assert not found.is_compared


def test_noise_is_told_to_be_nothing_and_constants_are() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 40 * 40 * 3).astype(np.uint8).tobytes()
    assert diagnose(noise, (40, 40, 3), XOR, None).certainty == "none"
    black = diagnose(bytes(4800), (40, 40, 3), XOR, scene(1))
    assert black.certainty == "none"
    assert "all 4,800 bytes are 0" in black.notes[0]
    short = WRITTEN[RIGHT](scene(1))[:3000] + bytes(1800)
    assert "the last 1,800 of 4,800 bytes are all 0" in diagnose(short, (40, 40, 3), XOR, None).notes[0]


def test_pixels_come_back_through_any_table() -> None:
    """The table of a wider range than int8 has: pixels of equal values become one of them."""
    table = np.stack([np.clip(np.round((np.arange(256) - m) / 60 / 0.03), -128, 127) for m in (110, 120, 130)])
    pixels = np.arange(256, dtype=np.uint8)[:, np.newaxis, np.newaxis].repeat(3, axis=2)
    values = np.take_along_axis(table.T, pixels[:, 0].astype(int), axis=0)[:, np.newaxis].astype(np.int8)
    again = pixels_of(values, table.astype(np.int8))
    back = np.take_along_axis(table.T, again[:, 0].astype(int), axis=0)
    np.testing.assert_array_equal(back, values[:, 0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    pixels = PixelInput(frozen(XOR, np.int8), (128.0,) * 3, (64.0,) * 3)
    return write_network(replace(network(), pixel_input=pixels), tmp_path_factory.mktemp("viewed") / "out")


def test_the_command_writes_what_the_network_saw(folder: OutputFolder, tmp_path: Path, capsys: Capture) -> None:
    """7x6 pixels in colour."""
    made = folder.network()
    assert made.pixel_input is not None
    expected = scene(3, 7)[:, :6]
    Image.fromarray(expected).save(tmp_path / "expected.png")
    values = made.pixel_input.table[np.arange(3), expected[:, ::-1]]
    (tmp_path / "dump.bin").write_bytes(values.tobytes())
    words = ("view-input", tmp_path / "dump.bin", folder.path, "-o", tmp_path / "seen.png")
    ended = command(capsys, *words, "--expected", tmp_path / "expected.png", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["best"]["orientation"] == "mirrored left to right"
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    np.testing.assert_array_equal(made.pixel_input.table[np.arange(3), seen], values)
    ended = command(capsys, *words)
    assert "cannot be told without --expected" in ended.out
    (tmp_path / "dump.bin").write_bytes(bytes(99))
    assert_refused(command(capsys, *words), "dump.bin: has 99 bytes; the input has 126 (7x6x3), or 84 of RGB565")
    assert_refused(command(capsys, "view-input", tmp_path / "no", folder.path, "-o", "x"), "no: cannot be read")
