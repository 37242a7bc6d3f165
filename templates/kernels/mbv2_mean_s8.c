/* SPDX-License-Identifier: 0BSD
 *
 * Mean over the plane, row by row. Bounds: a sum of in_h * in_w values is below 2^23 for planes of up to 2^15 pixels;
 * larger planes are refused when the network is compiled.
 */
#include "mbv2_arithmetic.h"

void mbv2_mean_s8(const mbv2_mean *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *in = mbv2_row(arena, &layer->input, unit);
    int32_t *sums = (int32_t *)(void *)(arena + layer->sums);
    for (uint32_t c = 0; c < layer->channels; c++) {
        int32_t sum = unit == 0 ? -layer->input_zero_point * layer->in_h * layer->in_w : sums[c];
        for (uint32_t x = 0; x < layer->in_w; x++) sum += in[x * layer->channels + c];
        sums[c] = sum;
    }
    if (unit + 1 < layer->in_h) return;
    int8_t *out = mbv2_row(arena, &layer->output, 0);
    for (uint32_t c = 0; c < layer->channels; c++) {
        const int32_t mean = mbv2_requantize(sums[c], layer->multiplier, layer->shift) + layer->output_zero_point;
        out[c] = (int8_t)mbv2_clamp(mean, -128, 127);
    }
}
