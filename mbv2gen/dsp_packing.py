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
from numpy.typing import NDArray

from mbv2gen.dsp_parameters import (
    PACKED_SCALE,
    UNPACKED_SCALE,
    LinearParameters,
    ReluParameters,
    depthwise_parameters,
    linear_parameters,
    relu_parameters,
)
from mbv2gen.dsp_ranges import Int64Array, Layer, accumulator_reach
from mbv2gen.dsp_requantization import COMMON_SHIFT, BoolArray
from mbv2gen.dsp_tiles import NOTHING, Pairs

END_WORD = 0x80000000  # plus 23 bits of payload: behind the weights of a pair of output channels
PACKED_LIMIT = 1 << 23  # of an accumulator that is the upper half of a packed pair
_TURN = 4  # pairs of input channels a turn of the pointwise bodies

WordArray = NDArray[np.uint32]


@dataclass(frozen=True)
class Stream:
    """What one call of a body reads, and how many channels it writes."""

    data: bytes
    channels: int


@dataclass(frozen=True)
class General:
    """Records of the general body: int32 position, folded bias, multiplier, shift (positive = left), then the weights
    as int8 in the tile's order (depthwise: kernel_h x kernel_w), filled to a word. Pointwise records multiply the
    tile's int16 values; ``tile_shift`` says by how many bits the sum is to be shifted right (exact) before the bias."""

    data: bytes
    positions: tuple[int, ...]
    tile_shift: int = 0


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
    common_shift: int
    common: Stream
    own: Stream
    general: General
    statistics: Statistics


@dataclass(frozen=True)
class PackedDepthwise:
    """A depthwise layer in the order of its input's positions."""

    order: tuple[int, ...]
    common_shift: int
    stream: Stream
    general: General
    statistics: Statistics


@dataclass(frozen=True)
class PackedLinear:
    """A linear layer in canonical order. Of an odd number of channels the last pair's second is silent."""

    pairs: Pairs
    unpacked: bool
    channels: int
    stream: Stream
    general: General
    statistics: Statistics


def pad_pairs(pairs: Pairs, head: int = _TURN) -> Pairs:
    """``pairs`` and as many of NOTHING as a pointwise body's loop needs: head + 4n in all."""
    missing = max(head - len(pairs), -(len(pairs) - head) % _TURN)
    return (*pairs, *((NOTHING, NOTHING),) * missing)


def position_pairs(order: Sequence[int]) -> Pairs:
    """Neighbouring positions of ``order`` as pairs: the depthwise tile's."""
    filled = [*order, NOTHING] if len(order) % 2 else order
    return tuple((filled[k], filled[k + 1]) for k in range(0, len(filled), 2))


def refuses_relu(rows: Layer) -> str | None:
    """Why the ReLU and depthwise bodies cannot run ``rows``; None where they can, some channels in the general body."""
    if rows.output_zero_point != -128 or rows.act_min != -128:
        return f"its output's zero point and act_min are {rows.output_zero_point} and {rows.act_min}, not -128"
    if relu_parameters(rows, PACKED_SCALE, solver=False, stepped_slots=False).general.all():
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
    if depthwise_parameters(rows, solver=False).general.all():
        return "no channel keeps to the fast bodies' bounds, shifts and clamp (act_max 127)"
    return None


def refuses_linear(rows: Layer) -> str | None:
    """Why the linear bodies cannot run ``rows``; None where they can, some channels in the general body."""
    if linear_parameters(rows).general.all():
        return "no channel keeps to the linear bodies' bounds, right shifts and clamp (-128..127)"
    return None


def pack_relu(
    rows: Layer,
    pairs: Pairs,
    *,
    unpacked: bool = False,
    head: int = _TURN,
    solver: bool = True,
    common_shift: int = COMMON_SHIFT,
) -> PackedRelu:
    """Streams of the ReLU bodies for a tile of ``pairs``: each column of the weights once, NOTHING where none stands.

    ``unpacked``: for tiles of (x + 128) << 7 and a body with a weight a byte, shorter for few columns; any slot takes
    any channel. ``head``: pairs the body takes before its loop. ``solver`` False: no common shift but for constants.
    """
    assert refuses_relu(rows) is None, "the caller asks refuses_relu first"
    padded = pad_pairs(pairs, head)
    scale = UNPACKED_SCALE if unpacked else PACKED_SCALE
    parameters = relu_parameters(
        rows, scale, solver=solver, stepped_slots=not unpacked, common_shift=common_shift
    )
    bias = _folded(rows, 128 if unpacked else 0)
    common, own = _slots(parameters)
    order = tuple(int(c) for c in (*common, *own))
    positions = [p for p, c in enumerate(order) if c != NOTHING and parameters.general[c]]
    return PackedRelu(
        padded,
        unpacked,
        order,
        common_shift,
        Stream(_common_stream(rows, parameters, bias, common, padded, unpacked), len(common)),
        Stream(_own_stream(rows, parameters, bias, own, padded, unpacked), len(own)),
        _general(rows, bias, order, positions, padded, UNPACKED_SCALE if unpacked else 0),
        Statistics(
            int(sum(c != NOTHING and not parameters.silent[c] for c in common)),
            int(parameters.stepped.sum()),
            int(sum(c != NOTHING and not parameters.silent[c] for c in own)),
            int((parameters.constant >= 0).sum()),
            int(parameters.general.sum()),
        ),
    )


def pack_depthwise(
    rows: Layer, order: Sequence[int], *, solver: bool = True, common_shift: int = COMMON_SHIFT
) -> PackedDepthwise:
    """Streams of the 3x3 depthwise bodies: 36 bytes a channel, in the order in which the lines stand.

    Three rows of int16 (w0, w1), (w1, w2); M; C; bias. Weights and bias are scaled so that one shift serves all.
    """
    assert refuses_depthwise(rows) is None, "the caller asks refuses_depthwise first"
    p = depthwise_parameters(rows, solver=solver, common_shift=common_shift)
    index = np.array([c if c != NOTHING else len(rows.bias) for c in order], np.int64)
    used = ~p.silent
    scaled = (np.where(used[:, np.newaxis], rows.weights, 0) << p.scale[:, np.newaxis]).reshape(-1, 3, 3)
    halves = np.ascontiguousarray(_with_zero(scaled[:, :, [0, 1, 1, 2]].reshape(-1, 12))[index], "<i2")
    bias = (np.where(used, rows.bias, 0) << p.scale) + p.bias_step
    words = [_words(_with_zero(values)[index]) for values in (p.multiplier, p.addend, bias)]
    stream = np.concatenate([halves.view("<u4"), np.stack(words, axis=1)], axis=1)
    positions = [k for k, c in enumerate(order) if c != NOTHING and p.general[c]]
    return PackedDepthwise(
        tuple(int(c) for c in order),
        common_shift,
        Stream(stream.astype("<u4").tobytes(), len(order)),
        _general(rows, rows.bias, order, positions, None, 0),
        Statistics(
            int(used.sum()), 0, 0, int((p.constant >= 0).sum()), int(p.general.sum())
        ),
    )


def pack_linear(rows: Layer, pairs: Pairs, *, offset: int = 128) -> PackedLinear:
    """Streams of the linear bodies for a tile of ``pairs`` whose values are int8 + ``offset``.

    Packed where every second channel of a pair stays under 2**23 over all inputs, else with a weight a byte.
    Per pair: both biases, weights, END with both shifts, M and C of both.
    """
    assert refuses_linear(rows) is None, "the caller asks refuses_linear first"
    padded = pad_pairs(pairs)
    n, p = len(rows.bias), linear_parameters(rows)
    magnitude = np.where(p.silent, 0, accumulator_reach(rows).magnitude)
    unpacked = bool((magnitude[1::2] >= PACKED_LIMIT).any())
    folded = _folded(rows, offset)
    index = np.arange(n + n % 2)
    weights, bias = _silenced(rows.weights, folded, p.silent)
    first, second = index[::2], index[1::2]
    stream = np.concatenate(
        [
            _biases(bias, np.zeros_like(bias), first, second, 0, unpacked),
            _weight_words(weights, first, second, padded, unpacked),
            _end_words(_with_zero(p.shift), first, second),
            _parameter_words(_with_zero(p.multiplier), _with_zero(p.addend), first, second),
        ],
        axis=1,
    )
    positions = [int(c) for c in np.flatnonzero(p.general)]
    return PackedLinear(
        padded,
        unpacked,
        n,
        Stream(stream.astype("<u4").tobytes(), len(index)),
        _general(rows, folded, range(n), positions, padded, 0),
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
        own.append(plain.pop() if len(plain) > len(stepped) else stepped.pop())
    elif (len(plain) + len(stepped)) % 2:
        plain.append(NOTHING)
    own.sort()
    if len(own) % 2:
        own.append(NOTHING)
    half = (len(plain) + len(stepped)) // 2
    common = np.stack([plain[:half], stepped + plain[half:]], axis=1).reshape(-1)
    return common.astype(np.int64), np.array(own, np.int64)


def _common_stream(
    rows: Layer, p: ReluParameters, bias: Int64Array, channels: Int64Array, pairs: Pairs, unpacked: bool
) -> bytes:
    first, second = channels[::2], channels[1::2]
    weights, kept = _silenced(rows.weights, bias, p.silent)
    scale = UNPACKED_SCALE if unpacked else 0
    stream = [
        _biases(kept, p.bias_step, first, second, scale, unpacked),
        _weight_words(weights, first, second, pairs, unpacked),
        np.full((len(first), 1), END_WORD, np.uint32),
        _parameter_words(_with_zero(p.multiplier), _with_zero(p.addend), first, second),
    ]
    return np.concatenate(stream, axis=1).astype("<u4").tobytes()


def _own_stream(
    rows: Layer, p: ReluParameters, bias: Int64Array, channels: Int64Array, pairs: Pairs, unpacked: bool
) -> bytes:
    first, second = channels[::2], channels[1::2]
    weights, kept = _silenced(rows.weights, bias, p.silent)
    scale = UNPACKED_SCALE if unpacked else 0
    stream = [
        _biases(kept, np.zeros_like(bias), first, second, scale, unpacked),
        _weight_words(weights, first, second, pairs, unpacked),
        _end_words(_with_zero(p.own_shift), first, second),
        _parameter_words(_with_zero(p.own_multiplier), _with_zero(p.own_addend), first, second),
    ]
    return np.concatenate(stream, axis=1).astype("<u4").tobytes()


def _folded(rows: Layer, offset: int) -> Int64Array:
    """The bias for a tile of x + offset instead of x - zero point."""
    return rows.bias - (rows.zero_point + offset) * rows.weights.sum(axis=1)


def _with_zero(values: Int64Array) -> Int64Array:
    """One more row, of zeros: what NOTHING and a missing partner find, as index -1 or n."""
    return np.concatenate([values, np.zeros_like(values[:1])])


def _silenced(weights: Int64Array, bias: Int64Array, silent: BoolArray) -> tuple[Int64Array, Int64Array]:
    return np.where(silent[:, np.newaxis], 0, weights), np.where(silent, 0, bias)


def _words(values: Int64Array) -> WordArray:
    """The low 32 bits."""
    return (values & 0xFFFFFFFF).astype(np.uint32)


def _biases(
    bias: Int64Array, step: Int64Array, first: Int64Array, second: Int64Array, scale: int, unpacked: bool
) -> WordArray:
    """[pairs][2]: what the two accumulators start from. A packed pair's second is 256 * acc1 + acc0 (+ bias_step)."""
    padded, steps = _with_zero(bias), _with_zero(step)
    if unpacked:
        return _words(np.stack([(padded[c] << scale) + steps[c] for c in (first, second)], axis=1))
    return _words(np.stack([padded[first], (padded[second] << 8) + padded[first] + steps[second]], axis=1))


def _weight_words(
    weights: Int64Array, first: Int64Array, second: Int64Array, pairs: Pairs, unpacked: bool
) -> WordArray:
    """[pairs of rows][pairs of columns]: halfwords 256 * w1 + w0 of two columns, or bytes w0, w1, w0', w1'."""
    padded = _with_zero(np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1))
    columns = np.array(pairs, np.int64).reshape(-1)
    w0, w1 = padded[first][:, columns], padded[second][:, columns]
    if unpacked:
        both = np.ascontiguousarray(np.stack([w0, w1], axis=2), np.int8).reshape(len(first), 2 * len(columns))
        return both.view("<u4").astype(np.uint32)
    return np.ascontiguousarray(256 * w1 + w0, "<i2").view("<u4").astype(np.uint32)


def _end_words(shift: Int64Array, first: Int64Array, second: Int64Array) -> WordArray:
    return _words(END_WORD | shift[first] | shift[second] << 8)[:, np.newaxis]


def _parameter_words(multiplier: Int64Array, addend: Int64Array, first: Int64Array, second: Int64Array) -> WordArray:
    """[pairs][4]: M0, C0, M1, C1."""
    return _words(np.stack([multiplier[first], addend[first], multiplier[second], addend[second]], axis=1))


def _general(
    rows: Layer, bias: Int64Array, order: Sequence[int], positions: list[int], pairs: Pairs | None, tile_shift: int
) -> General:
    """Records for the channels at ``positions``; ``pairs`` None: all columns in their own order."""
    channels = np.array([order[p] for p in positions], np.int64)
    padded = np.concatenate([rows.weights, np.zeros_like(rows.weights[:, :1])], axis=1)
    columns = np.arange(rows.weights.shape[1]) if pairs is None else np.array(pairs, np.int64).reshape(-1)
    weights = padded[channels][:, columns].astype(np.int8)
    filled = np.pad(weights, ((0, 0), (0, -weights.shape[1] % 4)))
    words = _words(np.stack([np.array(positions, np.int64), bias[channels], rows.multiplier[channels], rows.shift[channels]], axis=1))  # fmt: skip
    data = np.concatenate([words.astype("<u4").view(np.uint8), filled.view(np.uint8)], axis=1)
    return General(data.tobytes(), tuple(positions), tile_shift)
