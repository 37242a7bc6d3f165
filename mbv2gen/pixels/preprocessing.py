# SPDX-License-Identifier: Apache-2.0
"""Preprocessing: how a picture becomes the network's input, x = (pixel - mean) / std on 0..255 pixels.

Where it is said, the strongest first: options, the TOML file beside the model, the graph's own normalisation
(which the other two may repeat but not contradict), and a default that is told to the user in ``note``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import FloatArray, ModelInput

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "torchvision": ((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)),
    "tf": ((127.5,), (127.5,)),
    "unit": ((0.0,), (255.0,)),
}
INTEGER_RESIZES = ("area", "crop-area", "bilinear", "crop-bilinear")  # which a board repeats, by mbv2_pixels.c
RESIZES = ("squash", "crop", *INTEGER_RESIZES)
COLOURS = ("RGB", "BGR", "GREY")
KEYS = ("mean", "std", "preprocess", "resize", "colour")
MAX_TOML_BYTES = 1 << 20

Values: TypeAlias = float | Sequence[float] | str | None
Pair: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one value a channel


@dataclass(frozen=True)
class Preprocessing:
    """``mean`` and ``std`` have one value a channel of the network's input, in its own order.

    ``resize`` is squash (both sides, whatever the aspect) or crop (short side first, then the centre), both by
    Pillow's filter; area, crop-area, bilinear and crop-bilinear are the same in integers, which a board repeats to the
    byte: by means of areas, or between four pixels. ``note`` is one line for the user where nothing said how and the
    default was taken, else empty.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "squash"
    colour: str = "RGB"
    note: str = ""

    @property
    def is_stated(self) -> bool:
        """Whether the user, a file or the graph said how pixels become inputs."""
        return not self.note

    @property
    def interval(self) -> tuple[float, float]:
        """Least and greatest input that a pixel of 0..255 can become, over all channels."""
        ends = [(pixel - m) / s for m, s in zip(self.mean, self.std, strict=True) for pixel in (0.0, 255.0)]
        return min(ends), max(ends)


def normalise(values: NDArray[np.generic], mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """(value - mean) / std in float32; ``values`` [...][c] on the 0..255 scale, one mean and std a channel."""
    result: FloatArray = values.astype(np.float32)
    result -= np.array(mean, dtype=np.float32)
    result /= np.array(std, dtype=np.float32)
    return result


def from_options(
    channels: int,
    model_input: ModelInput,
    *,
    mean: Values = None,
    std: Values = None,
    preprocess: str | None = None,
    resize: str | None = None,
    colour: str | None = None,
    toml: Path | None = None,
) -> Preprocessing:
    """The preprocessing of a network input with ``channels`` channels.

    ``mean`` and ``std`` are one value, one a channel, or text such as "123.7,116.3,103.5". ``toml`` is the file
    beside the model; that it is absent is no error. Raises Mbv2genError naming the option or the file's key.
    """
    options = {"mean": mean, "std": std, "preprocess": preprocess, "resize": resize, "colour": colour}
    given = {key: value for key, value in options.items() if value is not None}
    file_values = read_toml(toml) if toml is not None and toml.is_file() else {}
    file_prefix = f"{toml.name}: " if toml is not None else ""

    where = {key: "--" if key in given else file_prefix for key in ("resize", "colour")}
    chosen = {**file_values, **given}
    picked_resize = _choice(chosen.get("resize", "squash"), RESIZES, where["resize"] + "resize")
    picked_colour = _colour(chosen.get("colour"), channels, where["colour"] + "colour")

    own = _graph_normalisation(channels, model_input)
    stated = None
    for values, prefix in ((given, "--"), (file_values, file_prefix)):
        normalisation = _normalisation(values, channels, picked_colour, prefix)
        if normalisation is not None and own is not None and not _same(normalisation, own):
            raise Mbv2genError(
                f"{prefix}{'preprocess' if 'preprocess' in values else 'mean'}: contradicts the graph, which "
                f"normalises pixels itself by mean {_text(own[0])}, std {_text(own[1])}; leave it out"
            )
        stated = stated or normalisation
    note = ""
    picked = own or stated
    if picked is None:
        picked = _spread(PRESETS["tf"], channels)
        note = (
            "no preprocessing given: took x = (pixel - 127.5) / 127.5; "
            "say --preprocess torchvision|tf|unit or --mean and --std as in training"
        )
    return Preprocessing(picked[0], picked[1], picked_resize, picked_colour, note)


def read_toml(path: Path) -> dict[str, Any]:
    """The keys mean, std, preprocess, resize, colour of a TOML file; any other key is an error."""
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise Mbv2genError(f"{path}: larger than {MAX_TOML_BYTES} bytes; it should hold {', '.join(KEYS)}")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise Mbv2genError(f"{path}: cannot be read as TOML: {_one_line(error)}") from None
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise Mbv2genError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(KEYS)}")
    return values


def _normalisation(values: Mapping[str, Any], channels: int, colour: str, prefix: str) -> Pair | None:
    """Mean and std that one source states, or None where it states neither."""
    if "preprocess" in values:
        if "mean" in values or "std" in values:
            raise Mbv2genError(f"{prefix}preprocess: cannot stand beside mean and std; give one or the other")
        name = _choice(values["preprocess"], tuple(PRESETS), prefix + "preprocess")
        mean, std = PRESETS[name]
        if len(mean) not in (1, channels):
            raise Mbv2genError(f"{prefix}preprocess: {name} is for {len(mean)} channels, the model has {channels}")
        step = -1 if colour == "BGR" else 1
        return _spread((mean[::step], std[::step]), channels)
    if "mean" not in values and "std" not in values:
        return None
    for key, other in (("mean", "std"), ("std", "mean")):
        if key not in values:
            raise Mbv2genError(f"{prefix}{other}: needs {key} too")
    mean = _numbers(values["mean"], channels, prefix + "mean")
    std = _numbers(values["std"], channels, prefix + "std")
    if min(std) <= 0:
        raise Mbv2genError(f"{prefix}std: must be greater than 0 (got {_text(std)})")
    return mean, std


def _graph_normalisation(channels: int, model_input: ModelInput) -> Pair | None:
    """What the graph does itself; one that takes uint8 pixels and normalises nothing has mean 0 and std 1."""
    if model_input.mean is not None and model_input.std is not None:
        return _spread((model_input.mean, model_input.std), channels)
    if model_input.dtype == "uint8":
        return _spread(((0.0,), (1.0,)), channels)
    return None


def _numbers(value: Any, channels: int, where: str) -> tuple[float, ...]:
    """One finite number a channel out of a number, a sequence or comma-separated text."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise Mbv2genError(f"{where}: must be a number or one a channel (got {value!r})") from None
    if len(numbers) not in (1, channels):
        raise Mbv2genError(f"{where}: has {len(numbers)} values, the model {channels} input channels; give one or all")
    if not all(math.isfinite(number) and abs(number) < 1e9 for number in numbers):
        raise Mbv2genError(f"{where}: must be finite numbers on the 0..255 scale (got {value!r})")
    return numbers * channels if len(numbers) == 1 else numbers


def _colour(value: Any, channels: int, where: str) -> str:
    if value is None:
        return "GREY" if channels == 1 else "RGB"
    colour = _choice(value.upper() if isinstance(value, str) else value, COLOURS, where)
    if (colour == "GREY") != (channels == 1):
        raise Mbv2genError(f"{where}: {colour} does not fit a model of {channels} input channels; leave it out")
    return colour


def _choice(value: Any, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise Mbv2genError(f"{where}: must be one of {', '.join(allowed)} (got {value!r})")
    return str(value)


def _spread(pair: Pair, channels: int) -> Pair:
    """Both with one value a channel."""
    mean, std = (values * channels if len(values) == 1 else values for values in pair)
    return mean, std


def _same(one: Pair, other: Pair) -> bool:
    """Equal as far as text and float32 constants in a graph can be."""
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-3) for a, b in zip(one, other, strict=True))


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
