# SPDX-License-Identifier: Apache-2.0
"""InputDiagnosis: what a board put into the network's input, and in what way it may be wrong.

Each hypothesis is a way of reading the bytes (as int8 input, as pixels whose zero point was never subtracted, as RGB565
of either byte order), an order of colours and an orientation. With the picture that was before the camera, the reading
that is most like it is the answer. Without it only the reading can be guessed, by how smooth the picture is;
colours and orientation cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.pixels.image import UInt8Array
from mbv2gen.quantized_network import Int8Array

CLEAR_SCORE, CLEAR_MARGIN = 0.9, 0.1
LIKELY_SCORE, LIKELY_MARGIN = 0.6, 0.03
ROUGHER = 1.5  # so much rougher is another reading, before the smoothest one is believed

RIGHT, ZERO_POINT = "int8 input", "zero point missed: pixels as they came, without NAME_pixels"
LITTLE, BIG = "RGB565", "RGB565 with the bytes of each pixel swapped"
ORIENTATIONS: dict[str, Callable[[UInt8Array], UInt8Array]] = {
    "upright": lambda picture: picture,
    "mirrored left to right": lambda picture: picture[:, ::-1],
    "mirrored top to bottom": lambda picture: picture[::-1],
    "rotated by 180 degrees": lambda picture: picture[::-1, ::-1],
    "transposed": lambda picture: picture.transpose(1, 0, 2),
    "to be turned left by 90 degrees": lambda picture: np.rot90(picture, 1),
    "to be turned right by 90 degrees": lambda picture: np.rot90(picture, 3),
    "transposed and rotated by 180 degrees": lambda picture: picture.transpose(1, 0, 2)[::-1, ::-1],
}


@dataclass(frozen=True)
class Hypothesis:
    """How the bytes are to be read, and what has then become of colours and orientation."""

    reading: str
    colours_swapped: bool
    orientation: str

    @property
    def is_right(self) -> bool:
        return self == Hypothesis(RIGHT, False, "upright")

    def __str__(self) -> str:
        faults = [self.reading] if self.reading != RIGHT else []
        faults += ["red and blue swapped"] if self.colours_swapped else []
        faults += [self.orientation] if self.orientation != "upright" else []
        return ", ".join(faults) or "as it should be"


@dataclass(frozen=True)
class Diagnosis:
    """``certainty`` is clear, likely or none. ``score``: with an expected picture the likeness, up to 1, and that of
    the ``rival`` that comes next; without one the roughness, less being better. ``notes``: what the values themselves
    say."""

    best: Hypothesis
    certainty: str
    score: float
    rival: Hypothesis
    rival_score: float
    is_compared: bool
    notes: tuple[str, ...]


def pixels_of(values: Int8Array, table: Int8Array) -> UInt8Array:
    """int8 [h][w][c] as the 0..255 pixels that ``table`` int8 [c][256] makes them of, or the nearest."""
    levels = np.arange(-128, 128)
    nearest = np.stack([np.abs(row[:, np.newaxis].astype(int) - levels).argmin(axis=0) for row in table])
    pixels: UInt8Array = nearest.astype(np.uint8)[np.arange(values.shape[2]), values.astype(int) + 128]
    return pixels


def readings(dump: bytes, shape: tuple[int, int, int], table: Int8Array) -> dict[str, UInt8Array]:
    """What the bytes may be, as pixels [h][w][c] in the network's order of channels.

    Mbv2genError where there are as many bytes as no reading has."""
    h, w, c = shape
    data = np.frombuffer(dump, np.uint8)
    found: dict[str, UInt8Array] = {}
    if data.size == h * w * c:
        found[RIGHT] = pixels_of(data.reshape(shape).view(np.int8), table)
        found[ZERO_POINT] = data.reshape(shape)
    if c == 3 and data.size in (h * w * 2, h * w * 3):
        words = data[: h * w * 2].view("<u2").reshape(h, w)
        found[LITTLE], found[BIG] = rgb565(words), rgb565(words.byteswap())
    if not found:
        also = f", or {h * w * 2:,} of RGB565" if c == 3 else ""
        raise Mbv2genError(f"has {data.size:,} bytes; the input has {h * w * c:,} ({h}x{w}x{c}){also}")
    return found


def rgb565(words: NDArray[np.uint16]) -> UInt8Array:
    """[h][w] as [h][w][3], the upper bits repeated in the lower: 31 and 63 become 255."""
    red, green, blue = words >> 11, words >> 5 & 63, words & 31
    return np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=2).astype(np.uint8)


def diagnose(dump: bytes, shape: tuple[int, int, int], table: Int8Array, expected: UInt8Array | None) -> Diagnosis:
    """``expected``: the pixels [h][w][c] that should have been there, in the network's order of channels."""
    found = readings(dump, shape, table)
    if expected is None:
        scores = sorted((_roughness(picture), reading) for reading, picture in found.items())
        ranked = [(score, Hypothesis(reading, False, "upright")) for score, reading in scores]
        (score, best), (rival_score, rival) = ranked[0], ranked[min(1, len(ranked) - 1)]
        certainty = "likely" if score * ROUGHER < rival_score else "none"
    else:
        compared = ((_likeness(turned, expected), hypothesis) for hypothesis, turned in _hypotheses(found))
        ranked = sorted(compared, key=lambda pair: (-round(pair[0], 6), not pair[1].is_right))
        (score, best), (rival_score, rival) = ranked[0], ranked[1]
        certainty = _certainty(score, score - rival_score)
    notes = tuple(_notes(np.frombuffer(dump, np.uint8)))
    return Diagnosis(best, certainty, score, rival, rival_score, expected is not None, notes)


def _hypotheses(found: dict[str, UInt8Array]) -> Iterator[tuple[Hypothesis, UInt8Array]]:
    for reading, picture in found.items():
        for swapped in (False, True)[: 2 if picture.shape[2] == 3 else 1]:
            coloured = picture[:, :, ::-1] if swapped else picture
            for name, turn in ORIENTATIONS.items():
                turned = turn(coloured)
                if turned.shape == picture.shape:
                    yield Hypothesis(reading, swapped, name), turned


def _certainty(score: float, margin: float) -> str:
    if score >= CLEAR_SCORE and margin >= CLEAR_MARGIN:
        return "clear"
    return "likely" if score >= LIKELY_SCORE and margin >= LIKELY_MARGIN else "none"


def _likeness(one: UInt8Array, other: UInt8Array) -> float:
    """Pearson's correlation of all values, less how far their means are apart, of 255: a missed zero point shifts a
    picture without dark places by 128, and nothing else. Without the correlation where one of them is constant."""
    a, b = (values.astype(np.float64).reshape(-1) - values.mean() for values in (one, other))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    apart = abs(float(one.mean()) - float(other.mean())) / 255
    return (float(a @ b) / size if size else 0.0) - apart


def _roughness(picture: UInt8Array) -> float:
    """Mean step between neighbours, in standard deviations: little in what a camera sees, more where values wrap."""
    values = picture.astype(np.float64)
    steps = [np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1) if values.shape[axis] > 1]
    return float(np.mean(steps) / (values.std() + 1e-9)) if steps else 0.0


def _notes(data: UInt8Array) -> Iterator[str]:
    constant = len(data) - len(np.trim_zeros(np.diff(data.astype(int)) != 0, "b")) - 1
    if constant == len(data) - 1:
        yield f"all {len(data):,} bytes are {data[0]}: nothing was written, or the lens is covered"
    elif constant > len(data) // 8:
        yield f"the last {constant + 1:,} of {len(data):,} bytes are all {data[-1]}: the picture may end early"
