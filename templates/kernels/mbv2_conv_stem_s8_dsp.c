/* SPDX-License-Identifier: 0BSD
 *
 * First convolution: 3x3 windows at stride 2, NHWC to lines with ReLU, or to NHWC. Four windows at a time become a tile. Groups whose
 * windows lie inside the picture are read where they stand; the others from a copy of their columns with the padding
 * (the zero point) filled in.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

enum { GROUP_COLUMNS = 9 }; /* of four 3x3 windows at stride 2 */

/* Columns [first, first + 9) of three rows from row `top` on, `lead` bytes behind `edge`, 28 or 12 bytes a row. */
static void copy_edge(const mbv2_conv_stem_dsp *layer, uint8_t *arena, int32_t top, int32_t first, uint32_t row_bytes) {
    const int32_t channels = layer->conv.in_c;
    for (int32_t r = 0; r < 3; r++) {
        int8_t *to = (int8_t *)(arena + layer->edge) + (uint32_t)r * row_bytes + layer->lead;
        const int32_t row = top + r;
        const int exists = row >= 0 && row < layer->conv.in_h;
        const int8_t *from = mbv2_row(arena, &layer->conv.input, exists ? (uint32_t)row : 0);
        for (int32_t i = 0; i < GROUP_COLUMNS * channels; i++) {
            const int32_t at = first * channels + i;
            to[i] = exists && at >= 0 && at < layer->in_w * channels ? from[at] : layer->zero_point;
        }
    }
}

/* The rows of the windows of output row y; NULL where one of them is not in the picture. */
static int32_t find_rows(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t y, const int8_t *row[3]) {
    const int32_t top = (int32_t)y * 2 - layer->pad_top;
    const int inside = top >= 0 && top + 3 <= layer->conv.in_h;
    for (int32_t r = 0; r < 3; r++) row[r] = inside ? mbv2_row(arena, &layer->conv.input, (uint32_t)(top + r)) : NULL;
    return top;
}

/* The tile of the four windows from output x on. */
static void window_tile(const mbv2_conv_stem_dsp *layer, uint8_t *arena, const int8_t *const row[3], int32_t top, uint32_t x) {
    int16_t *tile = (int16_t *)(void *)(arena + layer->conv.tile);
    const int32_t channels = layer->conv.in_c;
    const int32_t first = (int32_t)x * 2 - layer->pad_left;
    const int32_t at = first * channels - layer->lead;
    if (row[0] && at >= 0 && at + layer->read_bytes <= layer->in_w * channels) {
        layer->im2col(row[0] + at, row[1] + at, row[2] + at, tile);
    } else {
        const uint32_t edge_row = channels == 3 ? 28 : 12;
        const uint8_t *edge = arena + layer->edge;
        copy_edge(layer, arena, top, first, edge_row);
        layer->im2col(edge, edge + edge_row, edge + 2 * edge_row, tile);
    }
}

void mbv2_conv_stem_s8_dsp(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->conv;
    uint8_t *out = mbv2_lines_row(&conv->output, arena, unit, conv->line_top, layer->out_h);
    if (out == NULL) return;
    const int8_t *row[3];
    const int32_t top = find_rows(layer, arena, unit - conv->line_top, row);
    for (uint32_t x = 0; x < conv->width; x += 4, out += 4) {
        window_tile(layer, arena, row, top, x);
        mbv2_tile_to_lines(conv, (const int16_t *)(void *)(arena + conv->tile), out, conv->width - x < 4 ? conv->width - x : 4);
    }
}

void mbv2_conv_stem_nhwc_s8_dsp(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->conv;
    int8_t *out = mbv2_row(arena, &conv->output, unit);
    const int8_t *row[3];
    const int32_t top = find_rows(layer, arena, unit, row);
    for (uint32_t x = 0; x < conv->width; x += 4, out += 4 * conv->out_c) {
        window_tile(layer, arena, row, top, x);
        mbv2_tile_to_nhwc(conv, (const int16_t *)(void *)(arena + conv->tile), out, conv->width - x < 4 ? conv->width - x : 4);
    }
}

/* Four pixels of each row of a group. */
void mbv2_conv_stem_columns_s8_dsp(const mbv2_conv_stem_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->stem.conv;
    const mbv2_column_group *group = &layer->group;
    const uint32_t above = unit / group->columns * group->rows - group->above, column = unit % group->columns;
    for (uint32_t r = 0; r < group->rows; r++) {
        if (above + r >= group->height) continue; /* above the plane it wraps round */
        const int8_t *row[3];
        const int32_t top = find_rows(&layer->stem, arena, above + r, row);
        window_tile(&layer->stem, arena, row, top, 4 * column);
        mbv2_tile_to_lines(conv, (const int16_t *)(void *)(arena + conv->tile), mbv2_group_column(group, &conv->output, arena, unit, r), 4);
    }
}

/* The same of each row of a window. */
void mbv2_conv_stem_windows_s8_dsp(const mbv2_conv_stem_columns_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->stem.conv;
    const mbv2_column_group *group = &layer->group;
    const uint32_t above = unit / group->columns * group->rows - group->above, column = unit % group->columns;
    for (uint32_t r = 0; r < MBV2_WINDOW_ROWS; r++) {
        if (above + r >= group->height) continue; /* above the plane it wraps round */
        const int8_t *row[3];
        const int32_t top = find_rows(&layer->stem, arena, above + r, row);
        window_tile(&layer->stem, arena, row, top, 4 * column);
        mbv2_tile_to_lines(conv, (const int16_t *)(void *)(arena + conv->tile), mbv2_window_column(&conv->output, arena, unit, r), 4);
    }
}
