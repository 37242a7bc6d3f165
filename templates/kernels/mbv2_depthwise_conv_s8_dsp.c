/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution 3x3, lines to tiles. The lines bring their padding with them.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

static const uint8_t line_byte[4] = {0, 2, 1, 3};

/* One output of a general channel; `column` is the first of its window, the column before the line's first is padding. */
static int32_t products(const int8_t *w, const uint8_t *const row[3], uint32_t line, int32_t column) {
    int32_t acc = 0;
    for (uint32_t r = 0; r < 3; r++) {
        for (int32_t k = 0; k < 3; k++) {
            const int32_t x = column + k;
            acc += w[3 * r + (uint32_t)k] * (x < 0 ? 0 : row[r][line + ((uint32_t)x & ~3u) + line_byte[x & 3]]);
        }
    }
    return acc;
}

/* Channels that the fast body has left: the tile's values are replaced. */
static void general_channels(const mbv2_depthwise_dsp *layer, const uint8_t *const row[3], int16_t *tile) {
    const uint32_t line = MBV2_LINE_BYTES(layer->in_w);
    const uint32_t *record = layer->general.records;
    for (uint32_t i = 0; i < layer->general.count; i++, record += 7) {
        const uint32_t c = record[0];
        for (uint32_t x = 0; x < layer->out_w; x++) {
            const int32_t column = (int32_t)(x * layer->stride_w) - layer->pad_left;
            const int32_t acc = products((const int8_t *)(record + 4), row, c * line, column);
            const int32_t value = mbv2_general_output(&layer->general, record, acc);
            tile[(x / 4 * layer->channels / 2 + c / 2) * 8 + x % 4 * 2 + c % 2] = (int16_t)(value + 128);
        }
    }
}

void mbv2_depthwise_conv_s8_dsp(const mbv2_depthwise_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *row[3];
    for (uint32_t r = 0; r < 3; r++) {
        row[r] = (const uint8_t *)mbv2_row(arena, &layer->input, unit * layer->stride_h + r) + MBV2_LINES_LEAD;
    }
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    const int32_t groups = (layer->out_w + 3) / 4;
    const mbv2_dw_rows arguments = {
        layer->stream,
        tile,
        layer->channels * 8,
        (int32_t)MBV2_LINE_BYTES(layer->in_w) - groups * 4 * layer->stride_w,
        layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS,
        groups * layer->channels * 8,
    };
    layer->body(row[0], row[1], row[2], &arguments);
    if (layer->general.count) general_channels(layer, row, tile);
}
