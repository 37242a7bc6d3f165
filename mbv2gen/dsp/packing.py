# SPDX-License-Identifier: Apache-2.0
"""Packing for the ``dsp`` family: weights, biases and parameters as the streams that its bodies read.

A stream holds little-endian words, output channel after output channel (pointwise: pair after pair). Positions are
where channels stand in what a body writes; ``order`` says which channel that is, NOTHING for one that only fills a
pair (zero weights, output 0: lines, tiles and sums need room for it). Each body runs over all its channels, silent
ones included; the channels in ``general`` are then overwritten (sums: added to) by the general body.

Zero points are folded: the bias becomes bias - (zero point + offset) * sum of weights, modulo 2**32 as all the sums
are; the offset is 0 where a tile holds int8 values and 128 where it holds int8 + 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbv2gen.dsp import four_bits as four
from mbv2gen.dsp.parameters import (
    DEPTHWISE_SCALE,
    PACKED_SCALE,
    UNPACKED_SCALE,
    LinearParameters,
    ReluParameters,
    depthwise_parameters,
    depthwise_possible,
    linear_parameters,
    relu_parameters,
)
from mbv2gen.dsp.ranges import Int64Array, Layer
from mbv2gen.dsp.relu_streams import common_stream, own_stream
from mbv2gen.dsp.requantization import BoolArray
from mbv2gen.dsp.shifts import END_BIAS_SHIFT
from mbv2gen.dsp.streams import (
    END_BIAS_LIMIT,
    PACKED_LIMIT,
    TURN,
    General,
    Stream,
    WordArray,
    biases,
    columns_of,
    depthwise_words,
    end_words,
    folded_bias,
    general_records,
    pad_pairs,
    silenced,
    stream,
    weight_words,
    with_zero,
)
from mbv2gen.dsp.tiles import NOTHING, Pairs


@dataclass(frozen=True)
class Statistics:
    """Channels by how they are computed; the sum of all is the layer's channels."""

    solved: int  # with the common shift (linear, fully connected: in the fast body)
    own_shift: int
    constant: int
    general: int


@dataclass(frozen=True)
class PackedRelu:
    """A ReLU layer: ``common`` writes the first positions, ``own`` (shifts by register) those behind, of ``order``."""

    pairs: Pairs  # columns of the weights by the tile's pairs
    unpacked: bool
    order: tuple[int, ...]
    common: Stream
    own: Stream
    general: General
    statistics: Statistics
    four_bits: bool = False


@dataclass(frozen=True)
class PackedDepthwise:
    """A depthwise layer in the order of its input's positions."""

    order: tuple[int, ...]
    stream: Stream
    general: General
    statistics: Statistics


@dataclass(frozen=True)
class PackedLinear:
    """A linear layer in canonical order: ``stream`` writes the first channels, an even number. Of an odd number
    ``rest`` writes the last two, the first of which ``stream`` has written too: no body writes beyond the pixel."""

    pairs: Pairs
    unpacked: bool
    channels: int
    stream: Stream
    rest: Stream
    general: General
    statistics: Statistics
    four_bits: bool = False


def refuses_relu(rows: Layer) -> str | None:
    """Why the ReLU and depthwise bodies cannot run ``rows``; None where they can, some channels in the general body."""
    if rows.output_zero_point != -128 or rows.act_min != -128:
        return f"its output's zero point and act_min are {rows.output_zero_point} and {rows.act_min}, not -128"
    if relu_parameters(rows, unpacked=False, solver=False).general.all():
        return "no channel keeps to the fast bodies' bounds, shifts and clamp (act_max 127)"
    return None


def refuses_depthwise(rows: Layer) -> str | None:
    """As refuses_relu, for a depthwise layer; rows of 9 weights."""
    if rows.weights.shape[1] != 9:
        return "its window is not 3x3"
    if rows.zero_point != -128:
        return f"its input's zero point is {rows.zero_point}, not -128: padding would not be 0"
    if rows.output_zero_point != -128 or rows.act_min != -128:
        return f"its output's zero point and act_min are {rows.output_zero_point} and {rows.act_min}, not -128"
    if not depthwise_possible(rows).any():
        return "no channel keeps to the fast bodies' bounds, shifts and clamp (act_max 127)"
    return None


def refuses_linear(rows: Layer) -> str | None:
    """Why the linear bodies cannot run ``rows``; None where they can, some channels in the general body."""
    if len(rows.bias) < 2:
        return "it has one output channel, and the bodies write two"
    if linear_parameters(rows).general.all():
        return "no channel keeps to the linear bodies' bounds, right shifts and clamp (-128..127)"
    return None


def pack_relu(
    rows: Layer,
    pairs: Pairs,
    *,
    unpacked: bool = False,
    four_bits: bool = False,
    head: int = TURN,
    solver: bool = True,
) -> PackedRelu:
    """Streams of the ReLU bodies for a tile of ``pairs``: each column of the weights once, NOTHING where none stands.

    ``unpacked``: rather for tiles of (x + 128) << 7 and a body with a weight a byte, shorter for few columns, which has
    no shifts of its own: only where all channels share the common one. ``four_bits``: of weights that are multiples of
    16. ``head``: pairs the body takes before its loop. ``solver`` False: no common shift but for constants.
    """
    assert refuses_relu(rows) is None, "the caller asks refuses_relu first"
    padded = pad_pairs(pairs, head)
    parameters = relu_parameters(rows, unpacked=unpacked, solver=solver)
    if unpacked and not (parameters.common.solved | parameters.silent).all():
        return pack_relu(rows, pairs, head=head, solver=solver)
    bias = folded_bias(rows, 128 if unpacked else 0)
    scale = UNPACKED_SCALE if unpacked else PACKED_SCALE
    start = np.where(parameters.silent, 0, bias << scale) + parameters.common.step
    second = (np.abs(start) >= END_BIAS_LIMIT) | (start % (1 << END_BIAS_SHIFT) != 0)
    common, own = _slots(parameters, second & (not unpacked and not four_bits))
    order = tuple(int(c) for c in (*common, *own))
    positions = [p for p, c in enumerate(order) if c != NOTHING and parameters.general[c]]
    weights, kept = silenced(rows.weights, bias, parameters.silent)
    return PackedRelu(
        padded,
        unpacked,
        order,
        common_stream(weights, parameters, start, common, padded, unpacked=unpacked, four_bits=four_bits),
        own_stream(weights, parameters, kept, own, padded, four_bits=four_bits),
        general_records(rows, bias, order, positions, padded, tile_shift=UNPACKED_SCALE if unpacked else 0),
        Statistics(
            int(sum(c != NOTHING and not parameters.silent[c] for c in common)),
            int(sum(c != NOTHING and not parameters.silent[c] for c in own)),
            int((parameters.constant >= 0).sum()),
            int(parameters.general.sum()),
        ),
        four_bits,
    )


def pack_depthwise(rows: Layer, order: Sequence[int], *, solver: bool = True) -> PackedDepthwise:
    """Streams of the 3x3 depthwise bodies: 20 bytes a channel, in the order in which the lines stand."""
    assert refuses_depthwise(rows) is None, "the caller asks refuses_depthwise first"
    p = depthwise_parameters(rows, solver=solver)
    index = np.array([c if c != NOTHING else len(rows.bias) for c in order], np.int64)
    weights, bias = silenced(rows.weights, rows.bias, p.silent)
    start = (bias << DEPTHWISE_SCALE) + p.common.step
    taken = [with_zero(values)[index] for values in (start, p.common.multiplier, weights)]
    positions = [k for k, c in enumerate(order) if c != NOTHING and p.general[c]]
    return PackedDepthwise(
        tuple(int(c) for c in order),
        Stream(depthwise_words(*taken).tobytes(), len(order)),
        general_records(rows, rows.bias, order, positions, None),
        Statistics(int((~p.silent).sum()), 0, int((p.constant >= 0).sum()), int(p.general.sum())),
    )


def pack_linear(rows: Layer, pairs: Pairs, *, offset: int = 128, four_bits: bool = False) -> PackedLinear:
    """Streams of the linear bodies for a tile of ``pairs`` whose values are int8 + ``offset``.

    Packed where every second channel of a pair stays under 2**23 over all inputs, else with a weight a byte. With
    ``four_bits`` (weights are multiples of 16) it is the first channels that need to, else halves are unpacked.
    First 2 * zero point + 1; per pair both biases, weights, END with both shifts less 1, M of both.
    """
    assert refuses_linear(rows) is None, "the caller asks refuses_linear first"
    padded = pad_pairs(pairs)
    n, p = len(rows.bias), linear_parameters(rows)
    order = np.array([*range(n - n % 2), *((n - 2, n - 1) if n % 2 else ())], np.int64)
    first, second = order[::2], order[1::2]
    magnitude = np.where(p.silent, 0, rows.accumulators.magnitude)
    unpacked = bool((magnitude[first if four_bits else second] >= PACKED_LIMIT).any())
    folded = folded_bias(rows, offset)
    weights, bias = silenced(rows.weights, folded, p.silent)
    bias += np.where(p.silent, p.bias, 0)
    if four_bits:
        y = bias if unpacked else bias << four.SCALE
        sums = [
            *four.start_words(y, first, second, 0 if unpacked else four.SCALE),
            four.weight_words(weights, first, second, padded),
        ]
    else:
        start = columns_of(bias, first, second) if unpacked else biases(bias, first, second)
        sums = [*start, weight_words(weights, first, second, padded, unpacked)]
    pairs_words = [
        *sums,
        end_words(p.shift[first] - 1 | p.shift[second] - 1 << 8),
        *columns_of(p.multiplier, first, second),
    ]
    return PackedLinear(
        padded,
        unpacked,
        n,
        _linear_stream(rows, [part[: n // 2] for part in pairs_words], n - n % 2),
        _linear_stream(rows, [part[n // 2 :] for part in pairs_words], 2 * (n % 2)),
        general_records(rows, folded, range(n), [int(c) for c in np.flatnonzero(p.general)], padded),
        _linear_statistics(p),
        four_bits,
    )


def _linear_stream(rows: Layer, pairs_words: list[WordArray], channels: int) -> Stream:
    if not channels:
        return Stream(b"", 0)
    centre = np.array([2 * rows.output_zero_point + 1], "<i4")
    return Stream(centre.tobytes() + stream(pairs_words, channels).data, channels)


def _linear_statistics(p: LinearParameters) -> Statistics:
    general = int(p.general.sum())
    return Statistics(int((~p.silent).sum()), 0, int(p.silent.sum()) - general, general)


def _slots(p: ReluParameters, second: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Channels of the common-shift stream and of that with shifts of their own, each an even number, NOTHING to fill.

    Channels ``second`` go where the bias has a word of its own; where there are too many, or one channel is left
    without a partner, channels take shifts of their own, which is always exact.
    """
    common = p.common.solved | p.silent
    plain, odd = [int(c) for c in np.flatnonzero(common & ~second)], [int(c) for c in np.flatnonzero(common & second)]
    own = [int(c) for c in np.flatnonzero(~common)]
    while len(odd) > len(plain):
        own.append(odd.pop())
    if (len(plain) + len(odd)) % 2 and len(own) % 2:
        own.append(plain.pop())
    elif (len(plain) + len(odd)) % 2:
        plain.append(NOTHING)
    own.sort()
    if len(own) % 2:
        own.append(NOTHING)
    half = (len(plain) + len(odd)) // 2
    paired = np.stack([plain[:half], odd + plain[half:]], axis=1).reshape(-1)
    return paired.astype(np.int64), np.array(own, np.int64)
