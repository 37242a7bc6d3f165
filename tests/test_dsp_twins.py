# SPDX-License-Identifier: Apache-2.0
"""The C twins of the dsp bodies compute what mbv2_dsp_bodies.h says, on streams packed here by hand.

The oracle is mbv2gen.arithmetic (TFLite's two roundings) over int64 sums, or the floor that a body with the common
shift is meant to compute (test_dsp_packing.py shows that TFLite's comes out of that); nothing of the packers is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from dsp_programs import called, twin_library
from numpy.typing import NDArray

from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.dsp.tiles import NOTHING, STEM1_PAIRS, STEM3_PAIRS, Pairs, byte_pairs, expand_pairs
from mbv2gen.hardware import toolchain

Array = NDArray[np.int64]
Bytes = NDArray[np.uint8]

pytestmark = pytest.mark.skipif(toolchain.find_host_compiler() is None, reason=toolchain.HOST_HELP)

PLACE = (0, 2, 1, 3)  # of pixels in a line's word
SEVERAL_PIXELS = pytest.mark.parametrize("pixels", [4, 3, 2, 1])


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """call(body, arguments...), as dsp_programs.called."""
    return partial(called, twin_library(tmp_path_factory.mktemp("twins")))


class _DwRows(ctypes.Structure):
    _fields_ = (("stream", ctypes.c_void_p), ("tile", ctypes.c_void_p), ("group_bytes", ctypes.c_int32),
                ("line_step", ctypes.c_int32), ("stream_end", ctypes.c_void_p), ("span", ctypes.c_int32))  # fmt: skip


def little_endian(values: list[int]) -> bytes:
    return np.array([int(v) & 0xFFFFFFFF for v in values], dtype="<u4").tobytes()


def pair_words(weights: Array, pairs: Pairs, packed: bool) -> list[int]:
    """Words of two output channels, [2][K]; a multiple of four of them where the stem's is not meant."""
    wide = np.concatenate([weights, np.zeros((2, 1), np.int64)], axis=1)  # column NOTHING = -1
    words = []
    for k, m in pairs:
        (a, b), (c, d) = wide[:, k], wide[:, m]
        if packed:
            words.append((256 * b + a) & 0xFFFF | ((256 * d + c) & 0xFFFF) << 16)
        else:
            words.append(a & 255 | (b & 255) << 8 | (c & 255) << 16 | (d & 255) << 24)
    return [int(w) for w in words] + [0] * (-len(words) % 4 if len(pairs) % 4 != 2 else 0)


def own_stream(weights: Array, bias: Array, parameters: list[tuple[int, int, int]], pairs: Pairs) -> Bytes:
    """``parameters``: (shift byte, M, C) a channel."""
    words: list[int] = []
    for c in range(0, len(weights), 2):
        words += [int(bias[c]), 256 * int(bias[c + 1]) + int(bias[c])]
        words += pair_words(weights[c : c + 2], pairs, packed=True)
        words.append(0x80000000 | parameters[c][0] | parameters[c + 1][0] << 8)
        words += [v for p in parameters[c : c + 2] for v in p[1:]]
    return np.frombuffer(little_endian(words), np.uint8).copy()


def linear_stream(
    weights: Array, bias: Array, multiplier: Array, rs: Array, zero_point: int, pairs: Pairs, packed: bool
) -> Bytes:
    words = [2 * zero_point + 1]
    for c in range(0, len(weights), 2):
        b0, b1 = int(bias[c]), int(bias[c + 1])
        words += [b0, 256 * b1 + b0 if packed else b1]
        words += pair_words(weights[c : c + 2], pairs, packed)
        words.append(0x80000000 | int(rs[c]) - 1 | int(rs[c + 1]) - 1 << 8)
        words += [int(m) for m in multiplier[c : c + 2]]
    return np.frombuffer(little_endian(words), np.uint8).copy()


def common_stream(weights: Array, start: Array, multiplier: int, pairs: Pairs, packed: bool) -> Bytes:
    """``start``: biases in y."""
    words: list[int] = []
    for c in range(0, len(weights), 2):
        s0, s1 = int(start[c]), int(start[c + 1])
        words += [s1] if packed else [s0, s1]
        words += pair_words(weights[c : c + 2], pairs, packed)
        words += [0x80000000 | (s0 >> 1) & 0x7FFFFF if packed else 0x80000000, multiplier, multiplier]
    return np.frombuffer(little_endian(words), np.uint8).copy()


def floor_relu(acc: Array, start: Array, multiplier: Array | int, scale: int, shift: int) -> Array:
    """uint8: what USAT8(SMMUL(y, M) >> shift) is, y = acc << scale, the start added."""
    return np.clip(((acc << scale) + start) * multiplier >> 32 >> shift, 0, 255)


def own_shift(multiplier: int, rs: int, scale: int) -> tuple[int, int, int]:
    s = rs + scale - 1
    return s, multiplier, (1 << (s - 1)) + (1 << (s - 1 - rs))


def relu(acc: Array, multiplier: Array, rs: Array) -> Array:
    """uint8 outputs of [pixels][channels] accumulators."""
    return np.clip(multiply_by_quantized_multiplier(acc, multiplier, -rs), 0, 255)


def layer(seed: int, channels: int, inputs: int, extreme: bool = False) -> tuple[Array, Array, Array, Array]:
    """Weights, bias, multipliers, right shifts such that outputs spread over the range."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (channels, inputs))
    if extreme:
        weights = np.where(weights > 0, 127, -127)
    bias = rng.integers(-3000, 8000, channels)
    rs = rng.integers(4, 9, channels) + int(np.log2(inputs) / 2)
    return weights, bias, rng.integers(1 << 30, 1 << 31, channels), rs


def from_lines(lines: Bytes, channels: int, pixels: int) -> Array:
    """[pixels][channels]; the other bytes of each word must be 0."""
    words = lines.reshape(channels, 4)
    assert not words[:, list(PLACE[pixels:])].any()
    return words[:, list(PLACE[:pixels])].T.astype(np.int64)


def tile_of_neighbours(x: Array) -> Array:
    """[pixels][inputs] -> int16 [pairs of neighbours, filled up to 4 n][4][2]."""
    pixels, inputs = x.shape
    tile = np.zeros((-(-inputs // 8) * 4, 4, 2), np.int16)
    for k in range(inputs):
        tile[k // 2, :pixels, k % 2] = x[:, k]
    return tile


def to_lines(values: Array, step: int) -> Bytes:
    """[channels][width] uint8 -> lines ``step`` bytes apart, what fills up 0."""
    channels, width = values.shape
    padded = np.zeros((channels, -(-width // 4) * 4), np.uint8)
    padded[:, :width] = values
    lines = np.zeros((channels, step), np.uint8)
    lines[:, : padded.shape[1]] = padded.reshape(channels, -1, 4)[:, :, [0, 2, 1, 3]].reshape(channels, -1)
    return lines


@SEVERAL_PIXELS
@pytest.mark.parametrize(("inputs", "channels"), [(24, 10), (16, 2), (12, 4)])
def test_packed_relu_with_own_shifts_is_tflites_convolution(
    call: Callable[..., None], pixels: int, inputs: int, channels: int
) -> None:
    weights, bias, multiplier, rs = layer(1, channels, inputs)
    x = np.random.default_rng(2).integers(-128, 128, (pixels, inputs)).astype(np.int8)
    parameters = [own_shift(int(m), int(r), 8) for m, r in zip(multiplier, rs, strict=True)]
    stream = own_stream(weights, bias, parameters, expand_pairs(inputs))
    tile, out = np.zeros(inputs * 8 + 48, np.uint8), np.zeros(4 * channels, np.uint8)
    call(f"expand_tile{pixels}", x, inputs, tile, (tile, inputs * 8))
    call(f"pw_relu{pixels}_sh", stream, tile, out, 4, (out, out.size))
    expected = relu(x.astype(np.int64) @ weights.T + bias, multiplier, rs)
    np.testing.assert_array_equal(from_lines(out, channels, pixels), expected)
    assert np.count_nonzero((expected > 0) & (expected < 255)) > 0


@SEVERAL_PIXELS
@pytest.mark.parametrize(("body", "inputs"), [("relu", 32), ("relu_x", 8), ("stem", 36), ("gap", 16)])
def test_relu_with_the_common_shift_is_a_floor_of_a_sum_with_a_fine_bias(
    call: Callable[..., None], pixels: int, body: str, inputs: int
) -> None:
    channels, packed = 6, body != "relu_x"
    scale, shift, offset = (8, 11, 0) if packed else (7, 9, 128)
    weights, _, _, _ = layer(5, channels, inputs)
    rng = np.random.default_rng(6)
    start, multiplier = rng.integers(-1 << 20, 1 << 20, channels) * 4, 40_000_003 if packed else 20_000_003
    x = rng.integers(-128, 128, (pixels, inputs)).astype(np.int8)
    stream = common_stream(weights, start, multiplier, expand_pairs(inputs), packed)
    tile = np.zeros(inputs * 8, np.uint8)
    call(f"expand_tile{'' if packed else '_s'}{pixels}", x, inputs, tile, (tile, tile.size))
    expected = floor_relu((x.astype(np.int64) + offset) @ weights.T, start, multiplier, scale, shift)
    assert np.count_nonzero((expected > 0) & (expected < 255)) > 0
    name, suffix = body.removesuffix("_x"), "" if packed else "_x"
    if body == "gap":
        sums = np.arange(channels, dtype=np.int32)
        call(f"pw_gap{pixels}", stream, tile, sums, 0, (sums, sums.nbytes))
        np.testing.assert_array_equal(sums, np.arange(channels) + expected.sum(axis=0))
        return
    out = np.zeros(4 * channels, np.uint8)
    call(f"pw_{name}{pixels}{suffix}", stream, tile, out, 4, (out, out.size))
    np.testing.assert_array_equal(from_lines(out, channels, pixels), expected)


@SEVERAL_PIXELS
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("inputs", "channels"), [(40, 7), (16, 8), (7, 3)])
@pytest.mark.parametrize("zero_point", [-128, 5, 127])
def test_linear_is_tflites_convolution_for_any_zero_point_and_odd_channels(
    call: Callable[..., None], *, pixels: int, packed: bool, inputs: int, channels: int, zero_point: int
) -> None:
    weights, bias, multiplier, rs = layer(7, channels, inputs)
    x = np.random.default_rng(8).integers(0, 256, (pixels, inputs))
    tile = tile_of_neighbours(x)
    out = np.full((pixels, channels), 99, np.int8)
    even = channels // 2 * 2
    name = f"pw_lin{pixels}" + ("" if packed else "_x")
    for first, last in ((0, even), *(((channels - 2, channels),) if channels > even else ())):
        part = slice(first, last)
        stream = linear_stream(
            weights[part], bias[part], multiplier[part], rs[part], zero_point, byte_pairs(inputs), packed
        )
        call(name, stream, tile, (out, first), channels, (out, last))
    acc = x @ weights.T + bias
    expected = np.clip(multiply_by_quantized_multiplier(acc, multiplier, -rs) + zero_point, -128, 127)
    np.testing.assert_array_equal(out, expected)


@SEVERAL_PIXELS
@pytest.mark.parametrize(("sizes", "channels"), [((40,), 8), ((16, 8, 7), 6)])
def test_groups_of_inputs_add_up_to_the_accumulators(
    call: Callable[..., None], *, pixels: int, sizes: tuple[int, ...], channels: int
) -> None:
    """Each pixel's sums stand in a row of their own, two words apart; what stands between stays."""
    weights, bias, *_ = layer(7, channels, sum(sizes))
    x = np.random.default_rng(8).integers(0, 256, (pixels, sum(sizes)))
    sums = np.full((pixels, channels + 2), 5, np.int32)
    first = 0
    for size in sizes:
        columns = slice(first, first + size)
        words: list[int] = []
        for c in range(0, channels, 2):
            b0, b1 = (int(v) for v in bias[c : c + 2]) if first == 0 else (0, 0)
            words += [b0, 256 * b1 + b0, *pair_words(weights[c : c + 2, columns], byte_pairs(size), packed=True)]
            words.append(0x80000000)
        stream = np.frombuffer(little_endian(words), np.uint8).copy()
        tile = tile_of_neighbours(x[:, columns])
        call(f"pw_part{pixels}", stream, tile, sums, 4 * (channels + 2), (sums, 4 * channels))
        first += size
    np.testing.assert_array_equal(sums[:, :channels], 5 + x @ weights.T + bias)
    assert (sums[:, channels:] == 5).all()


@SEVERAL_PIXELS
def test_pool_sums_add_the_saturated_outputs(call: Callable[..., None], pixels: int) -> None:
    inputs, channels = 16, 6
    weights, bias, multiplier, rs = layer(9, channels, inputs)
    x = np.random.default_rng(10).integers(-128, 128, (pixels, inputs)).astype(np.int8)
    parameters = [own_shift(int(m), int(r), 8) for m, r in zip(multiplier, rs, strict=True)]
    stream = own_stream(weights, bias, parameters, expand_pairs(inputs))
    tile, sums = np.zeros(inputs * 8, np.uint8), np.arange(channels, dtype=np.int32) * 1000
    call(f"expand_tile{pixels}", x, inputs, tile, (tile, tile.size))
    call(f"pw_gap{pixels}_sh", stream, tile, sums, 0, (sums, sums.nbytes))
    expected = relu(x.astype(np.int64) @ weights.T + bias, multiplier, rs).sum(axis=0)
    np.testing.assert_array_equal(sums, np.arange(channels) * 1000 + expected)


@pytest.mark.parametrize(("body", "lead", "depth"), [
    ("im2col3_lead0", 0, 3), ("im2col3_lead1", 1, 3), ("im2col3_bytes", 0, 3),
    *((f"im2col1_lead{lead}", lead, 1) for lead in range(4)), ("im2col1_bytes", 0, 1),
])  # fmt: skip
def test_im2col_and_the_stem_are_a_convolution_of_stride_2(
    call: Callable[..., None], body: str, lead: int, depth: int
) -> None:
    channels, pairs = 8, STEM3_PAIRS if depth == 3 else STEM1_PAIRS
    weights, bias, multiplier, rs = layer(11, channels, 9 * depth)
    rows = np.random.default_rng(12).integers(-128, 128, (3, 32)).astype(np.int8)
    parameters = [own_shift(int(m), int(r), 8) for m, r in zip(multiplier, rs, strict=True)]
    stream = own_stream(weights, bias, parameters, pairs)
    tile, out = np.full(16 * len(pairs), 77, np.uint8), np.zeros(4 * channels, np.uint8)
    call(body, rows[0], rows[1], rows[2], tile)
    call("pw_stem4_sh", stream, tile, out, 4, (out, out.size))
    starts = [lead + 2 * depth * window for window in range(4)]
    windows = np.stack([rows[:, s : s + 3 * depth].reshape(-1) for s in starts]).astype(np.int64)
    expected = relu(windows @ weights.T + bias, multiplier, rs)
    np.testing.assert_array_equal(from_lines(out, channels, 4), expected)
    assert sorted(k for pair in pairs for k in pair if k != NOTHING) == list(range(9 * depth))


def depthwise_stream(weights: Array, start: Array, multiplier: Array) -> Bytes:
    data = b""
    for w, s, m in zip(weights.reshape(-1, 3, 3), start, multiplier, strict=True):
        data += little_endian([int(s), int(m)])
        data += np.stack([w[:, 0], w[:, 1], w[:, 1], w[:, 2]], axis=1).astype(np.int8).tobytes()
    return np.frombuffer(data, np.uint8).copy()


def depthwise_layer(channels: int) -> tuple[Array, Array, Array]:
    """Weights, biases in y, multipliers for which half of the outputs are between 0 and 255."""
    rng = np.random.default_rng(13)
    weights = rng.integers(-128, 128, (channels, 9))
    return weights, rng.integers(-1 << 23, 1 << 24, channels), rng.integers(1 << 24, 1 << 25, channels)


def convolved(plane: Array, weights: Array, stride: int, pad: tuple[int, int], out: tuple[int, int]) -> Array:
    """[channels][out h][out w] accumulators of [channels][h][w], zero padding (top, left)."""
    padded = np.pad(plane, ((0, 0), (pad[0], 3), (pad[1], 3)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,cij->chw", windows, weights.reshape(-1, 3, 3))[:, : out[0], : out[1]]


def from_tile(tile: NDArray[np.int16], channels: int, outputs: int) -> Array:
    """[groups][pairs][4][2] -> [channels][outputs]."""
    groups, pairs = tile.shape[:2]
    flat = tile.transpose(1, 3, 0, 2).reshape(2 * pairs, 4 * groups)
    return flat[:channels, :outputs].astype(np.int64)


@pytest.mark.parametrize(("body", "stride", "left"), [("dw_rows1", 1, 1), ("dw_rows2", 2, 1), ("dw_rows2_same", 2, 0)])
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 7, 9, 10, 12, 18, 22])
@pytest.mark.parametrize("channels", [6, 7])
def test_depthwise_rows_are_tflites_convolution_at_every_width(
    call: Callable[..., None], *, body: str, stride: int, left: int, width: int, channels: int
) -> None:
    weights, start, multiplier = depthwise_layer(channels)
    x = np.random.default_rng(14).integers(0, 256, (channels, 3, width))
    stream = depthwise_stream(weights, start, multiplier)
    line = -(-width // 4) * 4 + (4 if width % 4 == 0 else 0)  # a pad word only where nothing fills up the last one
    out_width = (width + left + 1 - 3) // stride + 1  # one pixel of padding on the right
    groups, pairs = -(-out_width // 4), -(-channels // 2)
    rest = out_width > 4 and out_width % 4 in {1, 2}
    read = 4 * stride * groups if not rest else 4 * stride * (groups - 1) + 4
    rows = [np.concatenate([np.zeros(4, np.uint8), to_lines(x[:, r], line).reshape(-1), np.zeros(8, np.uint8)])
            for r in range(3)]  # fmt: skip
    tile = np.zeros((groups, pairs, 4, 2), np.int16)
    arguments = _DwRows(stream.ctypes.data, tile.ctypes.data, 16 * pairs, line - read,
                        stream.ctypes.data + stream.size, 16 * pairs * (groups - rest))  # fmt: skip
    view = np.frombuffer(bytearray(arguments), np.uint8)
    call(body + ("_rest2" if rest else ""), *((row, 4) for row in rows), view)
    acc = convolved(x, weights, stride, (0, left), (1, out_width))[:, 0]
    expected = floor_relu(acc, start[:, None], multiplier[:, None], 8, 9)
    assert ((expected > 0) & (expected < 255)).any()
    np.testing.assert_array_equal(from_tile(tile, channels, out_width), expected)


@pytest.mark.parametrize(("body", "stride", "left"), [("dw_columns1", 1, 1), ("dw_columns2", 2, 1),
                                                       ("dw_columns2_same", 2, 0)])  # fmt: skip
@pytest.mark.parametrize("channels", [6, 7])
def test_depthwise_columns_are_tflites_convolution(
    call: Callable[..., None], *, body: str, stride: int, left: int, channels: int
) -> None:
    """Four outputs in the middle of three rows of twelve pixels; of a neighbour only the pixel beside is given."""
    weights, start, multiplier = depthwise_layer(channels)
    x = np.random.default_rng(20).integers(0, 256, (channels, 3, 12))
    stream = depthwise_stream(weights, start, multiplier)
    words = [[to_lines(x[:, r, 4 * k : 4 * k + 4], 4).reshape(-1) for k in range(3)] for r in range(3)]
    lone = {0} if left else set()
    lone |= {2} if (stride, left) in ((1, 1), (2, 0)) else set()
    at = [word.ctypes.data + (3 if k == 0 and k in lone else 0) for row in words for k, word in enumerate(row)]
    for row in words:
        for k in lone:
            beside = np.arange(row[k].size) % 4 == (3 if k == 0 else 0)
            row[k][~beside] = 77
    tile = np.zeros((1, -(-channels // 2), 4, 2), np.int16)
    call(body, np.array(at, np.uintp), tile, (stream, stream.size), stream)
    first = 4 - left if left else 0
    windows = np.stack([x[:, :, first + stride * i : first + stride * i + 3] for i in range(4)], axis=1)
    acc = np.einsum("cirk,crk->ci", windows, weights.reshape(-1, 3, 3))
    expected = floor_relu(acc, start[:, None], multiplier[:, None], 8, 9)
    np.testing.assert_array_equal(from_tile(tile, channels, 4), expected)


@pytest.mark.parametrize(("body", "size", "stride", "pad"), [
    ("dw_plane6", 6, 1, 1), ("dw_plane6s2", 6, 2, 1), ("dw_plane6s2_same", 6, 2, 0), ("dw_plane3", 3, 1, 1),
])  # fmt: skip
@pytest.mark.parametrize("channels", [8, 5])
def test_depthwise_planes_are_tflites_convolution(
    call: Callable[..., None], *, body: str, size: int, stride: int, pad: int, channels: int
) -> None:
    weights, start, multiplier = depthwise_layer(channels)
    x = np.random.default_rng(15).integers(0, 256, (channels, size, size))
    stream = depthwise_stream(weights, start, multiplier)
    lines = to_lines(x.reshape(channels, -1), {6: 44, 3: 12}[size])
    planes = np.concatenate([np.zeros(8, np.uint8), lines.reshape(-1)])
    side, pairs = size // stride, -(-channels // 2)
    outputs = side * side
    tile = np.zeros((-(-outputs // 4), pairs, 4, 2), np.int16)
    for q in range(3 if body == "dw_plane6" else 1):
        call(body, (planes, 8 + 12 * q), stream, (tile, 48 * pairs * q), 16 * pairs, (stream, stream.size))
    acc = convolved(x, weights, stride, (pad, pad), (side, side)).reshape(channels, -1)
    expected = floor_relu(acc, start[:, None], multiplier[:, None], 8, 9)
    np.testing.assert_array_equal(from_tile(tile, channels, outputs), expected)


@pytest.mark.parametrize("parts", [[32], [40, 40], [8, 16, 24, 8]])
@pytest.mark.parametrize("sign", [0, 1, -1])
def test_fully_connected_sums_are_exact_through_every_fold(
    call: Callable[..., None], parts: list[int], sign: int
) -> None:
    """sign: random weights, or those that drive all accumulators as far as they go."""
    inputs, outputs = sum(parts), 16
    weights, bias, _, _ = layer(16, outputs, inputs)
    x = np.random.default_rng(17).integers(0, 256, inputs)
    if sign:
        weights, x = np.full_like(weights, 127 * sign), np.full(inputs, 255)
    words: list[int] = []
    for o in range(0, outputs, 8):
        words += [v for k in range(o, o + 8, 2) for v in (bias[k], 256 * bias[k + 1] + bias[k])]
        by_pair = [pair_words(weights[k : k + 2], byte_pairs(inputs), True) for k in range(o, o + 8, 2)]
        words += [w for four in zip(*by_pair, strict=True) for w in four]
    stream = np.frombuffer(little_endian(words), np.uint8).copy()
    ends = np.cumsum([0, *parts])
    marked = [np.append(x[a:b].astype(np.int16), [-1 if b < inputs else -2, -1]) for a, b in pairwise(ends)]
    vector, out = np.concatenate(marked).astype(np.int16), np.zeros(outputs, np.int32)
    call("fc8_fold", stream, vector, out, (out, out.nbytes))
    np.testing.assert_array_equal(out, weights @ x + bias)


def test_addition_is_two_multiplications_a_shift_and_a_saturation(call: Callable[..., None]) -> None:
    a, b = (v.astype(np.int8).reshape(-1) for v in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    constants = np.array([1_234_567, 2_654_321, 30_000_001], np.int32)
    out = a.copy()
    call("add_mla", out, b, constants, (out, out.size))
    exact = (a.astype(np.int64) * 1_234_567 + b.astype(np.int64) * 2_654_321 + 30_000_001) >> 22
    np.testing.assert_array_equal(out, np.clip(exact, -128, 127))


@SEVERAL_PIXELS
@pytest.mark.parametrize("channels", [1, 5, 8])
def test_any_number_of_channels_expands_by_bytes(call: Callable[..., None], pixels: int, channels: int) -> None:
    x = np.random.default_rng(18).integers(-128, 128, pixels * channels + 1).astype(np.int8)
    pairs = -(-channels // 2)
    tile = np.full((pairs, 4, 2), 999, np.int16)
    call(f"expand_bytes{pixels}", x, channels, tile, (tile, tile.nbytes))
    given = tile.transpose(1, 0, 2).reshape(4, -1)
    np.testing.assert_array_equal(given[:pixels, :channels], x[:-1].reshape(pixels, channels))
    assert (given[pixels:] == 999).all()


class _Requant(ctypes.Structure):
    _fields_ = (("multipliers", ctypes.c_void_p), ("shifts", ctypes.c_void_p), ("centre", ctypes.c_int32))


@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_requantization_is_tflites_for_any_zero_point(call: Callable[..., None], zero_point: int) -> None:
    rng = np.random.default_rng(19)
    rs = rng.integers(1, 23, 5000)
    acc = rng.integers(-1 << 8, 1 << 8, 5000) << np.minimum(rs, 20)
    acc[:5000:7] = rng.integers(-1 << 30, 1 << 30, len(acc[:5000:7]))
    multiplier = rng.integers(1 << 30, 1 << 31, 5000)
    multipliers, shifts, out = multiplier.astype(np.int32), (rs - 1).astype(np.uint8), np.zeros(5000, np.int8)
    arguments = _Requant(multipliers.ctypes.data, shifts.ctypes.data, 2 * zero_point + 1)
    view = np.frombuffer(bytearray(arguments), np.uint8)
    call("requant_s8", acc.astype(np.int32), view, out, (out, out.size))
    expected = np.clip(multiply_by_quantized_multiplier(acc, multiplier, -rs) + zero_point, -128, 127)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("rs", "zero_point"), [(4, -128), (5, 17), (1, 127)])
def test_means_are_tflites(call: Callable[..., None], rs: int, zero_point: int) -> None:
    sums = np.arange(-400, 9 * 255 + 9, dtype=np.int32)
    out = np.zeros(sums.size, np.int8)
    arguments = np.array([1_910_000_123, (2 * zero_point + 1) << (rs - 1), rs], np.int32)
    call("mean_s8", sums, arguments, out, (out, out.nbytes))
    expected = multiply_by_quantized_multiplier(sums, 1_910_000_123, -rs) + zero_point
    np.testing.assert_array_equal(out, np.clip(expected, -128, 127))
