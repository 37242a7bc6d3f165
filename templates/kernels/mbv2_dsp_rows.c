/* SPDX-License-Identifier: 0BSD
 *
 * Parts shared by the dsp kernels: padding of lines, groups of pixels.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

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

uint8_t *mbv2_window_column(const mbv2_rows *windows, uint8_t *arena, uint32_t unit, uint32_t row) {
    return (uint8_t *)mbv2_row(arena, windows, unit) + row * (windows->row_bytes / MBV2_WINDOW_ROWS);
}

void mbv2_tile_to_lines(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, uint8_t *out, uint32_t pixels) {
    const int32_t line = layer->line_bytes;
    const uint32_t common = (uint32_t)layer->channels * (uint32_t)line;
    if (common) (pixels == 4 ? layer->body : layer->body_rest)(layer->stream, tile, out, line, out + common);
    if (layer->own) {
        const uint32_t end = common + (uint32_t)layer->own->channels * (uint32_t)line;
        (pixels == 4 ? layer->own->body : layer->own->body_rest)(layer->own->stream, tile, out + common, line, out + end);
    }
    if (layer->general) layer->general->body(layer, tile, out, pixels);
}

void mbv2_tile_to_nhwc(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, int8_t *out, uint32_t pixels) {
    const int32_t step = layer->out_c;
    if (layer->channels) (pixels == 4 ? layer->body : layer->body_rest)(layer->stream, tile, out, step, out + layer->channels);
    if (layer->own) {
        (pixels == 4 ? layer->own->body : layer->own->body_rest)(layer->own->stream, tile, out + step - 2, step, out + step);
    }
    if (layer->general) layer->general->body(layer, tile, out, pixels);
}
