# SPDX-License-Identifier: Apache-2.0
"""The bodies of the ``dsp`` family in NumPy: they read the streams word by word and wrap modulo 2**32, as SMLAD does.

Inputs are x, int8 [m][k] (depthwise [m][9][n]): m draws of what an output channel multiplies, in the network's order.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen import int8_reference
from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.dsp.fully_connected import PackedFullyConnected
from mbv2gen.dsp.packing import PackedDepthwise, PackedLinear, PackedRelu
from mbv2gen.dsp.partial import PackedPartial
from mbv2gen.dsp.ranges import Layer
from mbv2gen.dsp.streams import General, Stream
from mbv2gen.network import Window
from mbv2gen.quantized_network import QFullyConnected, QuantizedNetwork

Ints = NDArray[np.int64]

PACKED_SHIFT, UNPACKED_SHIFT, DEPTHWISE_SHIFT = 11, 9, 9  # the common shifts of the bodies


def reference(network: QuantizedNetwork, operator, x: Ints) -> Ints:
    """int8 [m][n]: what the int8 reference makes of ``x`` (windows as images of their own, without padding)."""
    x = x.astype(np.int8)
    if isinstance(operator, QFullyConnected):
        return int8_reference.evaluate_operator(network, operator, [x[:, None, None]])[:, 0, 0]
    h, w = operator.window.kernel_h, operator.window.kernel_w
    images = x.reshape(len(x), h, w, -1)
    valid = replace(operator, window=Window(h, w))
    return int8_reference.evaluate_operator(network, valid, [images])[:, 0, 0]


def draws(layer: Layer, rng: np.random.Generator, m: int = 24) -> Ints:
    """Inputs within the layer's reach: at random, and those that take channels to the ends of their accumulators."""
    low, high = layer.inputs.low, layer.inputs.high
    depthwise = low.ndim == 2
    if depthwise:
        low, high = np.broadcast_to(low.T, (9, len(low))), np.broadcast_to(high.T, (9, len(high)))
    x = rng.integers(low, high + 1, (m, *low.shape))
    if depthwise:
        up = layer.weights.T > 0
        return np.concatenate([x, np.where(up, high, low)[None], np.where(up, low, high)[None]])
    up = layer.weights[rng.permutation(len(layer.weights))[:12]] > 0
    return np.concatenate([x, np.where(up, high, low), np.where(up, low, high)])


def run_relu(layer: Layer, packed: PackedRelu, x: Ints) -> Ints:
    """int8 [m][n] of a ReLU layer, general body included."""
    offset, shift = (128, 7) if packed.unpacked else (0, 0)
    tile = _tile((x + offset) << shift, packed.pairs)
    common_shift = UNPACKED_SHIFT if packed.unpacked else PACKED_SHIFT
    written = [
        _common_relu(packed.common, tile, packed.unpacked, common_shift),
        _own_relu(packed.own, tile),
    ]
    out = np.concatenate(written, axis=1)
    assert (out[:, list(packed.general.positions)] == 0).all(), "pool sums: the fast body must add nothing there"
    _overwrite(layer, out, packed.general, tile, offset=128)
    return _canonical(out - 128, packed.order, len(layer.bias))


def run_depthwise(layer: Layer, packed: PackedDepthwise, x: Ints) -> Ints:
    """int8 [m][n] of a depthwise layer from lines of uint8."""
    lines = np.concatenate([x + 128, np.zeros_like(x[:, :, :1])], axis=2)[:, :, list(packed.order)]  # [m][9][positions]
    words = np.frombuffer(packed.stream.data, "<u4").reshape(-1, 5)
    weights = np.frombuffer(words[:, 2:].tobytes(), "i1").reshape(-1, 3, 4).astype(np.int64) << 8
    bias, multiplier = (words[:, k].astype(np.int32).astype(np.int64) for k in (0, 1))
    acc = bias + np.zeros((len(x), 1), np.int64)
    for row in range(3):
        pixels = lines[:, 3 * row : 3 * row + 3]
        acc = acc + sum(weights[:, row, byte] * pixels[:, k] for k, byte in enumerate((0, 1, 3)))
        assert (weights[:, row, 1] == weights[:, row, 2]).all()
    out = (_wrapped(acc) * multiplier >> 32 >> DEPTHWISE_SHIFT).clip(0, 255)
    for k, (position, channel_bias, m, s, weights) in enumerate(_records(packed.general, 9)):
        assert position == packed.general.positions[k]
        total = channel_bias + lines[:, :, position] @ weights
        out[:, position] = _requantized(layer, total, m, s) + 128
    return _canonical(out - 128, packed.order, len(layer.bias))


def run_linear(layer: Layer, packed: PackedLinear, x: Ints, offset: int) -> Ints:
    """int8 [m][n] of a linear layer: two calls where the channels are odd in number."""
    tile = _tile(x + offset, packed.pairs)
    n = len(layer.bias)
    out = np.zeros((len(x), n), np.int64)
    for stream, first in ((packed.stream, 0), (packed.rest, n - 2)):
        if stream.channels:
            out[:, first : first + stream.channels] = _linear(stream, tile, packed.unpacked)
    _overwrite(layer, out, packed.general, tile, offset=0)
    return out


def run_partial(packed: PackedPartial, x: Ints) -> Ints:
    """int8 [m][n] of a linear layer whose columns come in groups: int32 sums from group to group, then the shifts."""
    sums = np.zeros((len(x), packed.outputs + packed.outputs % 2), np.int64)
    for pairs, stream in zip(packed.pairs, packed.streams, strict=True):
        tile = _tile(x + 128, pairs)
        words = _words(stream, len(pairs) + 3, stream.channels)
        a, b, _ = _accumulate(words, 2, tile, unpacked=False)
        a, b = _wrapped(a + _signed(words[:, 0])), _wrapped(b + _signed(words[:, 1]))
        sums = _wrapped(sums + np.stack([a, _wrapped(b - a) >> 8], axis=2).reshape(len(x), -1))
    multiplier, shift = (np.array(v) for v in (packed.multiplier, packed.shift))
    out = _smmlar(sums[:, : packed.outputs], multiplier, packed.centre << (shift - 1), shift)
    return out.clip(-128, 127)


def run_fully_connected(layer: Layer, packed: PackedFullyConnected, x: Ints) -> Ints:
    """int8 [m][n]: eight accumulators a turn, folded where x says so, requantized in C."""
    values = np.concatenate([x + 128, np.full_like(x[:, :1], -128)], axis=1)
    columns = np.where(np.array(packed.columns) < 0, x.shape[1], packed.columns)
    values = np.where(np.array(packed.columns) < 0, 0, values[:, columns])
    k = len(columns)
    words = np.frombuffer(packed.stream.data, "<u4").reshape(-1, 8 + 2 * k)
    results = []
    for group in words:
        halves = group[8:].view("<i2").astype(np.int64).reshape(k // 2, 4, 2)
        sums = np.broadcast_to(group[:8].astype(np.int64), (len(x), 8)).copy()
        total = np.zeros((len(x), 4), np.int64)
        edges = [0, *packed.folds, k]
        for begin, end in itertools.pairwise(edges):
            pixels = values[:, begin:end].reshape(len(x), -1, 2)
            part = halves[begin // 2 : end // 2]
            sums[:, 0::2] += np.einsum("mkj,kcj->mc", pixels, _low_byte(part))
            sums[:, 1::2] += np.einsum("mkj,kcj->mc", pixels, part)
            total += _wrapped(sums[:, 1::2] - sums[:, 0::2]) >> 8
            sums[:, 1::2] = sums[:, 0::2]
        results.append(np.stack([_wrapped(sums[:, 0::2]), total], axis=2).reshape(len(x), 8))
    acc = np.concatenate(results, axis=1)[:, : packed.outputs]
    multiplier, shift = (np.array(v) for v in (packed.multiplier, packed.shift))
    return _smmlar(acc, multiplier, packed.centre << (shift - 1), shift).clip(layer.act_min, layer.act_max)


def _tile(values: Ints, pairs) -> Ints:
    """[m][pair][2]; what a pair of NOTHING holds is anything."""
    columns = np.array(pairs)
    filled = np.concatenate([values, np.full_like(values[:, :1], 0x1234)], axis=1)
    return filled[:, columns]


def _accumulate(words: Ints, lead: int, tile: Ints, unpacked: bool):
    """(even, odd) sums [m][pairs of channels] without their biases; END words. ``lead`` words stand before weights."""
    pairs = tile.shape[1]
    block = np.ascontiguousarray(words[:, lead : lead + pairs])
    assert (block.view("<i4") >= -0x7F800000).all(), "an END word among the weights"
    if unpacked:
        quads = block.view("i1").astype(np.int64).reshape(len(words), pairs, 2, 2)
        first, second = quads[..., 0], quads[..., 1]
    else:
        second = block.view("<i2").astype(np.int64).reshape(len(words), pairs, 2)
        first = _low_byte(second)
    flat = tile.reshape(len(tile), -1)
    a = flat @ first.reshape(len(words), 2 * pairs).T
    b = flat @ second.reshape(len(words), 2 * pairs).T
    end = words[:, lead + pairs]
    assert (end >> 23 == 0x100).all(), "no END word"
    return a, b, end.astype(np.int64)


def _words(stream: Stream, columns: int, channels: int):
    words = np.frombuffer(stream.data, "<u4").reshape(-1, columns)
    assert 2 * len(words) == channels
    return words


def _signed(words) -> Ints:
    return np.ascontiguousarray(words).view("<i4").astype(np.int64)


def _common_relu(stream: Stream, tile: Ints, unpacked: bool, shift: int) -> Ints:
    """uint8 [m][channels]."""
    lead = 2 if unpacked else 1
    words = _words(stream, lead + tile.shape[1] + 3, stream.channels)
    a, b, end = _accumulate(words, lead, tile, unpacked)
    if unpacked:
        ys = a + _signed(words[:, 0]), b + _signed(words[:, 1])
    else:
        ys = (a << 8) + 2 * ((end & 0x7FFFFF ^ 1 << 22) - (1 << 22)), b - a + _signed(words[:, 0])
    out = [
        (_wrapped(y) * multiplier >> 32 >> shift).clip(0, 255)
        for y, multiplier in zip(ys, _signed(words[:, -2:]).T, strict=True)
    ]
    return np.stack(out, axis=2).reshape(len(tile), stream.channels)


def _own_relu(stream: Stream, tile: Ints) -> Ints:
    """uint8 [m][channels]."""
    words = _words(stream, tile.shape[1] + 7, stream.channels)
    a, b, end = _accumulate(words, 2, tile, unpacked=False)
    a, b = _wrapped(a + _signed(words[:, 0])), _wrapped(b + _signed(words[:, 1]))
    a, b = _wrapped(a << 8), _wrapped(b - a)
    parameters = _signed(words[:, -4:])
    out = []
    for half, y in enumerate((a, b)):
        v = _wrapped((y * parameters[:, 2 * half] >> 32) + parameters[:, 2 * half + 1])
        out.append((v >> (end >> 8 * half & 0xFF)).clip(0, 255))
    return np.stack(out, axis=2).reshape(len(tile), stream.channels)


def _linear(stream: Stream, tile: Ints, unpacked: bool) -> Ints:
    """int8 [m][channels]."""
    centre = int(_signed(np.frombuffer(stream.data[:4], "<u4"))[0])
    words = _words(Stream(stream.data[4:], stream.channels), tile.shape[1] + 5, stream.channels)
    a, b, end = _accumulate(words, 2, tile, unpacked)
    a, b = _wrapped(a + _signed(words[:, 0])), _wrapped(b + _signed(words[:, 1]))
    if not unpacked:
        b = _wrapped(b - a) >> 8
    multipliers = _signed(words[:, -2:]).T
    out = []
    for half, (y, multiplier) in enumerate(zip((a, b), multipliers, strict=True)):
        shift = (end >> 8 * half) & 0xFF
        out.append(_smmlar(y, multiplier, centre << shift, shift + 1))
    return np.stack(out, axis=2).reshape(len(tile), stream.channels).clip(-128, 127)


def _smmlar(acc: Ints, multiplier: Ints, addend: Ints, shift: Ints) -> Ints:
    t = addend + (acc >> 63)
    return _wrapped(((t << 32) + _wrapped(2 * acc) * multiplier + (1 << 31)) >> 32) >> shift


def _records(general: General, columns: int):
    size = 16 + columns + -columns % 4
    for start in range(0, len(general.data), size):
        head = np.frombuffer(general.data[start : start + 16], "<i4").astype(np.int64)
        weights = np.frombuffer(general.data[start + 16 : start + 16 + columns], np.int8).astype(np.int64)
        yield int(head[0]), head[1], head[2], head[3], weights


def _overwrite(layer: Layer, out: Ints, general: General, tile: Ints, *, offset: int) -> None:
    flat = tile.reshape(len(tile), -1)
    for position, bias, multiplier, shift, weights in _records(general, flat.shape[1]):
        total = bias + (flat @ weights >> general.tile_shift)
        out[:, position] = _requantized(layer, total, multiplier, shift) + offset


def _requantized(layer: Layer, acc: Ints, multiplier, shift) -> Ints:
    scaled = multiply_by_quantized_multiplier(_wrapped(acc), multiplier, shift)
    return (scaled + layer.output_zero_point).clip(layer.act_min, layer.act_max)


def _canonical(out: Ints, order: tuple[int, ...], channels: int) -> Ints:
    result = np.full((len(out), channels), 999, np.int64)
    for position, channel in enumerate(order):
        if channel >= 0:
            result[:, channel] = out[:, position]
        else:
            assert (out[:, position] == -128).all(), "a position without a channel must stay 0 in uint8"
    return result


def _low_byte(halves: Ints) -> Ints:
    return ((halves + 128) & 0xFF) - 128


def _wrapped(values: Ints) -> Ints:
    return ((values + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
