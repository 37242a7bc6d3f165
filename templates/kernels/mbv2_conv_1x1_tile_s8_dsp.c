/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution, tiles to NHWC, any zero point: the project of an inverted residual.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_conv_1x1_tile_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int16_t *tile = (const int16_t *)(const void *)mbv2_row(arena, &layer->input, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit * layer->band);
    for (uint32_t x = 0; x < layer->width; x += 4, tile += layer->expand_pairs * 8u, out += 4 * layer->out_c) {
        mbv2_tile_to_nhwc(layer, tile, out, layer->width - x < 4 ? layer->width - x : 4);
    }
}
