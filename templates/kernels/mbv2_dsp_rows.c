/* SPDX-License-Identifier: 0BSD
 *
 * Parts shared by the dsp kernels: padding of lines, groups of pixels, and channels that no fast body covers.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

/* Pixel p of a group stands in byte line_byte[p] of its word. */
static const uint8_t line_byte[4] = {0, 2, 1, 3};

static void clear(uint8_t *row, uint32_t bytes) {
    uint32_t *words = (uint32_t *)(void *)row;
    for (uint32_t i = 0; i < bytes / 4; i++) words[i] = 0;
}

uint8_t *mbv2_lines_row(const mbv2_rows *lines, uint8_t *arena, uint32_t unit, uint32_t top, uint32_t height) {
    uint8_t *row = (uint8_t *)mbv2_row(arena, lines, unit);
    /* Bodies write pixels only: what a slot's first row clears stays clear for the rows that follow in it. */
    if (unit < lines->rows || unit - top >= height) clear(row, lines->row_bytes);
    return unit - top < height ? row + MBV2_LINES_LEAD : NULL; /* above the plane unit - top wraps round */
}

uint8_t *mbv2_group_column(const mbv2_column_group *group, const mbv2_rows *last, uint8_t *arena, uint32_t unit, uint32_t row) {
    return (uint8_t *)mbv2_row(arena, row + 1 == group->rows ? last : &group->passing, unit);
}

int32_t mbv2_general_output(const mbv2_general *general, const uint32_t *record, int32_t acc) {
    const int32_t sum = (acc >> general->tile_shift) + (int32_t)record[1]; /* the shift is exact */
    const int32_t value = mbv2_requantize(sum, (int32_t)record[2], (int32_t)record[3]) + general->zero_point;
    return mbv2_clamp(value, general->act_min, general->act_max);
}

/* Products of one general channel with pixel p of a tile. Bounds: |acc| < 2^31, proved when the network was compiled. */
static int32_t products(const uint32_t *record, uint32_t weights, const int16_t *tile, uint32_t p) {
    const int8_t *w = (const int8_t *)(record + 4);
    uint32_t acc = 0;
    for (uint32_t k = 0; k < weights; k++) acc += (uint32_t)(w[k] * tile[k / 2 * 8 + p * 2 + k % 2]);
    return (int32_t)acc;
}

void mbv2_tile_to_lines(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, uint8_t *out, uint32_t pixels) {
    const int32_t line = layer->line_bytes;
    const uint32_t common = (uint32_t)layer->channels * (uint32_t)line;
    const uint32_t own = (uint32_t)layer->own_channels * (uint32_t)line;
    if (common) (pixels == 4 ? layer->body : layer->body_rest)(layer->stream, tile, out, line, out + common);
    if (own) (pixels == 4 ? layer->own_body : layer->own_body_rest)(layer->own_stream, tile, out + common, line, out + common + own);
    const mbv2_general *general = &layer->general;
    const uint32_t *record = general->records;
    for (uint32_t i = 0; i < general->count; i++, record += 4 + (general->weights + 3u) / 4u) {
        uint8_t *word = out + record[0] * (uint32_t)line;
        for (uint32_t p = 0; p < pixels; p++) {
            word[line_byte[p]] = (uint8_t)(mbv2_general_output(general, record, products(record, general->weights, tile, p)) + 128);
        }
    }
}

void mbv2_tile_to_nhwc(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, int8_t *out, uint32_t pixels) {
    const int32_t step = layer->out_c;
    if (layer->channels) (pixels == 4 ? layer->body : layer->body_rest)(layer->stream, tile, out, step, out + layer->channels);
    if (layer->own_channels) {
        (pixels == 4 ? layer->own_body : layer->own_body_rest)(layer->own_stream, tile, out + step - 2, step, out + step);
    }
    const mbv2_general *general = &layer->general;
    const uint32_t *record = general->records;
    for (uint32_t i = 0; i < general->count; i++, record += 4 + (general->weights + 3u) / 4u) {
        for (uint32_t p = 0; p < pixels; p++) {
            out[p * (uint32_t)step + record[0]] =
                (int8_t)mbv2_general_output(general, record, products(record, general->weights, tile, p));
        }
    }
}

void mbv2_general_sums(const mbv2_general *general, const int16_t *tile, int32_t *sums, uint32_t pixels) {
    const uint32_t *record = general->records;
    for (uint32_t i = 0; i < general->count; i++, record += 4 + (general->weights + 3u) / 4u) {
        for (uint32_t p = 0; p < pixels; p++) {
            sums[record[0]] += mbv2_general_output(general, record, products(record, general->weights, tile, p)) + 128;
        }
    }
}
