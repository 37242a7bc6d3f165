# SPDX-License-Identifier: Apache-2.0
"""Calibration: what a float network's tensors hold over given data, in memory that does not grow with the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import FloatArray, Network, Shape
from mbv2gen.pixels.image import UInt8Array
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing, from_options
from mbv2gen.quantization.histogram import Histogram, histogram, joined
from mbv2gen.workers import in_threads

SYNTHETIC_PICTURES = 64
SYNTHETIC_SOURCE = "synthetic pictures"


@dataclass(frozen=True, eq=False)
class Observed:
    """One tensor over all data: least and greatest value of a channel [c], mean of an element [h][w][c], float64."""

    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    mean: NDArray[np.float64]
    histogram: Histogram

    @property
    def low(self) -> float:
        return float(self.lows.min())

    @property
    def high(self) -> float:
        return float(self.highs.max())


def observe(
    network: Network, batches: Iterable[FloatArray], progress: Callable[[int], None] | None = None
) -> dict[str, Observed]:
    """Run the network on float32 batches [n][h][w][c] and observe every tensor, by name.

    A batch a core is worked on at a time; of each only the tensors still to be read are held, and one mean plane a
    tensor of all. ``progress`` is told how many pictures are done. Raises Mbv2genError where there is no data, or
    where a value is not finite.
    """
    found: dict[str, Observed] = {}
    count = 0
    for pictures, batch in in_threads(partial(_observed, network), batches):
        found = {name: _joined(found[name], seen) if name in found else seen for name, seen in batch.items()}
        count += pictures
        if progress is not None:
            progress(count)
    if not count:
        raise Mbv2genError(f"{network.source.file}: no calibration data")
    return {name: replace(seen, mean=seen.mean / count) for name, seen in found.items()}


def _observed(network: Network, batch: FloatArray) -> tuple[int, dict[str, Observed]]:
    """How many pictures the batch has, and its tensors by name; sums in the place of means."""
    found = {}
    for name, value in _tensors(network, batch):
        rows = value.reshape(-1, value.shape[3])
        lows, highs = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        farthest = float(max(-lows.min(), highs.max()))
        if not np.isfinite(farthest):
            raise Mbv2genError(f"{network.source.file}: tensor '{name}' is not finite on the calibration data")
        total = value.sum(axis=0).astype(np.float64)
        found[name] = Observed(lows, highs, total, histogram(value, farthest))
    return len(batch), found


def _joined(one: Observed, other: Observed) -> Observed:
    lows, highs = np.minimum(one.lows, other.lows), np.maximum(one.highs, other.highs)
    return Observed(lows, highs, one.mean + other.mean, joined(one.histogram, other.histogram))


def _tensors(network: Network, batch: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    """(name, value) of every tensor in the order of execution; each is dropped after its last use."""
    left = Counter(name for operator in network.operators for name in operator.inputs)
    values = {network.inputs[0]: batch}
    yield network.inputs[0], batch
    for operator in network.operators:
        name = operator.outputs[0]
        with np.errstate(over="ignore", invalid="ignore"):  # told of by name
            values[name] = float_reference.apply(operator, tuple(values[source] for source in operator.inputs))
        yield name, values[name]
        for source in operator.inputs:
            left[source] -= 1
            if not left[source]:
                values.pop(source, None)


def synthetic(network: Network, preprocessing: Preprocessing | None = None) -> Pictures:
    """Made-up pictures that stand in for missing calibration data: always the same for one input shape.

    Noise of all scales with amplitudes falling as in photographs (about 1/f), channels that vary together, flat
    patches with sharp edges, random brightness and contrast. They bound what ReLU6 does not, and no better.
    """
    shape = network.shape(network.inputs[0])
    used = preprocessing or from_options(shape[2], network.model_input)
    return Pictures(
        source=SYNTHETIC_SOURCE,
        shape=shape,
        preprocessing=used,
        names=tuple(f"synthetic[{index}]" for index in range(SYNTHETIC_PICTURES)),
        labels=None,
        class_names=None,
        is_pixels=True,
        read=partial(_synthetic_pictures, shape),
        indices=range(SYNTHETIC_PICTURES),
    )


def _synthetic_pictures(shape: Shape, indices: Sequence[int]) -> Iterator[UInt8Array]:
    for index in indices:
        yield _synthetic_picture(shape, np.random.RandomState(index))


def _synthetic_picture(shape: Shape, random: np.random.RandomState) -> UInt8Array:
    h, w, c = shape
    picture = np.zeros(shape)
    for octave in range(1 + int(np.log2(max(h, w)))):
        size = 2**octave + 1
        grid = random.uniform(-1, 1, (size, size, 1)) + 0.5 * random.uniform(-1, 1, (size, size, c))
        rows = np.tensordot(_upsampling(h, size), grid, axes=(1, 0))  # [h][size][c]
        picture += np.tensordot(rows, _upsampling(w, size), axes=(1, 1)).transpose(0, 2, 1) / size**0.7
    for _ in range(random.randint(0, 6)):
        top, left = random.randint(0, h), random.randint(0, w)
        bottom, right = random.randint(top, h) + 1, random.randint(left, w) + 1
        picture[top:bottom, left:right] += random.uniform(-0.7, 0.7) + random.uniform(-0.4, 0.4, c)
    spread = max(float(picture.std()), 1e-6)
    brightness, contrast = random.uniform(70, 180), random.uniform(25, 75)
    pixels = (picture - picture.mean()) * (contrast / spread) + brightness
    result: UInt8Array = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return result


def _upsampling(length: int, size: int) -> NDArray[np.float64]:
    """[length][size]: linear interpolation of ``size`` grid points at ``length`` positions."""
    positions = (np.arange(length) + 0.5) * (size - 1) / length
    return np.maximum(0.0, 1.0 - np.abs(positions[:, np.newaxis] - np.arange(size)))
