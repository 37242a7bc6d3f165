/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution with ReLU, NHWC to lines: the expand of an inverted residual.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_conv_1x1_lines_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    uint8_t *out = mbv2_lines_row(&layer->output, arena, unit, layer->line_top, layer->in_h);
    if (out == NULL) return;
    const int8_t *in = mbv2_row(arena, &layer->input, unit - layer->line_top);
    int16_t *tile = (int16_t *)(void *)(arena + layer->tile);
    const int32_t step = layer->in_c;
    const int16_t *end = tile + (uint32_t)layer->expand_pairs * 8;
    for (uint32_t x = 0; x < layer->width; x += 4, in += 4 * step, out += 4) {
        const uint32_t pixels = layer->width - x < 4 ? layer->width - x : 4;
        (pixels == 4 ? layer->expand : layer->expand_rest)(in, step, tile, end);
        mbv2_tile_to_lines(layer, tile, out, pixels);
    }
}
