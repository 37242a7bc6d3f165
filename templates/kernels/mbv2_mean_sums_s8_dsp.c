/* SPDX-License-Identifier: 0BSD
 *
 * Mean of pool sums, which are sums of int8 + 128; the output keeps the order of the sums.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_mean_sums_s8_dsp(const mbv2_mean_sums_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int32_t *sums = (const int32_t *)(const void *)mbv2_row(arena, &layer->input, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t k = 0; k < layer->channels; k++) {
        const int32_t centred = sums[k] - (layer->input_zero_point + 128) * layer->pixels;
        const int32_t mean = mbv2_requantize(centred, layer->multiplier, layer->shift) + layer->output_zero_point;
        out[k] = (int8_t)mbv2_clamp(mean, -128, 127);
    }
}
