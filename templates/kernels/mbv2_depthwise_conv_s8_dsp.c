/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution 3x3, lines to tiles; the lines bring their padding with them. Of NHWC rows lines are made first,
 * for networks in which something else reads the rows too, or in which no kernel before this one writes lines.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

static void rows_to_tiles(const mbv2_depthwise_dsp *layer, const uint8_t *const row[3], int16_t *tile) {
    const int32_t groups = layer->rest ? layer->out_w / 4 : (layer->out_w + 3) / 4;
    const int32_t words = groups * layer->stride_w + (layer->rest ? 1 : 0); /* that the body reads of a line */
    const mbv2_dw_rows arguments = {
        layer->stream,
        tile,
        layer->channels * 8,
        (int32_t)MBV2_LINE_BYTES(layer->in_w) - 4 * words,
        layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS,
        groups * layer->channels * 8,
    };
    layer->body(row[0], row[1], row[2], &arguments);
    if (layer->general) layer->general->body(layer, row, tile, layer->out_w);
}

void mbv2_depthwise_conv_s8_dsp(const mbv2_depthwise_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *row[3];
    for (uint32_t r = 0; r < 3; r++) {
        row[r] = (const uint8_t *)mbv2_row(arena, &layer->input, unit * layer->stride_h + r) + MBV2_LINES_LEAD;
    }
    rows_to_tiles(layer, row, (int16_t *)(void *)mbv2_row(arena, &layer->output, unit));
}

/* Four pixels of a channel, or as many as there are, `step` bytes apart: a word p0 p2 p1 p3 of int8 + 128, else 0. */
static uint32_t line_word(const int8_t *in, uint32_t step, uint32_t pixels) {
    const uint8_t *p = (const uint8_t *)in;
    if (pixels == 4) return (p[0] | (uint32_t)p[2 * step] << 8 | (uint32_t)p[step] << 16 | (uint32_t)p[3 * step] << 24) ^ 0x80808080u;
    uint32_t word = pixels > 0 ? p[0] ^ 0x80u : 0;
    if (pixels > 1) word |= (p[step] ^ 0x80u) << 16;
    if (pixels > 2) word |= (p[2 * step] ^ 0x80u) << 8;
    return word;
}

/* NHWC to lines; the pad words between them are written too, those in front and behind are the caller's. */
static void make_lines(const mbv2_depthwise_nhwc_dsp *layer, const int8_t *in, uint32_t *lines) {
    const uint32_t line_words = MBV2_LINE_BYTES(layer->conv.in_w) / 4, step = layer->in_c;
    for (uint32_t k = 0; k < line_words; k++) {
        const uint32_t left = layer->conv.in_w - 4 * k, pixels = left < 4 ? left : 4;
        for (uint32_t c = 0; c < step; c++) lines[c * line_words + k] = line_word(in + 4 * k * step + c, step, pixels);
    }
}

void mbv2_depthwise_conv_nhwc_s8_dsp(const mbv2_depthwise_nhwc_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_depthwise_dsp *conv = &layer->conv;
    const int32_t top = (int32_t)unit * conv->stride_h - layer->pad_top;
    uint32_t *lines = (uint32_t *)(void *)(arena + layer->lines);
    const uint8_t *row[3];
    for (int32_t r = 0; r < 3; r++, lines += layer->lines_bytes / 4) {
        for (uint32_t i = 0; i < layer->lines_bytes / 4; i++) lines[i] = 0;
        row[r] = (const uint8_t *)lines + MBV2_LINES_LEAD;
        if (top + r < 0 || top + r >= layer->in_h) continue;
        make_lines(layer, mbv2_row(arena, &conv->input, (uint32_t)(top + r)), lines + MBV2_LINES_LEAD / 4);
    }
    rows_to_tiles(conv, row, (int16_t *)(void *)mbv2_row(arena, &conv->output, unit));
}
