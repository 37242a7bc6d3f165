# SPDX-License-Identifier: Apache-2.0
"""NetworkInputs: what a user has (pictures, arrays, or nothing) as the integer network's input, int8 [n][h][w][c]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import FloatArray
from mbv2gen.pixels import pictures
from mbv2gen.pixels.array_file import open_array
from mbv2gen.pixels.image import fit, read_image
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing, normalise
from mbv2gen.quantization.tensor_scales import quantize_input
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

UInt8Array: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Feed:
    """A batch for both networks: ``integer`` int8 and ``real`` float32, [n][h][w][c] each."""

    integer: Int8Array
    real: FloatArray


def preprocessing_of(network: QuantizedNetwork) -> Preprocessing:
    """How pictures become the network's input; Mbv2genError where the compile was not told."""
    pixels = network.pixel_input
    if pixels is None:
        raise Mbv2genError(
            f"{network.source.file}: was compiled without saying how pixels become its input; "
            "compile again with --mean and --std or --preprocess, or give float arrays"
        )
    return Preprocessing(pixels.mean, pixels.std, pixels.resize, pixels.colour)


def open_pictures(network: QuantizedNetwork, spec: str, labels: Path | None = None) -> Pictures:
    """The pictures, or float inputs, of a folder, table, .npz or .npy, with the preprocessing of the compile."""
    c = network.shape(network.inputs[0])[2]
    blank = Preprocessing((0.0,) * c, (1.0,) * c)
    how = preprocessing_of(network) if network.pixel_input is not None else blank
    found = pictures.open_pictures(spec, network.shape(network.inputs[0]), how, network.model_input, labels)
    if found.is_pixels:
        preprocessing_of(network)
    return found


def spread(found: Pictures, count: int | None) -> Pictures:
    """``count`` of the pictures, evenly spaced, so that every class comes in; all of them for None."""
    if count is None or count >= len(found):
        return found
    return found.subset([index * len(found) // count for index in range(count)])


def feeds(network: QuantizedNetwork, found: Pictures, size: int) -> Iterator[Feed]:
    """Batches of at most ``size`` pictures."""
    batches = found.pixels(size) if found.is_pixels else found.batches(size)
    return (feed(network, batch) for batch in batches)


def feed(network: QuantizedNetwork, batch: UInt8Array | FloatArray) -> Feed:
    """A batch of prepared pictures, uint8 [n][h][w][c], or of float inputs."""
    if batch.dtype == np.uint8:
        how, pixels = preprocessing_of(network), batch.astype(np.uint8, copy=False)
        return Feed(from_pixels(network, pixels), normalise(pixels, how.mean, how.std))
    real = batch.astype(np.float32, copy=False)
    return Feed(quantize_input(network, real), real)


def from_pixels(network: QuantizedNetwork, pixels: UInt8Array) -> Int8Array:
    """uint8 pixels [...][c], in the model's colour order, through the table of their channel."""
    if network.pixel_input is None:
        preprocessing_of(network)
        raise AssertionError("refused above")
    return network.pixel_input.table[np.arange(pixels.shape[-1]), pixels]


def read_input(network: QuantizedNetwork, spec: str, *, raw: bool = False) -> Int8Array:
    """One file of inputs: a picture, or an .npy (or FILE.npz:KEY) with or without a leading axis [n].

    uint8 arrays are pixels [h][w][c], resized where they have to be; float ones are the model's own input. ``raw``:
    int8 [h][w][c], taken as it is. Mbv2genError names the file and the shape that was expected.
    """
    path, _, key = spec.partition(".npz:")
    array_path = Path(f"{path}.npz") if key else Path(spec)
    if not array_path.is_file():
        raise Mbv2genError(f"{spec}: no such file; give a picture, an .npy or FILE.npz:KEY")
    if array_path.suffix.lower() not in (".npy", ".npz"):
        if raw:
            raise Mbv2genError(f"{spec}: --raw takes int8 arrays (.npy), not pictures")
        return _one_picture(network, array_path)
    if array_path.suffix.lower() == ".npz" and not key:
        raise Mbv2genError(f"{spec}: which array? write {array_path.name}:KEY")
    array = open_array(array_path, key or None)
    if array.shape[0] == 0:
        raise Mbv2genError(f"{spec}: holds no input, its shape is {list(array.shape)}")
    return from_array(network, np.stack(list(array.rows(range(array.shape[0])))), str(array), raw=raw)


def from_array(
    network: QuantizedNetwork, values: NDArray[np.generic], title: str = "array", *, raw: bool = False
) -> Int8Array:
    """One or several inputs, as ``read_input`` takes them from a file; Mbv2genError begins with ``title``."""
    if values.size == 0:
        raise Mbv2genError(f"{title}: holds no input, its shape is {list(values.shape)}")
    if raw:
        return _raw(network, values, title)
    if values.dtype == np.uint8:
        return _pixels(network, values.astype(np.uint8, copy=False), title)
    if values.dtype.kind == "f":
        return _floats(network, values, title)
    hint = "; say --raw for int8" if values.dtype == np.int8 else ""
    raise Mbv2genError(f"{title}: must hold uint8 pixels or float inputs (got {values.dtype}){hint}")


def synthetic(network: QuantizedNetwork, count: int) -> Int8Array:
    """``count`` made-up inputs, always the same: noise by turns with extremes, ramps, checkers and single pixels."""
    return np.stack([_pattern(network, index) for index in range(count)])


def _pattern(network: QuantizedNetwork, index: int) -> Int8Array:
    tensor = network.tensor(network.inputs[0])
    h, w, c = tensor.shape
    random = np.random.RandomState(index)
    y, x, channel = np.ogrid[:h, :w, :c]
    noise = random.randint(-128, 128, tensor.shape)
    single = np.full(tensor.shape, tensor.zero_point)
    single[random.randint(h), random.randint(w)] = 127
    patterns = (
        noise,
        np.full(tensor.shape, -128),
        np.full(tensor.shape, 127),
        np.where((x + y + channel) % 2 == 0, -128, 127),
        (x * 255 // max(w - 1, 1) - 128) + 0 * noise,
        noise // 8 + random.randint(-100, 100),
        np.where(noise < 0, -128, 127),
        (y * 255 // max(h - 1, 1) - 128) + 0 * noise,
        single,
        noise,
    )
    return np.clip(patterns[index % len(patterns)], -128, 127).astype(np.int8)


def _one_picture(network: QuantizedNetwork, path: Path) -> Int8Array:
    shape = network.shape(network.inputs[0])
    if shape[2] not in (1, 3):
        raise Mbv2genError(f"{path}: a picture has 1 or 3 channels, the model {shape[2]}; give an .npy")
    picture = read_image(path, "L" if shape[2] == 1 else "RGB")
    return from_pixels(network, fit(picture, shape, preprocessing_of(network))[np.newaxis])


def _pixels(network: QuantizedNetwork, values: UInt8Array, title: str) -> Int8Array:
    shape = network.shape(network.inputs[0])
    c, sizes = shape[2], values.shape
    accepted = {c} | ({1, 3} if c in (1, 3) else set())
    is_plane = len(sizes) == 2 and c in (1, 3)
    if not is_plane and (len(sizes) not in (3, 4) or sizes[-1] not in accepted):
        raise Mbv2genError(f"{title}: uint8 pixels must be [H][W][{c}] or [N][H][W][{c}], the array is {list(sizes)}")
    batch = values[..., np.newaxis] if is_plane else values
    how = preprocessing_of(network)
    batch = batch[np.newaxis] if batch.ndim == 3 else batch
    return from_pixels(network, np.stack([fit(picture, shape, how) for picture in batch]))


def _floats(network: QuantizedNetwork, values: NDArray[np.generic], title: str) -> Int8Array:
    h, w, c = network.shape(network.inputs[0])
    own = (c, h, w) if network.model_input.layout == "NCHW" else (h, w, c)
    if values.shape == own or (values.ndim == 1 and (h, w) == (1, 1)):
        values = values[np.newaxis]
    real = float_reference.to_nhwc(network, values)
    if not np.isfinite(real).all():
        raise Mbv2genError(f"{title}: holds a value that is not finite")
    return quantize_input(network, real)


def _raw(network: QuantizedNetwork, values: NDArray[np.generic], title: str) -> Int8Array:
    shape = network.shape(network.inputs[0])
    if values.dtype != np.int8 or values.shape[-3:] != shape or values.ndim not in (3, 4):
        wanted = "".join(f"[{size}]" for size in shape)
        raise Mbv2genError(
            f"{title}: --raw takes int8 {wanted} or [N]{wanted} (got {values.dtype} {list(values.shape)})"
        )
    array = values.astype(np.int8, copy=False)
    return array[np.newaxis] if array.ndim == 3 else array
