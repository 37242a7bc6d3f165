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
from mbv2gen.evaluation.figures import Reals, signal_and_noise
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
) -> Quantized:
    """Calibrate on ``pictures`` (None: synthetic ones, of which the caller warns) and quantize.

    Synthetic pictures are worth no more than effort 1: what more one learns of them is not of the real ones.
    ``progress`` is told (done, total). Raises Mbv2genError where data or network cannot be quantized.
    """
    tell = progress or (lambda done, total: None)
    effort = min(effort, MOST_OF_SYNTHETIC) if pictures is None else effort
    data = synthetic(network, preprocessing) if pictures is None else pictures
    calibrated = Calibrated(network, data, preprocessing, is_synthetic=pictures is None)
    if effort == HIGHEST:
        return _best(calibrated, tell)
    steps = len(data) + len(network.operators)
    observed = quantizer.observed(calibrated, part(tell, 0, steps))
    integer = quantizer.quantize(observed, RECIPES[effort], part(tell, len(data), steps))
    return Quantized(network, integer, data)


def _best(calibrated: Calibrated, tell: Progress) -> Quantized:
    """Of all candidates, on the network and on the equalized one, that of least noise; the first of equals."""
    half = _steps(calibrated)
    plain = quantizer.observed(calibrated, part(tell, 0, 2 * half))
    wanted = _float_outputs(calibrated)
    candidates = _candidates(plain, wanted, part(tell, 0, 2 * half))
    equalized = rescaled(plain.network, equalizing_factors(plain.network, plain.tensors))
    changed = quantizer.observed(replace(calibrated, network=equalized), part(tell, half, 2 * half))
    candidates += _candidates(changed, wanted, part(tell, half, 2 * half))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _candidates(calibrated: Calibrated, wanted: Reals, tell: Progress) -> list[tuple[float, Quantized]]:
    """Each with its noise; the calibration itself is done and told of."""
    network, data = calibrated.network, calibrated.data
    done, steps, found = len(data), _steps(calibrated), []
    for recipe in CANDIDATES:
        integer = quantizer.quantize(calibrated, recipe, part(tell, done, steps))
        found.append((_noise(integer, data, wanted), Quantized(network, integer, data)))
        done += len(network.operators) + len(data)
        tell(done, steps)
    return found


def _steps(calibrated: Calibrated) -> int:
    """Of progress, for one network and all candidates on it."""
    return len(calibrated.data) + len(CANDIDATES) * (len(calibrated.network.operators) + len(calibrated.data))


def _float_outputs(calibrated: Calibrated) -> Reals:
    batches = calibrated.data.batches(BATCH)
    return np.concatenate([float_reference.run_outputs(calibrated.network, x).astype(np.float64) for x in batches])


def _noise(network: QuantizedNetwork, data: Pictures, wanted: Reals) -> float:
    """Power of what the int8 output differs by, all pictures together, each less its mean over the classes."""
    output, total = network.tensor(network.outputs[0]), 0.0
    for start, x in enumerate(integer_input(data, network, BATCH)):
        made = dequantize(int8_reference.run_outputs(network, x), output)
        total += float(signal_and_noise(wanted[start * BATCH :][: len(x)], made)[:, 1].sum())
    return total
