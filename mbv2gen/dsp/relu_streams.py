# SPDX-License-Identifier: Apache-2.0
"""ReLU streams: the words of pointwise layers with ReLU, packed, unpacked or with weights of 4 bits."""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp import four_bits as four
from mbv2gen.dsp.parameters import ReluParameters
from mbv2gen.dsp.ranges import Int64Array
from mbv2gen.dsp.shifts import END_BIAS_SHIFT
from mbv2gen.dsp.streams import Stream, biases, columns_of, end_words, stream, weight_words, with_zero
from mbv2gen.dsp.tiles import Pairs


def common_stream(
    weights: Int64Array,
    p: ReluParameters,
    start: Int64Array,
    channels: Int64Array,
    pairs: Pairs,
    *,
    unpacked: bool,
    four_bits: bool,
) -> Stream:
    """Per pair: both biases (packed: the second's), weights, END (packed: with the first's), M of both. Of 4 bits: both
    starts, END with what they leave out."""
    first, second = channels[::2], channels[1::2]
    y = with_zero(start)
    if four_bits:
        sums = [*four.start_words(start, first, second), four.weight_words(weights, first, second, pairs)]
        payload = four.rest_of_start(start, second)
    else:
        sums = [
            *columns_of(start, first, second)[0 if unpacked else 1 :],
            weight_words(weights, first, second, pairs, unpacked),
        ]
        payload = np.zeros_like(first) if unpacked else y[first] >> END_BIAS_SHIFT
    return stream([*sums, end_words(payload), *columns_of(p.common.multiplier, first, second)], len(channels))


def own_stream(
    weights: Int64Array,
    p: ReluParameters,
    bias: Int64Array,
    channels: Int64Array,
    pairs: Pairs,
    *,
    four_bits: bool,
) -> Stream:
    """Per pair: both biases, weights, END with both shifts, M and C of both."""
    first, second = channels[::2], channels[1::2]
    shift = with_zero(p.own_shift)
    parameters = [columns_of(values, first, second) for values in (p.own_multiplier, p.own_addend)]
    if four_bits:
        start = four.start_words(bias << four.SCALE, first, second)
        matrix = four.weight_words(weights, first, second, pairs)
    else:
        start = biases(bias, first, second)
        matrix = weight_words(weights, first, second, pairs, unpacked=False)
    parts = [
        *start,
        matrix,
        end_words(shift[first] | shift[second] << 8),
        *(part[half] for half in range(2) for part in parameters),
    ]
    return stream(parts, len(channels))
