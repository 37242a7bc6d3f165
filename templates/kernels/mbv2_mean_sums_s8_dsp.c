/* SPDX-License-Identifier: 0BSD
 *
 * Mean of pool sums, which are sums of int8 + 128 of values whose zero point is -128; the output keeps the order of the
 * sums.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_mean_sums_s8_dsp(const mbv2_mean_sums_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int32_t *sums = (const int32_t *)(const void *)mbv2_row(arena, &layer->input, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit), *end = out + layer->channels;
    const int32_t right = -layer->shift;
    if (right > 0 && right <= 22) {
        const int32_t constant = (2 * layer->output_zero_point + 1) * (1 << (right - 1));
        const mbv2_mean_of_sums arguments = {layer->multiplier, constant, right};
        mbv2_mean_s8_dsp(sums, &arguments, out, end);
        return;
    }
    for (; out < end; out++, sums++) { /* of planes of one pixel */
        const int32_t mean = mbv2_requantize(*sums, layer->multiplier, layer->shift) + layer->output_zero_point;
        *out = (int8_t)mbv2_clamp(mean, -128, 127);
    }
}
