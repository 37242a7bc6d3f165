/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution with ReLU, NHWC to pool sums: the last convolution, whose output only the mean would read, adds
 * each value to its channel's int32 sum instead. The plane itself never exists.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_conv_1x1_sums_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *in = mbv2_row(arena, &layer->input, unit);
    int32_t *sums = (int32_t *)(void *)mbv2_row(arena, &layer->output, 0);
    int32_t *own = sums + layer->channels, *end = own + (layer->own ? layer->own->channels : 0);
    int16_t *tile = (int16_t *)(void *)(arena + layer->tile);
    const int32_t step = layer->in_c;
    const int16_t *tile_end = tile + (uint32_t)layer->expand_pairs * 8;
    for (int32_t *sum = sums; unit == 0 && sum < end; sum++) *sum = 0;
    for (uint32_t x = 0; x < layer->width; x += 4, in += 4 * step) {
        const uint32_t pixels = layer->width - x < 4 ? layer->width - x : 4;
        (pixels == 4 ? layer->expand : layer->expand_rest)(in, step, tile, tile_end);
        if (own != sums) (pixels == 4 ? layer->body : layer->body_rest)(layer->stream, tile, sums, layer->line_bytes, own);
        if (end != own) (pixels == 4 ? layer->own->body : layer->own->body_rest)(layer->own->stream, tile, own, layer->line_bytes, end);
        if (layer->general) layer->general->body(layer, tile, sums, pixels);
    }
}
