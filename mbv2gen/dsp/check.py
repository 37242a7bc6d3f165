# SPDX-License-Identifier: Apache-2.0
"""Packing check of the ``dsp`` family: decodes the streams and proves what the bodies make of them.

Against the quantized network alone: every weight is where the tile's order wants it, every bias starts the right sum,
every channel's requantization is TFLite's over all inputs, every sum stays within what packed pairs, SMMLA and the
saturations hold. Shares no code with packing, solver and ranges; ``check_ranges`` proves the ranges it is given.
All functions raise CheckFailed, naming the layer and the first channel where a proof fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from mbv2gen.dsp import four_bits_decoding
from mbv2gen.dsp.decoding import (
    Decoded,
    decode_common,
    decode_depthwise,
    decode_fully_connected,
    decode_general,
    decode_linear,
    decode_own,
    decode_partial,
)
from mbv2gen.dsp.fully_connected import PackedFullyConnected
from mbv2gen.dsp.packing import PackedDepthwise, PackedLinear, PackedRelu
from mbv2gen.dsp.partial import PackedPartial
from mbv2gen.dsp.proof import (
    INT32,
    Bools,
    Canonical,
    Ints,
    LinearBody,
    ReluBody,
    interval,
    linear_holds,
    relu_holds,
)
from mbv2gen.dsp.range_check import canonical
from mbv2gen.dsp.ranges import Ranges
from mbv2gen.dsp.streams import General, Stream
from mbv2gen.errors import CheckFailed
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QFullyConnected, QuantizedNetwork

Weighted = QConv2D | QDepthwiseConv2D | QFullyConnected

# The shifts by an immediate, as the bodies have them: of packed and unpacked ReLU outputs and of depthwise ones.
PACKED_SHIFT, UNPACKED_SHIFT, DEPTHWISE_SHIFT = 11, 9, 9


def check_relu(network: QuantizedNetwork, operator: Weighted, ranges: Ranges, packed: PackedRelu) -> None:
    """Both streams of a ReLU layer, and its records of the general body."""
    layer = canonical(network, operator, ranges)
    columns = _columns(layer, [c for pair in packed.pairs for c in pair])
    order = _order(layer, packed.order, packed.common.channels + packed.own.channels)
    bits, offset, common_shift = (7, 128, UNPACKED_SHIFT) if packed.unpacked else (8, 0, PACKED_SHIFT)
    if packed.unpacked and packed.own.channels:
        raise CheckFailed(f"packing check: {layer.name}: no body with a weight a byte has shifts of its own")
    if packed.unpacked and packed.four_bits:
        raise CheckFailed(f"packing check: {layer.name}: weights of 4 bits are packed")
    decoded = _decoded_relu(packed, common_shift)
    _prove_relu(layer, order, decoded, columns=columns, offset=offset, bits=bits, general=packed.general)
    decode_general(layer, packed.general, order, columns, offset=offset, tile_shift=bits if packed.unpacked else 0)


def _decoded_relu(packed: PackedRelu, common_shift: int) -> Decoded:
    pairs = len(packed.pairs)
    if packed.four_bits:
        common = four_bits_decoding.decode_common(packed.common.data, pairs, common_shift)
        return _joined(common, four_bits_decoding.decode_own(packed.own.data, pairs))
    return _joined(
        decode_common(packed.common.data, pairs, unpacked=packed.unpacked, shift=common_shift),
        decode_own(packed.own.data, pairs),
    )


def check_depthwise(
    network: QuantizedNetwork, operator: QDepthwiseConv2D, ranges: Ranges, packed: PackedDepthwise
) -> None:
    """The stream of a depthwise layer, and its records of the general body."""
    layer = canonical(network, operator, ranges)
    if layer.zero_point != -128:
        raise CheckFailed(f"packing check: {layer.name}: padding of lines is not the input's zero point")
    order = _order(layer, packed.order, packed.stream.channels)
    decoded, columns = decode_depthwise(packed.stream.data, DEPTHWISE_SHIFT), np.arange(layer.weights.shape[1])
    _prove_relu(layer, order, decoded, columns=columns, offset=-layer.zero_point, bits=8, general=packed.general)
    decode_general(layer, packed.general, order, columns, offset=128)


def check_linear(
    network: QuantizedNetwork, operator: Weighted, ranges: Ranges, packed: PackedLinear, *, offset: int = 128
) -> None:
    """The stream of a linear layer for a tile of int8 + ``offset``, and its records of the general body."""
    layer = canonical(network, operator, ranges)
    n = packed.channels
    if n != len(layer.bias) or (packed.stream.channels, packed.rest.channels) != (n - n % 2, 2 * (n % 2)):
        raise CheckFailed(f"packing check: {layer.name}: not every channel is stored")
    order = np.append(np.arange(n - n % 2), [n - 2, n - 1] * (n % 2)).astype(np.int64)
    columns = _columns(layer, [c for pair in packed.pairs for c in pair])
    parts = [_decoded_linear(packed, stream) for stream in (packed.stream, packed.rest) if stream.channels]
    if any(centre != 2 * layer.output_zero_point + 1 for _, centre in parts):
        raise CheckFailed(f"packing check: {layer.name}: wrong zero point")
    decoded = _joined(*(part for part, _ in parts))
    rows = _rows(layer, order)
    _require(layer, decoded.ends, "END word", order)
    silent = (decoded.weights == 0).all(axis=1)
    _require(layer, silent | (decoded.weights == _at(rows.weights, columns)).all(axis=1), "weights", order)
    units = (1, 1) if packed.unpacked else four_bits_decoding.LINEAR_UNIT if packed.four_bits else (1, 256)
    unit = np.array(units)[np.arange(len(order)) % 2]
    folded = rows.bias - (layer.zero_point + offset) * rows.weights.sum(axis=1)
    start = _int32(decoded.start - np.where(silent, 0, unit * folded))
    _require(layer, silent | (start == 0), "bias", order)
    _require(layer, start % unit == 0, "bias", order)
    sums = np.where(silent, np.abs(start), np.maximum(-rows.low, rows.high) * unit)
    _require(layer, sums < INT32, "bound of a packed pair", order)
    body = LinearBody(
        np.where(silent, 0, 1), start // unit, decoded.multiplier, decoded.addend, decoded.shift, -128, 127
    )
    general = np.isin(order, packed.general.positions)
    _require(layer, linear_holds(rows, body) | general, "requantization", order)
    _require(layer, ~general | silent, "general channel, not silent in the fast body", order)
    decode_general(layer, packed.general, np.arange(n), columns, offset=offset)


def _decoded_linear(packed: PackedLinear, stream: Stream) -> tuple[Decoded, int]:
    if packed.four_bits:
        return four_bits_decoding.decode_linear(stream.data, len(packed.pairs), unpacked=packed.unpacked)
    return decode_linear(stream.data, len(packed.pairs), unpacked=packed.unpacked)


def check_partial(network: QuantizedNetwork, operator: Weighted, ranges: Ranges, packed: PackedPartial) -> None:
    """The streams of a linear layer whose columns come in groups: each group's part of a packed pair keeps to 24 bits,
    biases are there once, and the requantization of their sum."""
    layer = canonical(network, operator, ranges)
    n = packed.outputs
    order = _order(layer, [*range(n), *(-1,) * (n % 2)], n + n % 2)
    rows, is_second = _rows(layer, order), np.arange(len(order)) % 2 == 1
    parts = [decode_partial(s.data, len(pairs)) for s, pairs in zip(packed.streams, packed.pairs, strict=True)]
    of_group = [np.array(pairs, np.int64).reshape(-1) for pairs in packed.pairs]
    _columns(layer, np.concatenate(of_group).tolist())
    silent = np.all([(part.weights == 0).all(axis=1) for part in parts], axis=0)
    unit = np.where(is_second, 256, 1)
    folded = rows.bias - (layer.zero_point + 128) * rows.weights.sum(axis=1)
    start = _int32(parts[0].start - np.where(silent, 0, unit * folded))
    _require(layer, (silent | (start == 0)) & (start % unit == 0), "bias", order)
    for number, (part, columns) in enumerate(zip(parts, of_group, strict=True)):
        _require(layer, part.ends, "END word", order)
        _require(layer, silent | (part.weights == _at(rows.weights, columns)).all(axis=1), "weights", order)
        _require(layer, (part.start == 0) | (number == 0), "bias behind the first group", order)
        low, high = (np.append(end + 128, 0)[columns] for end in (layer.input_low, layer.input_high))
        least, most = interval(part.weights, low, high)
        bias = np.where(silent, start // unit, folded) if number == 0 else np.zeros_like(folded)
        worst = np.maximum(-(least + bias), most + bias)
        _require(layer, (worst < 1 << 23) | ~is_second, "bound of a packed pair within a group", order)
    multiplier, shift = (np.array(v, np.int64) for v in (packed.multiplier, packed.shift))
    sums = LinearBody(
        np.where(silent, 0, 1)[:n],
        (start // unit)[:n],
        multiplier,
        np.int64(packed.centre) << (shift - 1),
        shift,
        -128,
        127,
    )
    if packed.centre != 2 * layer.output_zero_point + 1:
        raise CheckFailed(f"packing check: {layer.name}: wrong zero point")
    _require(layer, linear_holds(layer, sums), "requantization", range(n))


def check_fully_connected(
    network: QuantizedNetwork, operator: Weighted, ranges: Ranges, packed: PackedFullyConnected
) -> None:
    """The stream of a fully connected layer: each part between folds keeps to 24 bits, and the requantization."""
    layer = canonical(network, operator, ranges)
    n = packed.outputs
    order = _order(layer, [*range(n), *(-1,) * (packed.stream.channels - n)], n + -n % 8)
    columns = _columns(layer, packed.columns)
    decode = four_bits_decoding.decode_fully_connected if packed.four_bits else decode_fully_connected
    weights, start = decode(packed.stream.data, len(columns))
    rows = _rows(layer, order)
    folded = rows.bias - (layer.zero_point + 128) * rows.weights.sum(axis=1)
    is_odd = np.arange(len(order)) % 2 == 1
    unit = np.where(is_odd & (not packed.four_bits), 256, 1)
    _require(layer, (weights == _at(rows.weights, columns)).all(axis=1), "weights", order)
    _require(layer, _int32(start - unit * folded) == 0, "bias", order)
    low, high = (np.append(end + 128, 0)[columns] for end in (layer.input_low, layer.input_high))
    edges = [0, *packed.folds, len(columns)]
    for begin, end in itertools.pairwise(edges):
        if end <= begin or begin % 8 or end % 8:
            raise CheckFailed(f"packing check: {layer.name}: no fold can stand at column {end}")
        least, most = interval(weights[:, begin:end], low[begin:end], high[begin:end])
        bias = folded if begin == 0 and not packed.four_bits else np.zeros_like(folded)
        worst = np.maximum(-(least + bias), most + bias)
        _require(layer, (worst < 1 << 23) | (is_odd == packed.four_bits), "bound of a packed pair between folds", order)
    multiplier, shift = (np.array(v, np.int64) for v in (packed.multiplier, packed.shift))
    addend = np.int64(packed.centre) << (shift - 1)
    body = LinearBody(
        np.ones(n, np.int64), np.zeros(n, np.int64), multiplier, addend, shift, layer.act_min, layer.act_max
    )
    _require(layer, linear_holds(layer, body), "requantization", range(n))


def _prove_relu(
    layer: Canonical, order: Ints, decoded: Decoded, *, columns: Ints, offset: int, bits: int, general: General
) -> None:
    """y = acc << bits and what the bias adds; silent channels (weights 0) give a constant, of a tile of int8 +
    ``offset``. What the general body overwrites must be 0: it may also be added to."""
    rows = _rows(layer, order)
    _require(layer, decoded.ends, "END word or structure", order)
    silent = (decoded.weights == 0).all(axis=1)
    _require(layer, silent | (decoded.weights == _at(rows.weights, columns)).all(axis=1), "weights", order)
    folded = rows.bias - (layer.zero_point + offset) * rows.weights.sum(axis=1)
    start = _int32(decoded.start - np.where(silent, 0, folded << bits))
    scale = np.where(silent, 0, 1 << bits)
    body = ReluBody(scale, start, decoded.multiplier, decoded.addend, decoded.shift)
    elsewhere = _is_general(order, general)
    _require(layer, relu_holds(rows, body) | elsewhere | (order < 0), "requantization", order)
    nothing = silent & (decoded.multiplier == 0) & (decoded.addend == 0)
    _require(layer, ~(elsewhere | (order < 0)) | nothing, "channel that is to be silent", order)


def _joined(*parts: Decoded) -> Decoded:
    weights, start, multiplier, addend, shift, ends = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("weights", "start", "multiplier", "addend", "shift", "ends")
    )
    return Decoded(weights, start, multiplier, addend, shift, ends)


def _rows(layer: Canonical, order: Ints) -> Canonical:
    """The channels of ``layer`` at positions; -1: no channel, its output is int8 -128 for whatever reason."""

    def taken(values: Ints, nothing: int = 0) -> Ints:
        return np.concatenate([values, np.full_like(values[:1], nothing)])[order]

    return Canonical(
        layer.name,
        taken(layer.weights),
        taken(layer.bias),
        taken(layer.multiplier),
        taken(layer.shift),
        layer.zero_point,
        layer.output_zero_point,
        layer.act_min,
        layer.act_max,
        layer.input_low,
        layer.input_high,
        taken(layer.low),
        taken(layer.high),
    )


def _at(weights: Ints, columns: Ints) -> Ints:
    return np.concatenate([weights, np.zeros_like(weights[:, :1])], axis=1)[:, columns]


def _is_general(order: Ints, general: General) -> Bools:
    found = np.zeros(len(order), bool)
    found[list(general.positions)] = True
    return found


def _order(layer: Canonical, order: Sequence[int], stored: int) -> Ints:
    """``order`` as an array, if every channel stands in it once and it has as many positions as the streams."""
    found = np.array(order, np.int64)
    if len(found) != stored or not np.array_equal(np.sort(found[found >= 0]), np.arange(len(layer.bias))):
        raise CheckFailed(f"packing check: {layer.name}: not every channel is stored once")
    return found


def _columns(layer: Canonical, columns: Sequence[int]) -> Ints:
    found = np.array(columns, np.int64)
    if not np.array_equal(np.sort(found[found >= 0]), np.arange(layer.weights.shape[1])):
        raise CheckFailed(f"packing check: {layer.name}: not every input is multiplied once")
    return found


def _int32(values: Ints) -> Ints:
    """Modulo 2**32, the one nearest to 0."""
    return (values + INT32 & 0xFFFFFFFF) - INT32


def _require(layer: Canonical, holds: Bools, what: str, order: Sequence[int] | Ints) -> None:
    bad = np.flatnonzero(~holds)
    if bad.size:
        raise CheckFailed(f"packing check: {layer.name}: channel {order[bad[0]]} (position {bad[0]}): wrong {what}")
