/* SPDX-License-Identifier: 0BSD
 *
 * Inverted residuals four pixels at a time that keep no expanded row: a unit of the expand makes a column of all three rows
 * of a window, and the next row of windows has its own made again. Such a column is [row of the window][channel][word];
 * its rows outside the plane are not written, and read from zeros.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

/* Expand. */
void mbv2_conv_1x1_windows_s8_dsp(const mbv2_conv_1x1_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->conv;
    const mbv2_column_group *group = &layer->group;
    const uint32_t above = unit / group->columns * group->rows - group->above, column = unit % group->columns;
    int16_t *tile = (int16_t *)(void *)(arena + conv->tile);
    for (uint32_t r = 0; r < MBV2_WINDOW_ROWS; r++) {
        const uint32_t row = above + r; /* above the plane it wraps round */
        if (row >= group->height) continue;
        const int8_t *in = mbv2_row(arena, &conv->input, row * group->columns + column);
        conv->expand(in, conv->in_c, tile, tile + (uint32_t)conv->expand_pairs * 8);
        mbv2_tile_to_lines(conv, tile, mbv2_window_column(&conv->output, arena, unit, r), 4);
    }
}

/* The columns that the windows of output row y touch, row after row, from column `first` on. Of a column beside on the left
 * only the last pixel is read: the pointer is to that. Beside the plane on the left `first` wraps round, as rows do above. */
static void find_columns(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t y, uint32_t first,
                         const uint8_t **column) {
    const uint8_t *const zeros = (const uint8_t *)layer->zeros;
    const uint32_t above = y * layer->stride - layer->pad_top, columns = layer->in_columns;
    const uint32_t part = layer->input.row_bytes / MBV2_WINDOW_ROWS;
    for (uint32_t k = 0; k < MBV2_WINDOW_COLUMNS; k++, first++) {
        const uint8_t *place = first < columns ? (const uint8_t *)mbv2_row(arena, &layer->input, y * columns + first) : NULL;
        for (uint32_t r = 0; r < MBV2_WINDOW_ROWS; r++) {
            column[r * MBV2_WINDOW_COLUMNS + k] = place != NULL && above + r < layer->in_h ? place + r * part : zeros;
        }
    }
    for (uint32_t r = 0; r < MBV2_WINDOW_ROWS; r++) column[r * MBV2_WINDOW_COLUMNS] += 3u * layer->pad_left;
}

void mbv2_depthwise_conv_windows_s8_dsp(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *column[MBV2_WINDOW_ROWS * MBV2_WINDOW_COLUMNS];
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    find_columns(layer, arena, unit / layer->out_columns, unit % layer->out_columns * layer->stride - layer->pad_left, column);
    layer->body(column, tile, layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS, layer->stream);
    if (layer->general) layer->general->body(layer, column, tile, 4);
}
