/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution, rows NHWC to planar lines: [channel][line_left + width + line_right]. The padding is written
 * here: beside each line, and as line_top rows above and what rows there are below.
 */
#include "mbv2_dot_s4.h"

void mbv2_conv_1x1_lines_s4(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    const uint32_t line = (uint32_t)layer->line_left + layer->out_w + layer->line_right;
    const int8_t zero = (int8_t)layer->output_zero_point;
    const uint32_t row = unit - layer->line_top; /* above the plane it wraps round */
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    if (row >= layer->in_h) {
        for (uint32_t i = 0; i < layer->output.row_bytes; i++) out[i] = zero;
        return;
    }
    for (uint32_t c = 0; c < layer->out_c; c++) {
        for (uint32_t x = 0; x < layer->line_left; x++) out[c * line + x] = zero;
        for (uint32_t x = line - layer->line_right; x < line; x++) out[c * line + x] = zero;
    }
    mbv2_dot_row_s4(layer, mbv2_row(arena, &layer->input, row), out + layer->line_left, layer->out_w, 1, line);
}
