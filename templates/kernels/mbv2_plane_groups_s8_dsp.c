/* SPDX-License-Identifier: 0BSD
 *
 * Inverted residuals on small planes, 6x6 and 3x3, of which the expanded channels are made, convolved and used up in groups,
 * one after the other: a unit works on a part of the streams.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Group `unit` of the channels: what belongs to it of both streams. */
void mbv2_conv_1x1_plane_groups_s8_dsp(const mbv2_conv_1x1_groups_dsp *layer, uint8_t *arena, uint32_t unit) {
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
    mbv2_conv_1x1_planes_s8_dsp(&part, arena, unit);
}

/* A group's planes in `bands` units: stride 1 on 6x6 two rows each, three words further on; otherwise all at once. */
void mbv2_depthwise_conv_plane_groups_s8_dsp(const mbv2_depthwise_groups_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_depthwise_planes_dsp *conv = &layer->conv;
    const uint32_t group = unit / layer->bands, first = group * layer->group;
    const uint32_t channels = least(layer->group, conv->channels - first);
    const uint8_t *planes = (const uint8_t *)mbv2_row(arena, &conv->input, group) + conv->lead;
    const uint32_t *stream = conv->stream + first * MBV2_DW_CHANNEL_WORDS;
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &conv->output, unit);
    conv->body(planes + 12 * (unit - group * layer->bands), stream, tile, (int32_t)channels * 8,
               stream + channels * MBV2_DW_CHANNEL_WORDS);
}
