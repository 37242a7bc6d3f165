# SPDX-License-Identifier: Apache-2.0
"""The vectorised arithmetic against a scalar transcription of TFLite's C in Python's unbounded integers."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbv2gen import arithmetic
from mbv2gen.network import Clamp

ACCUMULATORS = st.integers(-(2**31) + 1, 2**31 - 1)
MULTIPLIERS = st.just(0) | st.integers(2**30, 2**31 - 1)
SCALES = st.floats(1e-6, 1e3)
INT8 = st.integers(-128, 127)


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def scalar_quantize_multiplier(real: float) -> tuple[int, int]:
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    scaled = Fraction(fraction) * 2**31
    fixed = math.floor(scaled) + (scaled - math.floor(scaled) >= Fraction(1, 2))
    if fixed == 2**31:
        fixed, shift = fixed // 2, shift + 1
    return (0, 0) if shift < -31 else (fixed, shift)


def truncated_quotient(a: int, b: int) -> int:
    return abs(a) // b if a >= 0 else -(abs(a) // b)


def scalar_multiply(x: int, multiplier: int, shift: int) -> int:
    """SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT, as gemmlowp writes them."""
    product = (x << max(shift, 0)) * multiplier
    high = truncated_quotient(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)
    exponent = max(-shift, 0)
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> exponent) + (1 if (high & mask) > threshold else 0)


@given(st.floats(0, 2.0**30, allow_subnormal=False))
@example(0.0)
@example(1.0)
@example(math.nextafter(1.0, 0.0))  # rounds to 2**31: renormalised to 2**30, one more shift
@example(2.0**-32)  # the last that is kept
@example(math.nextafter(2.0**-32, 0.0))
@example(2.0**-33)
@example((2**31 - 0.5) / 2**31)  # exactly half: away from zero
def test_quantize_multiplier_equals_scalar_transcription(real: float) -> None:
    multiplier, shift = arithmetic.quantize_multiplier(real)
    assert (int(multiplier), int(shift)) == scalar_quantize_multiplier(real)


def test_multipliers_under_two_to_the_minus_32_are_flushed_to_zero() -> None:
    multiplier, shift = arithmetic.quantize_multiplier(np.array([2.0**-32, 2.0**-33 * 1.9, 1e-30, 0.0]))
    assert multiplier.tolist() == [2**30, 0, 0, 0]
    assert shift.tolist() == [-31, 0, 0, 0]
    assert multiplier.dtype == shift.dtype == np.int32


@given(ACCUMULATORS, MULTIPLIERS, st.integers(-31, 0))
@example(-1, 2**30, -1)
@example(-3, 2**30, 0)  # -1.5 in Q31: towards zero
@example(3, 2**30, 0)
@example(-(2**31) + 1, 2**31 - 1, -31)
@example(2**31 - 1, 2**31 - 1, -31)
def test_right_shifts_round_twice_as_gemmlowp_does(x: int, multiplier: int, shift: int) -> None:
    assert int(arithmetic.multiply_by_quantized_multiplier(x, multiplier, shift)) == scalar_multiply(
        x, multiplier, shift
    )


@given(st.data(), st.integers(1, 30), MULTIPLIERS)
def test_left_shifts_that_stay_in_int32_are_exact(data: st.DataObject, shift: int, multiplier: int) -> None:
    most = (2**31 - 1) >> shift
    x = data.draw(st.integers(-most, most))
    assert int(arithmetic.multiply_by_quantized_multiplier(x, multiplier, shift)) == scalar_multiply(
        x, multiplier, shift
    )


@given(st.lists(st.tuples(ACCUMULATORS, MULTIPLIERS, st.integers(-31, 0)), min_size=1, max_size=20))
def test_channels_are_rescaled_independently(rows: list[tuple[int, int, int]]) -> None:
    acc, multiplier, shift = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    got = arithmetic.multiply_by_quantized_multiplier(np.stack([acc, acc]), multiplier, shift)
    assert got.tolist() == [[scalar_multiply(*row) for row in rows]] * 2


def test_one_accumulator_meets_many_shifts() -> None:
    shifts = np.array([[3, 0], [-1, -31]])
    got = arithmetic.multiply_by_quantized_multiplier(-77, 3 << 29, shifts)
    assert got.tolist() == [[scalar_multiply(-77, 3 << 29, int(s)) for s in row] for row in shifts]


@given(SCALES, st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=5), SCALES)
def test_conv_multiplier_multiplies_float32_scales_in_double(a: float, weights: list[float], out: float) -> None:
    got = arithmetic.conv_multiplier(a, np.array(weights), out)
    expected = [scalar_quantize_multiplier(float32(a) * float32(w) / float32(out)) for w in weights]
    assert list(zip(*(v.tolist() for v in got), strict=True)) == expected


@given(SCALES, st.floats(1e-9, 1e3), SCALES)
@example(0.1, 0.3, 0.7)
def test_fully_connected_with_one_scale_rounds_the_product_to_float32(a: float, weight: float, out: float) -> None:
    multiplier, shift = arithmetic.fully_connected_multiplier(a, [weight], out)
    product = float32(float32(a) * float32(weight))
    assert (int(multiplier[0]), int(shift[0])) == scalar_quantize_multiplier(product / float32(out))


@given(SCALES, SCALES, SCALES)
def test_add_parameters_equal_scalar_transcription(a: float, b: float, out: float) -> None:
    a32, b32, out32 = float32(a), float32(b), float32(out)
    twice = 2 * max(a32, b32)
    expected = [scalar_quantize_multiplier(r) for r in (a32 / twice, b32 / twice, twice / (2**20 * out32))]
    if expected[2][1] > 0:
        with pytest.raises(ValueError, match="cannot rescale"):
            arithmetic.add_parameters(a, b, out)
        return
    multipliers, shifts, multiplier, shift = arithmetic.add_parameters(a, b, out)
    assert [*zip(multipliers, shifts, strict=True), (multiplier, shift)] == expected


def test_add_refuses_an_output_scale_for_which_tflite_aborts() -> None:
    with pytest.raises(ValueError, match="cannot rescale"):
        arithmetic.add_parameters(1.0, 1.0, 1e-6)


@given(SCALES, SCALES, st.integers(1, 300 * 300))
@example(1.0, 1.0, 1)
@example(1e-6, 1e3, 90000)
def test_mean_parameters_hold_the_division(a: float, out: float, pixels: int) -> None:
    multiplier, shift = arithmetic.mean_parameters(a, out, pixels)
    exact = Fraction(float32(a)) / Fraction(float32(out)) / pixels
    assert 0 < multiplier < 2**31
    assert shift >= -31
    ratio = Fraction(multiplier) * Fraction(2) ** (shift - 31) / exact
    assert 1 - Fraction(2, multiplier) <= ratio <= 1 + Fraction(2, 2**30)  # truncated, after one rounding


def test_relu6_on_its_usual_scale_is_the_whole_of_int8() -> None:
    assert arithmetic.activation_range(Clamp(0.0, 6.0), 6 / 255, -128) == (-128, 127)
    assert arithmetic.activation_range(Clamp(0.0, 6.0), 0.1, -20) == (-20, 40)
    assert arithmetic.activation_range(Clamp(0.0), 0.1, -20) == (-20, 127)
    assert arithmetic.activation_range(Clamp(), 0.1, -20) == (-128, 127)


@given(SCALES, INT8, st.floats(-8, 8))
@example(0.5, 0, 0.25)  # half a step: away from zero
@example(0.5, 0, -0.25)
@example(1e-6, 127, 6.0)
def test_activation_bounds_round_half_away_from_zero_in_float32(scale: float, zero_point: int, bound: float) -> None:
    steps = Fraction(float32(float32(bound) / float32(scale)))
    rounded = int(math.copysign(math.floor(abs(steps) + Fraction(1, 2)), steps))
    expected = min(max(rounded + zero_point, -128), 127)
    assert arithmetic.activation_range(Clamp(low=bound), scale, zero_point) == (expected, 127)
    assert arithmetic.activation_range(Clamp(high=bound), scale, zero_point) == (-128, expected)
