/* SPDX-License-Identifier: 0BSD
 *
 * Channels that no fast body covers, by TensorFlow Lite's formula: any zero point, clamp and shift. The fast body has run
 * over them too; what it wrote is replaced (sums: it has added 0). Only networks with such channels have this file.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

/* Pixel p of a group stands in byte line_byte[p] of its word. */
static const uint8_t line_byte[4] = {0, 2, 1, 3};

enum { WINDOW_RECORD = 7 }; /* words of a record of nine weights */

/* The output, int8, for an accumulator without the bias. */
static int32_t output(const mbv2_general *general, const uint32_t *record, int32_t acc) {
    const int32_t sum = (acc >> general->tile_shift) + (int32_t)record[1]; /* the shift is exact */
    const int32_t value = mbv2_requantize(sum, (int32_t)record[2], (int32_t)record[3]) + general->zero_point;
    return mbv2_clamp(value, general->act_min, general->act_max);
}

/* The output for pixel p of a tile. Bounds: |acc| < 2^31, proved when the network was compiled. */
static int32_t tile_output(const mbv2_general *general, const uint32_t *record, const void *from, uint32_t p) {
    const int16_t *tile = (const int16_t *)from;
    const int8_t *w = (const int8_t *)(record + 4);
    uint32_t acc = 0;
    for (uint32_t k = 0; k < general->weights; k++) acc += (uint32_t)(w[k] * tile[k / 2 * 8 + p * 2 + k % 2]);
    return output(general, record, (int32_t)acc);
}

static const uint32_t *next_record(const mbv2_general *general, const uint32_t *record) {
    return record + 4 + (general->weights + 3u) / 4u;
}

void mbv2_general_lines_dsp(const void *layer, const void *tile, void *out, uint32_t pixels) {
    const mbv2_conv_1x1_dsp *conv = (const mbv2_conv_1x1_dsp *)layer;
    const uint32_t *record = conv->general->records;
    for (uint32_t i = 0; i < conv->general->count; i++, record = next_record(conv->general, record)) {
        uint8_t *word = (uint8_t *)out + record[0] * (uint32_t)conv->line_bytes;
        for (uint32_t p = 0; p < pixels; p++) word[line_byte[p]] = (uint8_t)(tile_output(conv->general, record, tile, p) + 128);
    }
}

void mbv2_general_nhwc_dsp(const void *layer, const void *tile, void *out, uint32_t pixels) {
    const mbv2_conv_1x1_dsp *conv = (const mbv2_conv_1x1_dsp *)layer;
    const uint32_t *record = conv->general->records;
    for (uint32_t i = 0; i < conv->general->count; i++, record = next_record(conv->general, record)) {
        int8_t *to = (int8_t *)out + record[0];
        for (uint32_t p = 0; p < pixels; p++, to += conv->out_c) *to = (int8_t)tile_output(conv->general, record, tile, p);
    }
}

void mbv2_general_sums_dsp(const void *layer, const void *tile, void *out, uint32_t pixels) {
    const mbv2_conv_1x1_dsp *conv = (const mbv2_conv_1x1_dsp *)layer;
    const uint32_t *record = conv->general->records;
    for (uint32_t i = 0; i < conv->general->count; i++, record = next_record(conv->general, record)) {
        int32_t *sum = (int32_t *)out + record[0];
        for (uint32_t p = 0; p < pixels; p++) *sum += tile_output(conv->general, record, tile, p) + 128;
    }
}

/* Output x of channel c in rows; what is left of the lines is padding. */
static int32_t row_products(const mbv2_depthwise_dsp *layer, const int8_t *w, const uint8_t *const *row, uint32_t c, uint32_t x) {
    const int32_t column = (int32_t)(x * layer->stride_w) - layer->pad_left;
    const uint32_t line = c * MBV2_LINE_BYTES(layer->in_w);
    int32_t acc = 0;
    for (int32_t k = 0; k < 9; k++) {
        const int32_t at = column + k % 3;
        acc += w[k] * (at < 0 ? 0 : row[k / 3][line + ((uint32_t)at & ~3u) + line_byte[at & 3]]);
    }
    return acc;
}

void mbv2_general_rows_dsp(const void *layer, const void *rows, void *out, uint32_t pixels) {
    const mbv2_depthwise_dsp *conv = (const mbv2_depthwise_dsp *)layer;
    const uint32_t *record = conv->general->records;
    for (uint32_t i = 0; i < conv->general->count; i++, record += WINDOW_RECORD) {
        const uint32_t c = record[0];
        for (uint32_t x = 0; x < pixels; x++) {
            const int32_t acc = row_products(conv, (const int8_t *)(record + 4), (const uint8_t *const *)rows, c, x);
            ((int16_t *)out)[(x / 4 * conv->channels / 2 + c / 2) * 8 + x % 4 * 2 + c % 2] =
                (int16_t)(output(conv->general, record, acc) + 128);
        }
    }
}

/* One output from columns; `x` is the first pixel of its window, counted from the first column on. */
static int32_t column_products(const int8_t *w, const uint8_t *const *column, uint32_t c, uint32_t x, uint32_t beside) {
    int32_t acc = 0;
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t k = x; k < x + 3; k++) {
            acc += w[3 * r + k - x] * column[3 * r + k / 4][4 * c + (k < beside ? 0u : line_byte[k % 4])];
        }
    }
    return acc;
}

void mbv2_general_columns_dsp(const void *layer, const void *columns, void *out, uint32_t pixels) {
    const mbv2_depthwise_columns_dsp *conv = (const mbv2_depthwise_columns_dsp *)layer;
    const uint32_t *record = conv->general->records;
    const uint32_t first = conv->pad_left ? 3 : 0, beside = first + conv->pad_left;
    for (uint32_t i = 0; i < conv->general->count; i++, record += WINDOW_RECORD) {
        const int8_t *w = (const int8_t *)(record + 4);
        const uint32_t c = record[0];
        for (uint32_t x = 0; x < pixels; x++) {
            const int32_t acc = column_products(w, (const uint8_t *const *)columns, c, first + x * conv->stride, beside);
            ((int16_t *)out)[c / 2 * 8 + x * 2 + c % 2] = (int16_t)(output(conv->general, record, acc) + 128);
        }
    }
}
