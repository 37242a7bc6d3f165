# SPDX-License-Identifier: Apache-2.0
"""Weight rounding: a scale a channel, and integers on a symmetric grid: the nearest, or those of least output error.

Rounding every weight to its nearest integer is not best for their sum: errors add up where inputs vary together.
Adaptive rounding walks over the weights of a channel and puts each on the integer that makes the expected squared
error of the channel's sum, (wq - w)' H (wq - w), least while the others stay, until nothing moves. H is the
covariance of the layer's inputs: what is constant in the error, bias correction takes.
Source of the objective: M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020),
equation 13; solved by coordinate descent instead of a relaxation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.int8_reference import taps
from mbv2gen.network import DepthwiseConv2D, FullyConnected
from mbv2gen.quantization.tensor_scales import Weighted, channel_rows, farthest
from mbv2gen.quantized_network import Int8Array, QTensor

LEAST_MULTIPLIER = 2.0**-22  # output steps an accumulator unit; below it rounding no longer shows in int8
LEAST_MULTIPLIER_OF_CONSTANT = 2.0**-14  # of a channel whose weights do not matter: its bias stays below 2**22
ACCUMULATOR_LIMIT = 1 << 29  # half of what kernels that double the accumulator can take; the rest is for corrections

RIDGE = 0.01  # of H's mean diagonal, added to the diagonal: how far rounding trusts the pictures it sees
NARROWER = tuple(1 - k / 20 for k in range(11))  # of a channel's largest weight: where its grid may end
SWEEPS = 3  # over all weights, at most
BLOCK = 64  # weights of a channel whose errors are carried over to the others at once
PICTURES = 48  # that H is measured on, at most
ROWS_PER_INPUT = 16  # ... at so many places for each input that is summed over, and
LEAST_ROWS = 2048  # at no fewer, where there are as many

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The integers that weights may be: ``step`` times -limit..limit. ``narrows``: the grid of a channel may end before
    its largest weight, where that makes its error less."""

    limit: int
    step: int = 1
    ridge: float = RIDGE
    narrows: bool = False


EIGHT_BITS = Grid(127)
FOUR_BITS = Grid(7, 16, ridge=0.1, narrows=True)  # multiples of 16: quantized_network.py says why


@dataclass(frozen=True, eq=False)
class Rounded:
    """Weights [c_out][k], integers in float64, and their scale [c_out], float32."""

    weights: Reals
    scale: NDArray[np.float32]

    @property
    def real(self) -> Reals:
        """What the integers stand for, [c_out][k]."""
        result: Reals = self.weights * self.scale.astype(np.float64)[:, np.newaxis]
        return result


def round_weights(
    operator: Weighted, source: QTensor, target: QTensor, covariance: Reals | None = None, grid: Grid = EIGHT_BITS
) -> Rounded:
    """The operator's weights on the ``grid``; adaptively where the inputs' ``covariance`` is given."""
    rows = channel_rows(operator).astype(np.float64)
    least = least_scales(rows, operator.bias.astype(np.float64), source, target)
    scale = np.maximum(np.abs(rows).max(axis=1) / (grid.limit * grid.step), least).astype(np.float32)
    if grid.narrows:
        scale = narrowed(rows, scale, least, grid, covariance)
    steps = rows / (scale.astype(np.float64)[:, np.newaxis] * grid.step)
    rounded = np.clip(np.rint(steps), -grid.limit, grid.limit)
    if covariance is not None:
        rounded = adapted(steps, rounded, covariance, grid.limit, grid.ridge)
    return Rounded(rounded * grid.step, scale)


def least_scales(rows: Reals, bias: Reals, source: QTensor, target: QTensor) -> Reals:
    """[c_out] for weights ``rows`` [c_out][k]: no scale is below.

    It widens that of a channel whose weights are (nearly) zero, so that an accumulator unit is no less than
    2**-22 output steps (2**-14 where all weights together move the output by less than 1/256 step), and where bias
    and weights would not fit the accumulator. What is lost is far below one step of the output, and a channel that
    is only a constant keeps it.
    """
    part = np.abs(rows).sum(axis=1) * farthest(source)
    least = np.where(part < target.scale / 256, LEAST_MULTIPLIER_OF_CONSTANT, LEAST_MULTIPLIER)
    scale: Reals = np.maximum(least * target.scale, (np.abs(bias) + part) / ACCUMULATOR_LIMIT) / source.scale
    return scale


def narrowed(
    rows: Reals, scale: NDArray[np.float32], floor: Reals, grid: Grid, covariance: Reals | None = None
) -> NDArray[np.float32]:
    """[c_out]: of ``scale`` and narrower ones, no less than ``floor``, that with which the nearest integers are least
    off, channel by channel.

    The error is (wq - w)' H (wq - w), H being the ``covariance`` [k][k] and its ridge, or the unit matrix.
    """
    k = rows.shape[1]
    h = np.eye(k) if covariance is None else covariance + max(grid.ridge * np.trace(covariance) / k, 1e-9) * np.eye(k)
    best, least = scale.copy(), np.full(len(scale), np.inf)
    for part in NARROWER:
        tried = np.maximum(scale * part, floor).astype(np.float32)
        unit = tried.astype(np.float64)[:, np.newaxis] * grid.step
        errors = np.clip(np.rint(rows / unit), -grid.limit, grid.limit) * unit - rows
        noise = ((errors @ h) * errors).sum(axis=1)
        best, least = np.where(noise < least, tried, best), np.minimum(noise, least)
    return best


def input_covariance(operator: Weighted, inputs: Int8Array, zero_point: int) -> Reals:
    """Of the int8 ``inputs`` [n][h][w][c] that one output sums over: [k][k], a depthwise operator's [c][k][k].

    In units of input steps, measured at evenly spaced pictures and places: enough for the size of the matrix.
    """
    k = channel_rows(operator).shape[1]
    wanted = max(LEAST_ROWS, ROWS_PER_INPUT * k)
    chosen = inputs[[i * len(inputs) // PICTURES for i in range(PICTURES)] if len(inputs) > PICTURES else slice(None)]
    if isinstance(operator, FullyConnected):
        return _covariance(inputs.reshape(len(inputs), -1))
    planes = taps(chosen.astype(np.int32) - zero_point, operator.window)  # views [n][h][w][c]
    n, h, w, _ = planes[0].shape
    stride = max(1, int(np.sqrt(n * h * w / wanted)))
    rows = np.stack([plane[:, ::stride, ::stride] for plane in planes], axis=-2)  # [n][h'][w'][taps][c]
    if isinstance(operator, DepthwiseConv2D):
        return _covariance(np.ascontiguousarray(rows.reshape(-1, *rows.shape[3:]).transpose(2, 0, 1)))
    return _covariance(rows.reshape(-1, k))


def _covariance(rows: NDArray[np.integer]) -> Reals:
    """Of [...][n][k]: [...][k][k]."""
    values = rows.astype(np.float32)
    values -= values.mean(axis=-2, keepdims=True)
    result: Reals = (np.swapaxes(values, -1, -2) @ values).astype(np.float64) / values.shape[-2]
    return result


def adapted(steps: Reals, start: Reals, covariance: Reals, limit: int, ridge: float = RIDGE) -> Reals:
    """Integers [c_out][k] within -limit..limit that stand for ``steps`` [c_out][k]: no worse than ``start``.

    ``covariance`` is [k][k], or [c_out][k][k]. Ties and equal inputs give equal results: nothing is random.
    """
    k = steps.shape[1]
    mean_diagonal = np.trace(covariance, axis1=-2, axis2=-1)[..., np.newaxis, np.newaxis] / k
    h = covariance + np.where(mean_diagonal > 0, ridge * mean_diagonal, 1.0) * np.eye(k)
    h = np.moveaxis(h, 0, -1) if h.ndim == 3 else h[..., np.newaxis]  # [k][k][c_out or 1], symmetric
    found = np.ascontiguousarray(start.T)
    slope = _times(h, found - steps.T)  # half the gradient of the objective
    for _ in range(SWEEPS):
        before = found.copy()
        for first in range(0, k, BLOCK):
            block = slice(first, first + BLOCK)
            moved = _descend(found[block], slope[block], h[block, block], limit)
            slope += _times(h[:, block], moved - found[block])
            found[block] = moved
        if np.array_equal(before, found):
            break
    return found.T


def _descend(found: Reals, slope: Reals, h: Reals, limit: int) -> Reals:
    """``found`` [k][c_out] after one step along each of its coordinates in turn."""
    moved, slope = found.copy(), slope.copy()
    for i in range(len(found)):
        best = np.rint(moved[i] - slope[i] / h[i, i])
        np.minimum(np.maximum(best, -limit, out=best), limit, out=best)
        step = best - moved[i]
        if step.any():
            slope += h[i] * step
            moved[i] = best
    return moved


def _times(h: Reals, errors: Reals) -> Reals:
    """h [m][k][c_out or 1] times errors [k][c_out], channel by channel: [m][c_out]."""
    if h.shape[2] == 1:
        product: Reals = h[:, :, 0] @ errors
        return product
    product = np.einsum("mkc,kc->mc", h, errors)
    return product
