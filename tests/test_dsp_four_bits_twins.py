# SPDX-License-Identifier: Apache-2.0
"""The C twins of the bodies for weights of 4 bits compute what mbv2_dsp_four_bits.h says, on streams packed by hand.

The oracle is mbv2gen.arithmetic (TFLite's two roundings) over int64 sums, or the floor of the common shift, as in
test_dsp_twins.py; nothing of the packers is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from dsp_programs import called, twin_library
from test_dsp_twins import Array, Bytes, floor_relu, from_lines, little_endian, own_shift, relu, tile_of_neighbours

from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.dsp.tiles import Pairs, byte_pairs, expand_pairs
from mbv2gen.hardware import toolchain

pytestmark = pytest.mark.skipif(toolchain.find_host_compiler() is None, reason=toolchain.HOST_HELP)

SEVERAL_PIXELS = pytest.mark.parametrize("pixels", [4, 3, 2, 1])


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    return partial(called, twin_library(tmp_path_factory.mktemp("twins")))


def layer(seed: int, channels: int, inputs: int) -> tuple[Array, Array, Array, Array]:
    """Weights -7..7, bias, multipliers, right shifts such that outputs of 16 times those spread over the range."""
    rng = np.random.default_rng(seed)
    weights, bias = rng.integers(-7, 8, (channels, inputs)), rng.integers(-3000, 8000, channels)
    rs = rng.integers(4, 9, channels) + int(np.log2(inputs) / 2)
    return weights, bias, rng.integers(1 << 30, 1 << 31, channels), rs


def weight_words(weights: Array, pairs: Pairs) -> list[int]:
    """Of two channels [2][K]: a word for two pairs (k, l), (m, n) of columns, bytes of k, m, l, n."""
    both = [int(16 * high + low) & 0xFF for low, high in weights.T] + [0]  # column NOTHING = -1
    columns = [k for pair in pairs for k in pair] + [-1] * (-2 * len(pairs) % 8)
    blocks = [columns[k : k + 4] for k in range(0, len(columns), 4)]
    return [both[k] | both[m] << 8 | both[after_k] << 16 | both[after_m] << 24 for k, after_k, m, after_m in blocks]


def stream(weights: Array, y: Array, ends: list[int], parameters: Array, pairs: Pairs, scale: int = 8) -> Bytes:
    """Per two channels: starts from ``y`` = bias << ``scale``, weights, END with ``ends``, ``parameters``."""
    words: list[int] = []
    for c in range(0, len(weights), 2):
        words += [
            int(y[c]),
            (int(y[c + 1]) >> scale) + (int(y[c]) >> scale + 4),
            *weight_words(weights[c : c + 2], pairs),
        ]
        words += [0x80000000 | ends[c // 2], *(int(value) for value in parameters[c : c + 2].reshape(-1))]
    return np.frombuffer(little_endian(words), np.uint8).copy()


def relu_case(form: str, inputs: int, channels: int, x: Array) -> tuple[Bytes, Array]:
    """(stream, uint8 outputs [pixels][channels]) of the body with the ``common`` shift or ``own`` ones."""
    weights, bias, multiplier, rs = layer(1, channels, inputs)
    if form == "own":
        given = np.array([own_shift(int(m), int(r), 8) for m, r in zip(multiplier, rs, strict=True)])
        ends = [int(given[c, 0] | given[c + 1, 0] << 8) for c in range(0, channels, 2)]
        packed = stream(weights, 256 * bias, ends, given[:, 1:], expand_pairs(inputs))
        return packed, relu(x @ (16 * weights).T + bias, multiplier, rs)
    start = np.random.default_rng(6).integers(-1 << 20, 1 << 22, channels)
    multipliers = np.full((channels, 1), 40_000_003)
    packed = stream(weights, start, [int(y) & 0xFF for y in start[1::2]], multipliers, expand_pairs(inputs))
    return packed, floor_relu(x @ (16 * weights).T, start, 40_000_003, 8, 11)


@SEVERAL_PIXELS
@pytest.mark.parametrize("form", ["own", "common"])
@pytest.mark.parametrize(("inputs", "channels"), [(24, 10), (16, 4), (20, 2)])
def test_relu_is_tflites_convolution_or_the_floor_of_a_sum_with_a_fine_bias(
    call: Callable[..., None], *, pixels: int, form: str, inputs: int, channels: int
) -> None:
    x = np.random.default_rng(2).integers(-128, 128, (pixels, inputs)).astype(np.int8)
    packed, expected = relu_case(form, inputs, channels, x.astype(np.int64))
    assert np.count_nonzero((expected > 0) & (expected < 255)) > 0
    tile, out = np.zeros(inputs * 8 + 48, np.uint8), np.zeros(4 * channels, np.uint8)
    sums, suffix = np.arange(channels, dtype=np.int32) * 1000, "_nsh" if form == "own" else "_n"
    call(f"expand_tile{pixels}", x, inputs, tile, (tile, inputs * 8))
    call(f"pw_relu{pixels}{suffix}", packed, tile, out, 4, (out, out.size))
    np.testing.assert_array_equal(from_lines(out, channels, pixels), expected)
    call(f"pw_gap{pixels}{suffix}", packed, tile, sums, 0, (sums, sums.nbytes))
    np.testing.assert_array_equal(sums, np.arange(channels) * 1000 + expected.sum(axis=0))


@SEVERAL_PIXELS
@pytest.mark.parametrize(("inputs", "channels"), [(40, 6), (16, 8), (7, 2)])
@pytest.mark.parametrize("zero_point", [-128, 5, 127])
@pytest.mark.parametrize(("suffix", "scale"), [("_n", 8), ("_nx", 0)])
def test_linear_is_tflites_convolution_for_any_zero_point(
    call: Callable[..., None], *, pixels: int, inputs: int, channels: int, zero_point: int, suffix: str, scale: int
) -> None:
    weights, bias, multiplier, rs = layer(7, channels, inputs)
    x = np.random.default_rng(8).integers(0, 256, (pixels, inputs))
    tile = tile_of_neighbours(x)
    ends = [int(rs[c]) - 1 | int(rs[c + 1]) - 1 << 8 for c in range(0, channels, 2)]
    packed = stream(weights, bias << scale, ends, multiplier[:, None], byte_pairs(inputs), scale)
    centre = np.frombuffer(little_endian([2 * zero_point + 1]), np.uint8)
    out = np.full((pixels, channels), 99, np.int8)
    call(f"pw_lin{pixels}{suffix}", np.concatenate([centre, packed]), tile, out, channels, (out, channels))
    scaled = multiply_by_quantized_multiplier(x @ (16 * weights).T + bias, multiplier, -rs)
    np.testing.assert_array_equal(out, np.clip(scaled + zero_point, -128, 127))


@pytest.mark.parametrize("fold", [(), (8,), (8, 16)])
def test_fully_connected_sums_are_exact_however_often_they_are_folded(
    call: Callable[..., None], fold: tuple[int, ...]
) -> None:
    inputs, outputs = 24, 16
    weights, bias, _, _ = layer(15, outputs, inputs)
    x = np.random.default_rng(16).integers(0, 256, inputs)
    words: list[int] = []
    for group in range(0, outputs, 8):
        words += [int(b) for b in bias[group : group + 8]]
        both = [[int(16 * high + low) & 0xFF for low, high in weights[group + c : group + c + 2].T]
                for c in range(0, 8, 2)]  # fmt: skip
        for k in range(0, inputs, 2):
            words += [a[k] | b[k] << 8 | a[k + 1] << 16 | b[k + 1] << 24 for a, b in (both[:2], both[2:])]
    marked: list[int] = []
    for k in range(0, inputs, 2):
        marked += [*([-1] if k in fold else []), int(x[k] | x[k + 1] << 16)]
    packed, values = (np.frombuffer(little_endian(part), np.uint8).copy() for part in (words, [*marked, -2]))
    out = np.zeros(outputs, np.int32)
    call("fc8_n", packed, values, out, (out, out.nbytes))
    np.testing.assert_array_equal(out, x @ (16 * weights).T + bias)
