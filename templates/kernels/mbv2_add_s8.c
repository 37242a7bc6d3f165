/* SPDX-License-Identifier: 0BSD
 *
 * Residual addition. Bounds: both inputs are at most 255 * 2^20 < 2^28 before they are rescaled by factors of at most
 * one half, so the sum stays under 2^28.
 */
#include "mbv2_arithmetic.h"

void mbv2_add_s8(const mbv2_add *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *a = mbv2_row(arena, &layer->input_0, unit);
    const int8_t *b = mbv2_row(arena, &layer->input_1, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t i = 0; i < layer->output.row_bytes; i++) {
        const int32_t x = mbv2_requantize((a[i] - layer->zero_point_0) * (1 << 20), layer->multiplier_0, layer->shift_0);
        const int32_t y = mbv2_requantize((b[i] - layer->zero_point_1) * (1 << 20), layer->multiplier_1, layer->shift_1);
        const int32_t sum = mbv2_requantize(x + y, layer->output_multiplier, layer->output_shift);
        out[i] = (int8_t)mbv2_clamp(sum + layer->output_zero_point, layer->act_min, layer->act_max);
    }
}
