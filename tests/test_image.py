"""Image files of every kind, against pixels that the test itself wrote into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbv2gen.errors import Mbv2genError
from mbv2gen.pixels.image import read_image

ORIENTATION = 0x0112  # EXIF's tag
COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)

# How the stored pixels must be turned to stand upright, by EXIF's orientation: the standard's "row 0 is, column 0 is".
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],  # row 0 top, column 0 right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.transpose(1, 0, 2),  # left, top
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_turned_upright_as_its_exif_says(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", "RGB"), TURNS[orientation](COLOURS))


def test_exif_that_cannot_be_read_does_not_cost_the_picture(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=b"Exif\0\0this is none")
    assert np.array_equal(read_image(tmp_path / "a.png", "RGB"), COLOURS)


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    paletted = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    paletted.putpalette(palette.tobytes())
    paletted.save(tmp_path / "a.gif")
    assert np.array_equal(read_image(tmp_path / "a.gif", "RGB"), palette[:6].reshape(2, 3, 3))


@pytest.mark.parametrize(("alpha", "expected"), [(255, [10, 20, 30]), (0, [255, 255, 255]), (51, [206, 208, 210])])
def test_what_is_transparent_lies_on_white(alpha: int, expected: list[int], tmp_path: Path) -> None:
    """51 of 255 is a fifth: 10 / 5 + 255 * 4 / 5 = 206."""
    Image.new("RGBA", (3, 2), (10, 20, 30, alpha)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", "RGB"), np.full((2, 3, 3), expected))


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_of_grey_and_of_palettes_counts_too(mode: str, tmp_path: Path) -> None:
    if mode == "LA":
        Image.new("LA", (3, 2), (40, 0)).save(tmp_path / "a.png")
    else:
        picture = Image.new("P", (3, 2), 0)
        picture.putpalette([40] * 768)
        picture.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_image(tmp_path / "a.png", "L"), np.full((2, 3, 1), 255))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_of_16_bits_the_upper_8_are_taken(suffix: str, tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256], [0x1234, 0xFF00, 0xFFFF]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}", "L")[:, :, 0].tolist() == [[0, 0, 1], [0x12, 0xFF, 0xFF]]


def test_16_bits_do_not_lose_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    Image.fromarray(np.array([[256, 512]], np.uint16)).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", "L")[:, :, 0].tolist() == [[2, 1]]


def test_real_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(Mbv2genError, match=r"a\.tif: has more than 16 bits"):
        read_image(tmp_path / "a.tif", "L")


def test_grey_files_are_grey_in_all_colours(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[:, :, 0]).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", "RGB"), np.repeat(COLOURS[:, :, :1], 3, axis=2))


def test_one_bit_is_black_and_white_and_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    Image.new("1", (2, 2), 1).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", "L").min() == 255
    frames = [Image.new("L", (2, 2), level) for level in (7, 200)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "b.gif", "L").max() == 7
