/* SPDX-License-Identifier: 0BSD
 *
 * First convolution: 3x3 windows at stride 2, NHWC to lines, ReLU. Four windows at a time become a tile. Groups whose
 * windows lie inside the picture are read where they stand; the others from a copy of their columns with the padding
 * (the zero point) filled in.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

enum { GROUP_COLUMNS = 9 }; /* of four 3x3 windows at stride 2 */

/* Columns [first, first + 9) of three rows from row `top` on, at `edge`, 28 bytes a row for each 3 channels. */
static void copy_edge(const mbv2_conv_stem_dsp *layer, uint8_t *arena, int32_t top, int32_t first, uint32_t row_bytes) {
    const int32_t channels = layer->conv.in_c;
    for (int32_t r = 0; r < 3; r++) {
        int8_t *to = (int8_t *)(arena + layer->edge) + (uint32_t)r * row_bytes;
        const int32_t row = top + r;
        const int exists = row >= 0 && row < layer->conv.in_h;
        const int8_t *from = mbv2_row(arena, &layer->conv.input, exists ? (uint32_t)row : 0);
        for (int32_t i = 0; i < GROUP_COLUMNS * channels; i++) {
            const int32_t at = first * channels + i;
            to[i] = exists && at >= 0 && at < layer->in_w * channels ? from[at] : layer->zero_point;
        }
    }
}

void mbv2_conv_stem_s8_dsp(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv_1x1_dsp *conv = &layer->conv;
    uint8_t *out = mbv2_lines_row(&conv->output, arena, unit, conv->line_top, layer->out_h);
    if (out == NULL) return;
    int16_t *tile = (int16_t *)(void *)(arena + conv->tile);
    const int32_t channels = conv->in_c;
    const int32_t top = (int32_t)(unit - conv->line_top) * 2 - layer->pad_top;
    const uint32_t edge_row = channels == 3 ? 28 : 12;
    const int inside_rows = top >= 0 && top + 3 <= conv->in_h;
    const int8_t *row[3] = {0};
    for (int32_t r = 0; inside_rows && r < 3; r++) row[r] = mbv2_row(arena, &conv->input, (uint32_t)(top + r));
    for (uint32_t x = 0; x < conv->width; x += 4, out += 4) {
        const uint32_t pixels = conv->width - x < 4 ? conv->width - x : 4;
        const int32_t first = (int32_t)x * 2 - layer->pad_left;
        const int32_t at = first * channels - layer->lead;
        if (inside_rows && at >= 0 && at + layer->read_bytes <= layer->in_w * channels) {
            layer->im2col(row[0] + at, row[1] + at, row[2] + at, tile);
        } else {
            copy_edge(layer, arena, top, first, edge_row);
            const uint8_t *edge = arena + layer->edge;
            layer->im2col_edge(edge, edge + edge_row, edge + 2 * edge_row, tile);
        }
        mbv2_tile_to_lines(conv, tile, out, pixels);
    }
}
