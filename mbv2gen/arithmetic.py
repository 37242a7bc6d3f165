# SPDX-License-Identifier: Apache-2.0
"""The integer arithmetic of TensorFlow Lite Micro's int8 kernels, vectorised, bit for bit.

Every function is the transcription of one function of TensorFlow Lite, named in its docstring. Scales are float32
values: each is rounded to float32 first, then widened to float64 exactly where TFLite does so.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mbv2gen.network import Clamp

Int64Array: TypeAlias = NDArray[np.int64]
Int32Array: TypeAlias = NDArray[np.int32]

ADD_LEFT_SHIFT = 20  # headroom that ADD gives both inputs before it rescales them


def quantize_multiplier(real: ArrayLike) -> tuple[Int32Array, Int32Array]:
    """``real`` >= 0 (float64, any shape) as (multiplier in Q31, shift): real = multiplier * 2**(shift - 31).

    A positive shift is a left shift. Values under about 2**-32 are flushed to multiplier 0, shift 0.
    Source: QuantizeMultiplier in tensorflow/lite/kernels/internal/quantization_util.cc.
    """
    fraction, exponent = np.frexp(np.asarray(real, dtype=np.float64))
    fixed = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)  # std::round of values >= 0; the sum is exact
    shift = np.where(fixed == 1 << 31, exponent + 1, exponent)
    fixed = np.where(fixed == 1 << 31, 1 << 30, fixed)
    flushed = (shift < -31) | (fixed == 0)
    return np.where(flushed, 0, fixed).astype(np.int32), np.where(flushed, 0, shift).astype(np.int32)


def multiply_by_quantized_multiplier(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> Int64Array:
    """acc * multiplier * 2**(shift - 31) with TFLite's two roundings; the arguments broadcast against each other.

    ``acc`` is an int32 value (of any integer dtype), ``multiplier`` >= 0, ``shift`` -31..30. As in TFLite's C a left
    shift that leaves int32 wraps around: the bound checker proves that it cannot happen.
    Source: the double-rounding MultiplyByQuantizedMultiplier in tensorflow/lite/kernels/internal/common.cc, with
    gemmlowp's SaturatingRoundingDoublingHighMul (half away from zero for acc > 0, towards zero for acc < 0, which is
    floor(x + 1/2) for both) and RoundingDivideByPOT (half away from zero).
    """
    shift = np.asarray(shift, dtype=np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = np.asarray(acc, dtype=np.int64)
    if left.any():
        shifted = (shifted << left).astype(np.int32).astype(np.int64)
    high = shifted * np.asarray(multiplier, dtype=np.int64)
    high += 1 << 30
    high >>= 31
    half = (np.int64(1) << right) >> 1
    sign = (high >> 63) * (right > 0)  # -1 for the negative: their ties go down
    high = high + half  # of the shape of all three
    high += sign
    high >>= right
    return np.asarray(high, dtype=np.int64)


def conv_multiplier(input_scale: float, weight_scale: ArrayLike, output_scale: float) -> tuple[Int32Array, Int32Array]:
    """(multiplier, shift), one a channel, of CONV_2D and DEPTHWISE_CONV_2D: in double, (input * weight) / output.

    Source: PopulateConvolutionQuantizationParams in tensorflow/lite/kernels/kernel_util.cc.
    """
    weights = np.asarray(weight_scale, dtype=np.float32).astype(np.float64)
    return quantize_multiplier(_double(input_scale) * weights / _double(output_scale))


def fully_connected_multiplier(
    input_scale: float, weight_scale: ArrayLike, output_scale: float
) -> tuple[Int32Array, Int32Array]:
    """(multiplier, shift), one a channel, of FULLY_CONNECTED.

    With several scales as a convolution's; with exactly one, which TFLite takes for per-tensor weights, the product
    input * weight is rounded to float32 first.
    Source: CalculateOpDataFullyConnected in tensorflow/lite/micro/kernels/fully_connected_common.cc and
    GetQuantizedConvolutionMultipler in tensorflow/lite/kernels/kernel_util.cc.
    """
    weights = np.asarray(weight_scale, dtype=np.float32)
    if weights.size > 1:
        return conv_multiplier(input_scale, weights, output_scale)
    product = (np.float32(input_scale) * weights).astype(np.float64)
    return quantize_multiplier(product / _double(output_scale))


def add_parameters(
    scale0: float, scale1: float, output_scale: float
) -> tuple[tuple[int, int], tuple[int, int], int, int]:
    """((multiplier of input 0, of input 1), (shift 0, shift 1), output multiplier, output shift); shifts are <= 0.

    Raises ValueError where the output scale is so small, or the inputs' so different, that TFLite itself gives up.
    Source: CalculateOpDataAdd in tensorflow/lite/micro/kernels/add_common.cc.
    """
    twice_max = 2 * max(_double(scale0), _double(scale1))
    real = (
        _double(scale0) / twice_max,
        _double(scale1) / twice_max,
        twice_max / ((1 << ADD_LEFT_SHIFT) * _double(output_scale)),
    )
    multiplier, shift = quantize_multiplier(np.array(real))
    if shift.max() > 0 or min(real) <= 0 or max(real) >= 1:
        raise ValueError(f"ADD cannot rescale inputs of scale {scale0:g} and {scale1:g} to scale {output_scale:g}")
    m0, m1, mo = (int(m) for m in multiplier)
    s0, s1, so = (int(s) for s in shift)
    return (m0, m1), (s0, s1), mo, so


def mean_parameters(input_scale: float, output_scale: float, pixels: int) -> tuple[int, int]:
    """(multiplier, shift) that turn the sum of ``pixels`` = h * w values, zero point subtracted, into their mean.

    Source: PrepareMeanOrSumHelper in tensorflow/lite/micro/kernels/reduce_common.cc and QuantizedMeanOrSum in
    tensorflow/lite/kernels/internal/reference/reduce.h, which folds the division into the multiplier.
    """
    multiplier, shift = (int(v) for v in quantize_multiplier(_double(input_scale) / _double(output_scale)))
    extra = min(pixels.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // pixels, shift - extra


def activation_range(clamp: Clamp, scale: float, zero_point: int) -> tuple[int, int]:
    """(act_min, act_max), int8, of a fused activation on a tensor of ``scale`` and ``zero_point``.

    Source: CalculateActivationRangeQuantized in tensorflow/lite/kernels/kernel_util.cc: bounds are divided by the
    scale in float32 and rounded half away from zero.
    """
    return _bound(clamp.low, scale, zero_point), _bound(clamp.high, scale, zero_point)


def _bound(value: float, scale: float, zero_point: int) -> int:
    steps = float(np.float32(value) / np.float32(scale))
    steps = min(max(steps, -512.0), 512.0)  # beyond int8 whatever the zero point; takes in infinities
    rounded = int(np.copysign(np.floor(abs(steps) + 0.5), steps))
    return min(max(zero_point + rounded, -128), 127)


def _double(scale: float) -> float:
    return float(np.float32(scale))
