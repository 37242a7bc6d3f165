# SPDX-License-Identifier: Apache-2.0
"""Measurement: what the networks and the C make of one part of the pictures. Runs in the workers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference, int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.evaluation.figures import Integers, Reals, ranks, signal_and_noise
from mbv2gen.hardware import runner
from mbv2gen.hardware.execution import Place
from mbv2gen.network import Network
from mbv2gen.pixels import network_inputs
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Instrument:
    """What measures. ``network`` None: no float; ``program``, built for ``place``, None: no C.

    ``classes`` that the output chooses from, 0: none. ``skips_bad``: pictures that cannot be read are left out.
    """

    quantized: QuantizedNetwork
    network: Network | None
    place: Place | None
    program: Path | None
    classes: int
    skips_bad: bool


@dataclass(frozen=True, eq=False)
class Answers:
    """``chosen`` [n] classes; ``rank`` [n] of the right one, None where that is not known."""

    chosen: Integers
    rank: Integers | None


@dataclass(frozen=True, eq=False)
class Measured:
    """Of n pictures; None for what did not run, and Answers where the output is no single choice.

    ``agreed`` [n]: cells in which float and int8 choose the same. ``powers`` [n][2]: signal and noise. ``equal`` [n]:
    C's output is NumPy's, byte for byte. ``bad``: (name, reason) of pictures left out.
    """

    names: tuple[str, ...]
    labels: Integers | None
    of_float: Answers | None
    of_int8: Answers | None
    of_c: Answers | None
    agreed: Integers | None
    powers: Reals | None
    equal: NDArray[np.bool_] | None
    bad: tuple[tuple[str, str], ...]


def packed(instrument: Instrument) -> NDArray[np.uint8]:
    """As one array, which joblib can share among processes where it would copy an object for every part."""
    return np.frombuffer(pickle.dumps(instrument), np.uint8)


def measure(instrument: NDArray[np.uint8], part: Pictures) -> Measured:
    """``instrument`` as ``packed`` it; labels of ``part`` are the network's classes."""
    unpacked = pickle.loads(instrument.tobytes())
    assert isinstance(unpacked, Instrument)
    good, values, bad = _prepared(part, unpacked.skips_bad)
    if not values:
        return Measured((), None, None, None, None, None, None, None, bad)
    feed = network_inputs.feed(unpacked.quantized, np.stack(values))
    output = unpacked.quantized.tensor(unpacked.quantized.outputs[0])
    made = int8_reference.run_outputs(unpacked.quantized, feed.integer)
    real = dequantize(made, output)
    in_c = _run(unpacked, feed.integer)
    wanted = None if unpacked.network is None else float_reference.run_outputs(unpacked.network, feed.real)
    exact = None if wanted is None else wanted.astype(np.float64)

    def answers(outputs: Reals | None) -> Answers | None:
        return None if outputs is None else _answers(outputs, good.labels, unpacked.classes)

    return Measured(
        names=good.names,
        labels=good.labels,
        of_float=answers(exact),
        of_int8=answers(real),
        of_c=answers(None if in_c is None else dequantize(in_c, output)),
        agreed=None if exact is None or not unpacked.classes else _agreed(exact, real),
        powers=None if exact is None else signal_and_noise(exact, real),
        equal=None if in_c is None else (in_c == made).all(axis=(1, 2, 3)),
        bad=bad,
    )


def joined(parts: Sequence[Measured]) -> Measured:
    """The parts' pictures as one, in their order. Mbv2genError where there is none that can be read."""
    bad = tuple(one for part in parts for one in part.bad)
    parts = [part for part in parts if part.names]
    if not parts:
        raise Mbv2genError(f"none of the {len(bad)} pictures can be read; the first: {bad[0][1]}")
    return Measured(
        names=tuple(name for part in parts for name in part.names),
        labels=_concatenated(parts, lambda part: part.labels),
        of_float=_joined_answers(parts, lambda part: part.of_float),
        of_int8=_joined_answers(parts, lambda part: part.of_int8),
        of_c=_joined_answers(parts, lambda part: part.of_c),
        agreed=_concatenated(parts, lambda part: part.agreed),
        powers=_concatenated(parts, lambda part: part.powers),
        equal=_concatenated(parts, lambda part: part.equal),
        bad=bad,
    )


def _prepared(
    part: Pictures, skips_bad: bool
) -> tuple[Pictures, list[NDArray[np.generic]], tuple[tuple[str, str], ...]]:
    """(the pictures that can be read, their values, the others)."""
    values, good, bad = [], [], []
    for position, row in enumerate(part.read(part.indices)):
        try:
            values.append(part.prepare(row))
            good.append(position)
        except Mbv2genError as error:
            if not skips_bad:
                raise
            bad.append((part.names[position], str(error)))
    return part.subset(good), values, tuple(bad)


def _run(instrument: Instrument, inputs: Int8Array) -> Int8Array | None:
    if instrument.place is None or instrument.program is None:
        return None
    network, place = instrument.quantized, instrument.place
    result = runner.run(instrument.program, inputs, board=place.board, title=f"{network.name} on {place.title}")
    return result.outputs.reshape(len(inputs), *network.shape(network.outputs[0]))


def _scores(outputs: Reals) -> Reals:
    """[n][h][w][classes]: a single output is the odds of class 1 against class 0, decided at 0 (probability 1/2)."""
    return outputs if outputs.shape[3] > 1 else np.concatenate([np.zeros_like(outputs), outputs], axis=3)


def _answers(outputs: Reals, labels: Integers | None, classes: int) -> Answers | None:
    if not classes or outputs.shape[1:3] != (1, 1):
        return None
    scores = _scores(outputs)[:, 0, 0]
    return Answers(scores.argmax(axis=1), None if labels is None else ranks(scores, labels))


def _agreed(wanted: Reals, made: Reals) -> Integers:
    result: Integers = (_scores(wanted).argmax(axis=3) == _scores(made).argmax(axis=3)).sum(axis=(1, 2))
    return result


def _joined_answers(parts: Sequence[Measured], of: Callable[[Measured], Answers | None]) -> Answers | None:
    answers = [answer for answer in map(of, parts) if answer is not None]
    ranked = [answer.rank for answer in answers if answer.rank is not None]
    if not answers:
        return None
    return Answers(np.concatenate([answer.chosen for answer in answers]), np.concatenate(ranked) if ranked else None)


def _concatenated(parts: Sequence[Measured], of: Callable[[Measured], NDArray[Value] | None]) -> NDArray[Value] | None:
    arrays = [array for array in map(of, parts) if array is not None]
    return np.concatenate(arrays) if arrays else None
