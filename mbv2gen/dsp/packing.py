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

from mbv2gen.dsp.parameters import (
    UNPACKED_SCALE,
    LinearParameters,
    ReluParameters,
    depthwise_parameters,
    linear_parameters,
    relu_parameters,
)
from mbv2gen.dsp.ranges import Int64Array, Layer
from mbv2gen.dsp.streams import (
    PACKED_LIMIT,
    TURN,
    General,
    Stream,
    biases,
    end_words,
    folded_bias,
    general_records,
    pad_pairs,
    parameter_words,
    silenced,
    weight_words,
    with_zero,
    words,
)
from mbv2gen.dsp.tiles import NOTHING, Pairs


@dataclass(frozen=True)
class Statistics:
    """Channels by how they are computed; the sum of all is the layer's channels."""

    solved: int  # with the common shift (linear, fully connected: in the fast body)
    odd_slot: int  # of these, those that fit only the odd slot of a packed pair
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
    if all(depthwise_parameters(rows, solver=solver).general.all() for solver in (False, True)):
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
    head: int = TURN,
    solver: bool = True,
) -> PackedRelu:
    """Streams of the ReLU bodies for a tile of ``pairs``: each column of the weights once, NOTHING where none stands.

    ``unpacked``: for tiles of (x + 128) << 7 and a body with a weight a byte, shorter for few columns; any slot takes
    any channel. ``head``: pairs the body takes before its loop. ``solver`` False: no common shift but for constants.
    """
    assert refuses_relu(rows) is None, "the caller asks refuses_relu first"
    padded = pad_pairs(pairs, head)
    parameters = relu_parameters(rows, unpacked=unpacked, solver=solver)
    bias = folded_bias(rows, 128 if unpacked else 0)
    common, own = _slots(parameters)
    order = tuple(int(c) for c in (*common, *own))
    positions = [p for p, c in enumerate(order) if c != NOTHING and parameters.general[c]]
    return PackedRelu(
        padded,
        unpacked,
        order,
        _relu_stream(rows, parameters, bias, common, padded, unpacked=unpacked, own=False),
        _relu_stream(rows, parameters, bias, own, padded, unpacked=unpacked, own=True),
        general_records(rows, bias, order, positions, padded, tile_shift=UNPACKED_SCALE if unpacked else 0),
        Statistics(
            int(sum(c != NOTHING and not parameters.silent[c] for c in common)),
            int(parameters.stepped.sum()),
            int(sum(c != NOTHING and not parameters.silent[c] for c in own)),
            int((parameters.constant >= 0).sum()),
            int(parameters.general.sum()),
        ),
    )


def pack_depthwise(rows: Layer, order: Sequence[int], *, solver: bool = True) -> PackedDepthwise:
    """Streams of the 3x3 depthwise bodies: 36 bytes a channel, in the order in which the lines stand.

    Three rows of int16 (w0, w1), (w1, w2); M; C; bias. Weights and bias are scaled so that one shift serves all.
    """
    assert refuses_depthwise(rows) is None, "the caller asks refuses_depthwise first"
    p = depthwise_parameters(rows, solver=solver)
    index = np.array([c if c != NOTHING else len(rows.bias) for c in order], np.int64)
    used = ~p.silent
    scaled = (np.where(used[:, np.newaxis], rows.weights, 0) << p.scale[:, np.newaxis]).reshape(-1, 3, 3)
    halves = np.ascontiguousarray(with_zero(scaled[:, :, [0, 1, 1, 2]].reshape(-1, 12))[index], "<i2")
    bias = (np.where(used, rows.bias, 0) << p.scale) + p.bias_step
    parameters = [words(with_zero(values)[index]) for values in (p.multiplier, p.addend, bias)]
    stream = np.concatenate([halves.view("<u4"), np.stack(parameters, axis=1)], axis=1)
    positions = [k for k, c in enumerate(order) if c != NOTHING and p.general[c]]
    return PackedDepthwise(
        tuple(int(c) for c in order),
        Stream(stream.astype("<u4").tobytes(), len(order)),
        general_records(rows, rows.bias, order, positions, None),
        Statistics(int(used.sum()), 0, 0, int((p.constant >= 0).sum()), int(p.general.sum())),
    )


def pack_linear(rows: Layer, pairs: Pairs, *, offset: int = 128) -> PackedLinear:
    """Streams of the linear bodies for a tile of ``pairs`` whose values are int8 + ``offset``.

    Packed where every second channel of a pair stays under 2**23 over all inputs, else with a weight a byte.
    Per pair: both biases, weights, END with both shifts, M and C of both.
    """
    assert refuses_linear(rows) is None, "the caller asks refuses_linear first"
    padded = pad_pairs(pairs)
    n, p = len(rows.bias), linear_parameters(rows)
    order = np.array([*range(n - n % 2), *((n - 2, n - 1) if n % 2 else ())], np.int64)
    first, second = order[::2], order[1::2]
    magnitude = np.where(p.silent, 0, rows.accumulators.magnitude)
    unpacked = bool((magnitude[second] >= PACKED_LIMIT).any())
    folded = folded_bias(rows, offset)
    weights, bias = silenced(rows.weights, folded, p.silent)
    words_of_pairs = np.concatenate(
        [
            biases(bias, np.zeros_like(bias), first, second, scale=0 if unpacked else None),
            weight_words(weights, first, second, padded, unpacked),
            end_words(p.shift, first, second),
            parameter_words(p.multiplier, p.addend, first, second),
        ],
        axis=1,
    ).astype("<u4")
    return PackedLinear(
        padded,
        unpacked,
        n,
        Stream(words_of_pairs[: n // 2].tobytes(), n - n % 2),
        Stream(words_of_pairs[n // 2 :].tobytes(), 2 * (n % 2)),
        general_records(rows, folded, range(n), [int(c) for c in np.flatnonzero(p.general)], padded),
        _linear_statistics(p),
    )


def _linear_statistics(p: LinearParameters) -> Statistics:
    general = int(p.general.sum())
    return Statistics(int((~p.silent).sum()), 0, 0, int(p.silent.sum()) - general, general)


def _slots(p: ReluParameters) -> tuple[Int64Array, Int64Array]:
    """Channels of the common-shift stream and of that with shifts of their own, each an even number, NOTHING to fill.

    A channel that needs a bias_step goes to an odd slot (second of a pair); where there are too few, or one channel is
    left without a partner, channels take shifts of their own, which is always exact.
    """
    plain, stepped = [int(c) for c in np.flatnonzero(p.plain)], [int(c) for c in np.flatnonzero(p.stepped)]
    own = [int(c) for c in np.flatnonzero(~p.plain & ~p.stepped)]
    while len(stepped) > len(plain):
        own.append(stepped.pop())
    if (len(plain) + len(stepped)) % 2 and len(own) % 2:
        own.append(plain.pop())
    elif (len(plain) + len(stepped)) % 2:
        plain.append(NOTHING)
    own.sort()
    if len(own) % 2:
        own.append(NOTHING)
    half = (len(plain) + len(stepped)) // 2
    common = np.stack([plain[:half], stepped + plain[half:]], axis=1).reshape(-1)
    return common.astype(np.int64), np.array(own, np.int64)


def _relu_stream(
    rows: Layer, p: ReluParameters, bias: Int64Array, channels: Int64Array, pairs: Pairs, *, unpacked: bool, own: bool
) -> Stream:
    """Per pair: both biases, weights, END (with both shifts where they are ``own``), M and C of both."""
    first, second = channels[::2], channels[1::2]
    weights, kept = silenced(rows.weights, bias, p.silent)
    nothing = np.zeros_like(bias)
    shift, step, multiplier, addend = (
        (p.own_shift, nothing, p.own_multiplier, p.own_addend)
        if own
        else (nothing, p.bias_step, p.multiplier, p.addend)
    )
    stream = [
        biases(kept, step, first, second, scale=UNPACKED_SCALE if unpacked else None),
        weight_words(weights, first, second, pairs, unpacked),
        end_words(with_zero(shift), first, second),
        parameter_words(with_zero(multiplier), with_zero(addend), first, second),
    ]
    return Stream(np.concatenate(stream, axis=1).astype("<u4").tobytes(), len(channels))
