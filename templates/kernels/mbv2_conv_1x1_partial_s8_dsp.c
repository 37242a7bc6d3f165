/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution, tiles of groups of channels to NHWC, any zero point: the project of an inverted residual whose
 * expanded channels are made, convolved and used up one group after the other. Sums are whole numbers, so that it is all
 * the same in how many parts they are added up: |sum| < 2^30 for all channels together, as for the bodies that take them
 * at once.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

static void requantize(const mbv2_conv_1x1_partial_dsp *layer, const int32_t *sums, uint32_t step, int8_t *out) {
    const mbv2_requant requant = {layer->multiplier, layer->shift, layer->centre};
    for (uint32_t x = 0; x < layer->pixels; x++, sums += step, out += layer->out_c) {
        mbv2_requant_s8_dsp(sums, &requant, out, out + layer->out_c);
    }
}

void mbv2_conv_1x1_partial_s8_dsp(const mbv2_conv_1x1_partial_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint32_t group = unit / layer->bands, part = unit - group * layer->bands;
    const uint32_t left = layer->channels - group * layer->group, step = layer->out_c + layer->out_c % 2u;
    const uint32_t channels = left < layer->group ? left : layer->group;
    const uint32_t *stream = layer->stream + group * layer->group_words;
    const int16_t *tile = (const int16_t *)(const void *)mbv2_row(arena, &layer->input, unit);
    int32_t *sums = (int32_t *)(void *)(arena + layer->sums) + part * layer->pixels * step;
    if (group == 0) {
        for (uint32_t i = 0; i < layer->pixels * step; i++) sums[i] = 0;
    }
    for (uint32_t x = 0; x < layer->pixels; x += 4, tile += channels * 4) {
        int32_t *out = sums + x * step;
        (layer->pixels - x < 4 ? layer->body_rest : layer->body)(stream, tile, out, (int32_t)step * 4, out + step);
    }
    if (left <= layer->group) requantize(layer, sums, step, mbv2_row(arena, &layer->output, part * layer->band));
}
