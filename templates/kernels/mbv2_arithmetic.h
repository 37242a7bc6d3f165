/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_arithmetic.h - TensorFlow Lite's requantization with its double rounding, and row addresses.
 */
#ifndef MBV2_ARITHMETIC_H
#define MBV2_ARITHMETIC_H

#include "mbv2_kernels.h"

/* Right shifts of negative numbers must round down; so they do in gcc, clang, armclang and IAR. */
typedef char mbv2_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

static inline int8_t *mbv2_row(uint8_t *arena, const mbv2_rows *tensor, uint32_t row) {
    uint32_t slot = row < tensor->rows ? row : row % tensor->rows;
    return (int8_t *)(arena + tensor->offset + slot * tensor->row_bytes);
}

static inline int32_t mbv2_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/* TFLite's MultiplyByQuantizedMultiplier: value * multiplier / 2^31 * 2^shift, rounded twice.
 * SaturatingRoundingDoublingHighMul is one floor: floor((a * b + 2^30) / 2^31), for its nudge of 1 - 2^30 and its
 * division towards zero do the same to negative products; it saturates only at a = b = -2^31, and multiplier >= 0.
 * Bounds: value << shift fits (proved for every channel when the network was compiled); shift is -31..30. */
static inline int32_t mbv2_requantize(int32_t value, int32_t multiplier, int32_t shift) {
    int32_t left = shift > 0 ? shift : 0;
    int32_t right = left - shift;
    int64_t product = (int64_t)(value * (1 << left)) * multiplier;
    int32_t high = (int32_t)((product + ((int64_t)1 << 30)) >> 31);
    int32_t mask = (int32_t)(((uint32_t)1 << right) - 1);
    int32_t remainder = high & mask;
    int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
    return (high >> right) + (remainder > threshold ? 1 : 0);
}

/* Channel c of a layer: accumulator to int8. */
static inline int8_t mbv2_output(const mbv2_conv *layer, uint32_t c, int32_t acc) {
    int32_t value = mbv2_requantize(acc, layer->multiplier[c], layer->shift[c]) + layer->output_zero_point;
    return (int8_t)mbv2_clamp(value, layer->act_min, layer->act_max);
}

#endif
