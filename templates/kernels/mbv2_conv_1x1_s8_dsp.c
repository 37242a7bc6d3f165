/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution, NHWC to NHWC, any zero point.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_conv_1x1_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *in = mbv2_row(arena, &layer->input, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    int16_t *tile = (int16_t *)(void *)(arena + layer->tile);
    const int32_t step = layer->in_c;
    const int16_t *end = tile + (uint32_t)layer->expand_pairs * 8;
    for (uint32_t x = 0; x < layer->width; x += 4, in += 4 * step, out += 4 * layer->out_c) {
        const uint32_t pixels = layer->width - x < 4 ? layer->width - x : 4;
        (pixels == 4 ? layer->expand : layer->expand_rest)(in, step, tile, end);
        mbv2_tile_to_nhwc(layer, tile, out, pixels);
    }
}
