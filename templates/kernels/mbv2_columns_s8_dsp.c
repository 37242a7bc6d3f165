/* SPDX-License-Identifier: 0BSD
 *
 * Inverted residuals four pixels at a time: a unit is a column of four pixels, so that of the expanded rows only what the
 * next windows read stands in the arena, and of the depthwise output one tile. Nothing is stored of the padding: columns
 * outside the plane are read from zeros.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

/* Expand. */
void mbv2_conv_1x1_columns_s8_dsp(const mbv2_conv_1x1_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->conv;
    const mbv2_column_group *group = &layer->group;
    const uint32_t above = unit / group->columns * group->rows - group->above, column = unit % group->columns;
    int16_t *tile = (int16_t *)(void *)(arena + conv->tile);
    for (uint32_t r = 0; r < group->rows; r++) {
        const uint32_t row = above + r; /* above the plane it wraps round */
        if (row >= group->height) continue;
        const int8_t *in = mbv2_row(arena, &conv->input, row * group->columns + column);
        conv->expand(in, conv->in_c, tile, tile + (uint32_t)conv->expand_pairs * 8);
        mbv2_tile_to_lines(conv, tile, mbv2_group_column(group, &conv->output, arena, unit, r), 4);
    }
}

enum { WINDOW_COLUMNS = 3 }; /* that four windows touch: one or two of their own, one or two beside */

/* The columns of row `row` of the input from `first` on; of a column beside on the left, its last pixel. */
static void find_columns(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, int32_t row, int32_t first,
                         const uint8_t **column) {
    const uint32_t place = (uint32_t)(row + layer->above), group = place / layer->stride;
    const mbv2_rows *ring = place % layer->stride + 1 == layer->stride ? &layer->input : &layer->passing;
    const int exists = row >= 0 && row < layer->in_h;
    for (int32_t k = 0; k < WINDOW_COLUMNS; k++) {
        const int inside = exists && first + k >= 0 && first + k < layer->in_columns;
        column[k] = inside ? (const uint8_t *)mbv2_row(arena, ring, group * layer->in_columns + (uint32_t)(first + k))
                           : (const uint8_t *)layer->zeros;
    }
    if (layer->pad_left) column[0] += 3;
}

/* One output of a general channel; `x` is the first pixel of its window, counted from the first column on. */
static int32_t products(const int8_t *w, const uint8_t *const *column, uint32_t c, uint32_t x, uint32_t beside) {
    static const uint8_t byte[4] = {0, 2, 1, 3};
    int32_t acc = 0;
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t k = x; k < x + 3; k++) {
            acc += w[3 * r + k - x] * column[3 * r + k / 4][4 * c + (k < beside ? 0u : byte[k % 4])];
        }
    }
    return acc;
}

/* Channels that the fast body has left: the tile's values are replaced. */
static void general_channels(const mbv2_depthwise_columns_dsp *layer, const uint8_t *const *column, int16_t *tile) {
    const uint32_t *record = layer->general.records;
    const uint32_t first = layer->pad_left ? 3 : 0, beside = first + layer->pad_left;
    for (uint32_t i = 0; i < layer->general.count; i++, record += 7) {
        const uint32_t c = record[0];
        for (uint32_t x = 0; x < 4; x++) {
            const int32_t acc = products((const int8_t *)(record + 4), column, c, first + x * layer->stride, beside);
            tile[c / 2 * 8 + x * 2 + c % 2] = (int16_t)(mbv2_general_output(&layer->general, record, acc) + 128);
        }
    }
}

void mbv2_depthwise_conv_columns_s8_dsp(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *column[3 * WINDOW_COLUMNS];
    const int32_t y = (int32_t)(unit / layer->out_columns) * layer->stride - layer->pad_top;
    const int32_t x = (int32_t)(unit % layer->out_columns) * layer->stride - layer->pad_left;
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    for (int32_t r = 0; r < 3; r++) find_columns(layer, arena, y + r, x, &column[WINDOW_COLUMNS * r]);
    layer->body(column, tile, layer->stream + (uint32_t)layer->channels * 9, layer->stream);
    if (layer->general.count) general_channels(layer, column, tile);
}
