# SPDX-License-Identifier: Apache-2.0
"""Effort: how much a compile does for accuracy, 0 to 3; docs/quantization.md says what each level gains.

The highest makes several networks and keeps the one whose output is nearest the float network's, by the
signal-to-noise ratio over all calibration pictures; the next lower level is among them, so it is never below it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mbv2gen import float_reference, int8_reference
from mbv2gen.evaluation.figures import Reals, decibels, signal_and_noise
from mbv2gen.network import Network
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.progress import part
from mbv2gen.quantization import quantizer
from mbv2gen.quantization.calibration import synthetic
from mbv2gen.quantization.equalization import equalizing_factors, rescaled
from mbv2gen.quantization.integer_prefix import integer_input
from mbv2gen.quantization.quantizer import Calibrated, Recipe
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import QuantizedNetwork

MIN_MAX = Recipe(corrects_bias=False)
ANALYTIC = Recipe()
MEASURED = Recipe(least_error_ranges=True, measures=True)
ADAPTIVE = replace(MEASURED, adapts_rounding=True)
RECIPES = (MIN_MAX, ANALYTIC, ADAPTIVE)  # by effort
CANDIDATES = (ADAPTIVE, MEASURED)  # of the highest, on the network and on the equalized one
DEFAULT, HIGHEST, MOST_OF_SYNTHETIC = 2, 3, 1
BATCH = 32  # pictures whose outputs are compared at once

Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Quantized:
    """``integer`` is ``real`` in int8, tensor by tensor; ``real`` computes what the given network does."""

    real: Network
    integer: QuantizedNetwork
    data: Pictures


def quantize(
    network: Network,
    pictures: Pictures | None,
    preprocessing: Preprocessing,
    effort: int = DEFAULT,
    progress: Progress | None = None,
    four_bits: frozenset[str] = frozenset(),
) -> Quantized:
    """Calibrate on ``pictures`` (None: synthetic ones, of which the caller warns) and quantize.

    Synthetic pictures are worth no more than effort 1: what more one learns of them is not of the real ones.
    Weights of ``four_bits`` (names of layers) have 4 bits, and then effort is at least the default: the nearest
    integers would be too far off. ``progress`` is told (done, total). Raises Mbv2genError where data or network cannot
    be quantized.
    """
    tell = progress or (lambda done, total: None)
    effort = max(effort, DEFAULT) if four_bits else effort
    effort = min(effort, MOST_OF_SYNTHETIC) if pictures is None else effort
    data = synthetic(network, preprocessing) if pictures is None else pictures
    calibrated = Calibrated(network, data, preprocessing, is_synthetic=pictures is None)
    if effort == HIGHEST:
        return _best(calibrated, four_bits, tell)
    steps = len(data) + len(network.operators)
    observed = quantizer.observed(calibrated, part(tell, 0, steps))
    recipe = replace(RECIPES[effort], four_bits=four_bits)
    integer = quantizer.quantize(observed, recipe, part(tell, len(data), steps))
    return Quantized(network, integer, data)


def _best(calibrated: Calibrated, four_bits: frozenset[str], tell: Progress) -> Quantized:
    """Of all candidates, on the network and on the equalized one, that of least noise; the first of equals."""
    half = _steps(calibrated)
    plain = quantizer.observed(calibrated, part(tell, 0, 2 * half))
    wanted = _float_outputs(calibrated.network, calibrated.data)
    candidates = _candidates(plain, wanted, four_bits, part(tell, 0, 2 * half))
    equalized = rescaled(plain.network, equalizing_factors(plain.network, plain.tensors))
    changed = quantizer.observed(replace(calibrated, network=equalized), part(tell, half, 2 * half))
    candidates += _candidates(changed, wanted, four_bits, part(tell, half, 2 * half))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _candidates(
    calibrated: Calibrated, wanted: Reals, four_bits: frozenset[str], tell: Progress
) -> list[tuple[float, Quantized]]:
    """Each with its noise; the calibration itself is done and told of."""
    network, data = calibrated.network, calibrated.data
    done, steps, found = len(data), _steps(calibrated), []
    for recipe in CANDIDATES:
        integer = quantizer.quantize(calibrated, replace(recipe, four_bits=four_bits), part(tell, done, steps))
        noise = float(_signal_and_noise(integer, data, wanted)[1])
        found.append((noise, Quantized(network, integer, data)))
        done += len(network.operators) + len(data)
        tell(done, steps)
    return found


def _steps(calibrated: Calibrated) -> int:
    """Of progress, for one network and all candidates on it."""
    return len(calibrated.data) + len(CANDIDATES) * (len(calibrated.network.operators) + len(calibrated.data))


def _float_outputs(network: Network, data: Pictures) -> Reals:
    return np.concatenate([float_reference.run_outputs(network, x).astype(np.float64) for x in data.batches(BATCH)])


def snr_db(made: Quantized) -> float:
    """Signal-to-noise ratio of the output on the pictures it was made with; infinite without noise."""
    wanted = _float_outputs(made.real, made.data)
    ratio = float(decibels(_signal_and_noise(made.integer, made.data, wanted)))
    return float("inf") if np.isnan(ratio) else ratio


def _signal_and_noise(network: QuantizedNetwork, data: Pictures, wanted: Reals) -> Reals:
    """[2]: power of the output and of what int8 differs by, all pictures together, each less its mean over classes."""
    output, total = network.tensor(network.outputs[0]), np.zeros(2)
    for start, x in enumerate(integer_input(data, network, BATCH)):
        made = dequantize(int8_reference.run_outputs(network, x), output)
        total += signal_and_noise(wanted[start * BATCH :][: len(x)], made).sum(axis=0)
    return total
