/* SPDX-License-Identifier: 0BSD
 *
 * Inverted residuals on small planes, 6x6 and 3x3: the expanded plane stands in the arena as a whole, so that no group
 * of four pixels ends with a row and each weight is read less often. Planes have their padding in front and behind.
 * mbv2_plane_groups_s8_dsp.c does the same for one group of channels after the other.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

enum { PLANE6_BYTES = 44, PLANE6_LEAD = 8, PLANE3_BYTES = 12 };

/* The whole plane: pixels in linear order, four at a time, a word a channel. */
void mbv2_conv_1x1_planes_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *in = mbv2_row(arena, &layer->input, 0);
    uint8_t *out = (uint8_t *)mbv2_row(arena, &layer->output, unit);
    int16_t *tile = (int16_t *)(void *)(arena + layer->tile);
    const uint32_t channels = layer->channels + (layer->own ? layer->own->channels : 0u);
    const int32_t step = layer->in_c;
    if (layer->line_bytes == PLANE6_BYTES) {
        uint32_t *gap = (uint32_t *)(void *)out;
        for (uint32_t c = 0; c <= channels; c++, gap += PLANE6_BYTES / 4) gap[0] = gap[1] = 0;
        out += PLANE6_LEAD;
    }
    for (uint32_t x = 0; x < layer->width; x += 4, in += 4 * step, out += 4) {
        const uint32_t pixels = layer->width - x < 4 ? layer->width - x : 4;
        (pixels == 4 ? layer->expand : layer->expand_rest)(in, step, tile, tile + (uint32_t)layer->expand_pairs * 8);
        mbv2_tile_to_lines(layer, tile, out, pixels);
    }
}

/* Stride 1 on 6x6: rows 2 unit and 2 unit + 1; otherwise the whole output plane. */
void mbv2_depthwise_conv_planes_s8_dsp(const mbv2_depthwise_planes_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *planes = (const uint8_t *)mbv2_row(arena, &layer->input, 0) + layer->lead + 12 * unit;
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    layer->body(planes, layer->stream, tile, (int32_t)layer->channels * 8, layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS);
}
