/* SPDX-License-Identifier: 0BSD
 *
 * Inverted residuals on small planes, 6x6 and 3x3: expanded planes stand in the arena whole, of all channels or of a group
 * of them, so that no group of four pixels ends with a row and each weight is read less often. Planes have their padding in
 * front and behind.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

enum { PLANE6_BYTES = 44, PLANE6_LEAD = 8, PLANE3_BYTES = 12 };

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* All pixels of the channels of `layer`: pixels in linear order, four at a time, a word a channel. */
static void write_planes(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint8_t *out) {
    const int8_t *in = mbv2_row(arena, &layer->input, 0);
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

/* Group `unit` of the channels: what belongs to it of both streams. */
void mbv2_conv_1x1_planes_s8_dsp(const mbv2_conv_1x1_planes_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint32_t common = layer->conv.channels, first = unit * layer->group, end = first + layer->group;
    const uint32_t common_first = least(first, common);
    mbv2_conv_1x1_dsp part = layer->conv;
    mbv2_own_dsp own;
    part.channels = (uint16_t)(least(end, common) - common_first);
    part.stream += common_first / 2 * layer->pair_words;
    if (part.own) {
        const uint32_t own_first = first - common_first;
        own = *part.own;
        own.channels = (uint16_t)(least(end - least(end, common), own.channels) - own_first);
        own.stream += own_first / 2 * layer->own_pair_words;
        part.own = own.channels ? &own : NULL;
    }
    write_planes(&part, arena, (uint8_t *)mbv2_row(arena, &layer->conv.output, unit));
}

/* Stride 1 on 6x6: two rows of a group's planes, of each plane three words further on; otherwise a whole output plane. */
void mbv2_depthwise_conv_planes_s8_dsp(const mbv2_depthwise_planes_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint32_t group = unit / layer->bands, first = group * layer->group;
    const uint32_t channels = least(layer->group, layer->channels - first);
    const uint8_t *planes = (const uint8_t *)mbv2_row(arena, &layer->input, group) + layer->lead;
    const uint32_t *stream = layer->stream + first * MBV2_DW_CHANNEL_WORDS;
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    layer->body(planes + 12 * (unit - group * layer->bands), stream, tile, (int32_t)channels * 8,
                stream + channels * MBV2_DW_CHANNEL_WORDS);
}
