# SPDX-License-Identifier: Apache-2.0
"""Packing for a projection whose input channels come in groups, one after the other: the bodies add what a group gives
to int32 sums of all outputs, and the last group's are requantized.

The split is the paper's (section 5.1: t-way), exact because nothing is rounded in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbv2gen.dsp.parameters import linear_parameters
from mbv2gen.dsp.ranges import Layer
from mbv2gen.dsp.streams import (
    PACKED_LIMIT,
    Stream,
    biases,
    end_words,
    folded_bias,
    pad_pairs,
    silenced,
    stream,
    weight_words,
)
from mbv2gen.dsp.tiles import NOTHING, Pairs


@dataclass(frozen=True)
class PackedPartial:
    """A linear layer in canonical order, an odd number of ``outputs`` filled up with a silent one: of each group the
    ``pairs`` of its columns and a stream, then v = round(2 * acc * multiplier / 2**32) + (centre << (shift - 1)) -
    (acc < 0), q = v >> shift. Tiles hold int8 + 128; biases are the first group's."""

    pairs: tuple[Pairs, ...]
    outputs: int
    streams: tuple[Stream, ...]
    multiplier: tuple[int, ...]
    centre: int
    shift: tuple[int, ...]


def refuses_partial(rows: Layer, size: int) -> str | None:
    """Why the bodies cannot run ``rows`` in groups of ``size`` columns, whichever stand in one; None where they can.

    They have no general body beside them, and weights are packed: of every second output what one group gives stays
    under 2**23. No group gives more than the ``size`` largest products do.
    """
    if linear_parameters(rows).general.any():
        return "some channels do not keep to the linear bodies' bounds, right shifts and clamp (-128..127)"
    largest = np.abs(rows.weights) * (rows.inputs.high + 128)
    greatest = np.sort(largest[1::2], axis=1)[:, -size:].sum(axis=1) + np.abs(folded_bias(rows, 128)[1::2])
    return "a packed half may reach 2**23 within a group" if (greatest >= PACKED_LIMIT).any() else None


def pack_partial(rows: Layer, groups: Sequence[Pairs]) -> PackedPartial:
    """Streams for the columns of each of ``groups``, as many as a tile of the group has pairs, all groups together each
    column once. Per pair of outputs both biases (0 but in the first group), weights, END."""
    n, p = len(rows.bias), linear_parameters(rows)
    channels = np.array([*range(n), *(NOTHING,) * (n % 2)], np.int64)
    first, second = channels[::2], channels[1::2]
    weights, bias = silenced(rows.weights, folded_bias(rows, 128), p.silent)
    bias += np.where(p.silent, p.bias, 0)
    padded = tuple(pad_pairs(pairs) for pairs in groups)
    streams = [
        stream(
            [
                *biases(bias if number == 0 else np.zeros_like(bias), first, second),
                weight_words(weights, first, second, pairs, unpacked=False),
                end_words(np.zeros_like(first)),
            ],
            len(channels),
        )
        for number, pairs in enumerate(padded)
    ]
    return PackedPartial(
        padded,
        n,
        tuple(streams),
        tuple(p.multiplier.tolist()),
        2 * rows.output_zero_point + 1,
        tuple(p.shift.tolist()),
    )
