/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution with ReLU, tiles to lines: a separable convolution that another one follows (MobileNetV1).
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_conv_1x1_tile_lines_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    uint8_t *out = mbv2_lines_row(&layer->output, arena, unit, layer->line_top, layer->in_h);
    if (out == NULL) return;
    const int16_t *tile = (const int16_t *)(const void *)mbv2_row(arena, &layer->input, unit - layer->line_top);
    for (uint32_t x = 0; x < layer->width; x += 4, tile += layer->expand_pairs * 8u, out += 4) {
        mbv2_tile_to_lines(layer, tile, out, layer->width - x < 4 ? layer->width - x : 4);
    }
}
