# SPDX-License-Identifier: Apache-2.0
"""A picture is the same input wherever it is read: in calibration, evaluation and run; and it is as Pillow has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import Builder, build, saved
from PIL import Image

from mbv2gen import compiler
from mbv2gen.compiler import Options
from mbv2gen.pixels import network_inputs, pictures, preprocessing
from mbv2gen.quantization import quantized_network_file
from mbv2gen.quantized_network import QuantizedNetwork

SIZE = (10, 8)  # h, w
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)


def picture_files(folder: Path) -> list[Path]:
    """One picture of each kind, none of the network's size."""
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (31, 23, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours).save(folder / "a_turned.png", exif=exif)
    Image.fromarray(colours).quantize(32).save(folder / "b_palette.png")
    Image.fromarray(np.dstack([colours, colours[:, :, :1]])).save(folder / "c_transparent.png")
    Image.fromarray(colours[:, :, 0].astype(np.uint16) * 257).save(folder / "d_deep.png")
    Image.fromarray(colours[:, :, 1]).save(folder / "e_grey.bmp")
    Image.fromarray(colours).save(folder / "f_photo.jpg", quality=90)
    return sorted(folder.iterdir())


KINDS = ["RGB", "P", "RGBA", "I;16", "L", "RGB"]  # Pillow's modes of the files


def upright(path: Path, kind: str) -> Image.Image:
    """By Pillow alone, in colour."""
    with Image.open(path) as image:
        image.load()
    assert image.mode == kind
    if path.name.startswith("a"):
        return image.transpose(Image.Transpose.ROTATE_270).convert("RGB")
    if path.name.startswith("c"):
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    if path.name.startswith("d"):
        return Image.fromarray((np.asarray(image) // 256).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def resized(image: Image.Image, how: str) -> Image.Image:
    """As torchvision's Resize and CenterCrop do it, or straight to the size."""
    h, w = SIZE
    if how == "crop":
        scale = max(h / image.height, w / image.width)
        sides = max(w, int(image.width * scale)), max(h, int(image.height * scale))
        whole = image.resize(sides, Image.Resampling.BILINEAR)
        left, top = round((whole.width - w) / 2), round((whole.height - h) / 2)
        return whole.crop((left, top, left + w, top + h))
    return image.resize((w, h), Image.Resampling.BILINEAR)


def network_of(channels: int, how: str, colour: str | None, folder: Path) -> tuple[QuantizedNetwork, Options]:
    """A quantized network as evaluate, run and verify find it: read back from its file."""

    def body(b: Builder, x: str) -> str:
        pooled = b("Flatten", b("GlobalAveragePool", b.relu6(b.conv(x, channels, 6))))
        return b("Gemm", pooled, b.random(3, 6), np.zeros(3, np.float32), transB=1)

    model = saved(build(body, (1, channels, *SIZE)), folder)
    mean, std = (",".join(map(str, values[:channels])) for values in (MEAN, STD))
    options = Options(mean=mean, std=std, resize=how, colour=colour, calibration=str(folder / "pictures"))
    quantized, _ = compiler.quantize(model, compiler.read_network(model), options)
    (folder / "network.npz").write_bytes(quantized_network_file.dump(quantized))
    return quantized_network_file.load(folder / "network.npz"), options


@pytest.mark.parametrize("how", preprocessing.RESIZES)
@pytest.mark.parametrize("colour", preprocessing.COLOURS)
def test_evaluation_sees_what_calibration_saw_and_pillow_makes(how: str, colour: str, tmp_path: Path) -> None:
    files = picture_files(tmp_path / "pictures")
    channels = 1 if colour == "GREY" else 3
    network, options = network_of(channels, how, colour, tmp_path)
    shape = (*SIZE, channels)
    calibrating = preprocessing.from_options(
        channels, network.model_input, mean=options.mean, std=options.std, resize=how, colour=colour
    )
    seen = pictures.open_pictures(str(tmp_path / "pictures"), shape, calibrating, network.model_input)
    found = network_inputs.open_pictures(network, str(tmp_path / "pictures"))
    feed = next(network_inputs.feeds(network, found, len(files)))
    np.testing.assert_array_equal(feed.real, next(seen.batches(len(files))))
    for path, kind, real, integer in zip(files, KINDS, feed.real, feed.integer, strict=True):
        expected = np.asarray(resized(upright(path, kind), how), np.float64)
        if colour == "GREY":
            expected = np.asarray(resized(upright(path, kind).convert("L"), how), np.float64)[:, :, np.newaxis]
        expected = expected[:, :, ::-1] if colour == "BGR" else expected
        pixels = real * np.array(STD[:channels]) + np.array(MEAN[:channels])
        if how not in preprocessing.INTEGER_RESIZES:  # tests/test_area_pixels.py, test_bilinear_pixels.py
            assert np.abs(pixels - expected).max() <= 1.01, path.name  # crop cuts before it resizes: one level
        run = network_inputs.read_input(network, str(path))
        np.testing.assert_array_equal(run[0], integer)
