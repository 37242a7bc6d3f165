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

/* The columns that the windows of a unit touch, row after row: `first` is the left one, `row` the upper row. Of a column
 * beside on the left only the last pixel is read: the pointer is to that. */
static void find_columns(const mbv2_depthwise_columns_dsp *layer, const uint8_t *arena, int32_t row, int32_t first,
                         const uint8_t **column) {
    const uint8_t *const zeros = (const uint8_t *)layer->zeros;
    const uint32_t columns = layer->in_columns, stride = layer->stride, beside = 3u * layer->pad_left;
    const uint32_t left = first < 0, right = columns - (uint32_t)first < 3 ? columns - (uint32_t)first : 3;
    uint32_t place = (uint32_t)row + layer->above; /* where the row is above the plane it wraps round */
    for (const uint8_t **end = column + 3 * MBV2_WINDOW_COLUMNS; column < end; column += MBV2_WINDOW_COLUMNS, row++, place++) {
        column[0] = column[1] = column[2] = zeros;
        if (row >= 0 && row < layer->in_h) {
            const mbv2_rows *ring = (place + 1) % stride == 0 ? &layer->input : &layer->passing;
            const uint32_t slot = (place / stride * columns + (uint32_t)first + left) % ring->rows, bytes = ring->row_bytes;
            const uint8_t *begin = arena + ring->offset, *stop = begin + ring->rows * bytes, *next = begin + slot * bytes;
            for (uint32_t k = left; k < right; k++) {
                column[k] = next;
                next = next + bytes == stop ? begin : next + bytes;
            }
        }
        column[0] += beside;
    }
}

void mbv2_depthwise_conv_columns_s8_dsp(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *column[3 * MBV2_WINDOW_COLUMNS];
    const int32_t y = (int32_t)(unit / layer->out_columns) * layer->stride - layer->pad_top;
    const int32_t x = (int32_t)(unit % layer->out_columns) * layer->stride - layer->pad_left;
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    find_columns(layer, arena, y, x, column);
    layer->body(column, tile, layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS, layer->stream);
    if (layer->general) layer->general->body(layer, column, tile, 4);
}
