# SPDX-License-Identifier: Apache-2.0
"""An image file as 8-bit pixels, and pixels as the network takes them: colour, then size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Shape
from mbv2gen.pixels import area, bilinear
from mbv2gen.pixels.preprocessing import INTEGER_RESIZES, Preprocessing

UInt8Array: TypeAlias = NDArray[np.uint8]

FORMATS_OF_16_BITS = ("PNG", "PPM")  # whose mode I holds 0..65535; in others it may hold anything


def read_image(path: Path, mode: str) -> UInt8Array:
    """One image file as uint8 [H][W][1 or 3] (``mode`` L or RGB); Mbv2genError where it is none, broken or huge.

    As a person sees it: turned upright by its EXIF orientation, palettes resolved, what is transparent on white, the
    first frame of several. Of 16 bits a channel the upper 8 are taken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                pixels = np.asarray(_opaque(_eight_bits(path, _upright(image), image.format)).convert(mode))
    except Mbv2genError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Mbv2genError(f"{path}: has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller") from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        raise Mbv2genError(f"{path}: not a readable image: {' '.join(str(error).split())}") from None
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; EXIF that cannot be read says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


def _eight_bits(path: Path, image: Image.Image, file_format: str | None) -> Image.Image:
    """Modes of more than 8 bits as L; colours of 16 bits Pillow itself reads by their upper 8."""
    if not image.mode.startswith(("I", "F")):
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in FORMATS_OF_16_BITS):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    raise Mbv2genError(f"{path}: has more than 16 bits a channel; convert it to 8 bits")


def _opaque(image: Image.Image) -> Image.Image:
    """What is transparent on white."""
    if not image.has_transparency_data:
        return image
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)


def fit(picture: UInt8Array, shape: Shape, preprocessing: Preprocessing) -> UInt8Array:
    """A picture uint8 [H][W][1, 3 or c] as the network's pixels [h][w][c]: colour first, then size.

    Grey is spread over three channels, colour becomes grey by PIL's luma (ITU-R 601). Sizes change by PIL's bilinear
    filter, which averages where it shrinks; crop cuts what torchvision's Resize and CenterCrop would cut. Area and
    bilinear, with crop- or without, are mbv2_pixels.c's.
    """
    h, w, c = shape
    if picture.shape[2] == 3 and c == 1:
        picture = np.asarray(Image.fromarray(picture).convert("L"))[:, :, np.newaxis]
    if picture.shape[2] == 1 and c == 3:
        picture = np.repeat(picture, 3, axis=2)
    if preprocessing.resize in INTEGER_RESIZES:
        top, left, part_h, part_w = (0, 0, *picture.shape[:2])
        if preprocessing.resize.startswith("crop-"):
            top, left, part_h, part_w = area.centre((part_h, part_w), (h, w))
        resize = bilinear.resize if preprocessing.resize.endswith("bilinear") else area.resize
        picture = resize(picture[top : top + part_h, left : left + part_w], (h, w))
    elif picture.shape[:2] != (h, w):
        box = _crop_box(picture.shape[:2], (h, w)) if preprocessing.resize == "crop" else None
        planes = (Image.fromarray(np.ascontiguousarray(picture[:, :, channel])) for channel in range(c))
        resized = [np.asarray(plane.resize((w, h), Image.Resampling.BILINEAR, box=box)) for plane in planes]
        picture = np.stack(resized, axis=2)
    return picture[:, :, ::-1] if preprocessing.colour == "BGR" and c == 3 else picture


def _crop_box(size: tuple[int, ...], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the part of the source that stays: resized to cover the target, then centred.

    The long side is rounded down and the margin to even halves, as torchvision does.
    """
    (source_h, source_w), (h, w) = size, target
    if source_w * h <= source_h * w:
        resized_h, resized_w = max(h, source_h * w // source_w), w
    else:
        resized_h, resized_w = h, max(w, source_w * h // source_h)
    top, left = round((resized_h - h) / 2), round((resized_w - w) / 2)
    step_h, step_w = source_h / resized_h, source_w / resized_w
    return left * step_w, top * step_h, min((left + w) * step_w, source_w), min((top + h) * step_h, source_h)
