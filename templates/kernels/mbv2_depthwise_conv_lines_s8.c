/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution from planar lines to rows NHWC. A line brings its left and right padding with it. A row above
 * or below the picture is the zero point everywhere: its taps become 0, the bias takes in zero point x sum of taps,
 * and any real row stands in for it.
 */
#include "mbv2_arithmetic.h"

enum { MAX_KERNEL_H = 8 };

/* 3x3 over three lines; the nine taps stay in registers. */
static void filter_3x3(const mbv2_conv *layer, const int8_t *const line[3], const int32_t w[9], int32_t bias, uint32_t c,
                       int8_t *out) {
    const int8_t *r0 = line[0], *r1 = line[1], *r2 = line[2];
    for (uint32_t x = 0; x < layer->out_w; x++, r0 += layer->stride_w, r1 += layer->stride_w, r2 += layer->stride_w) {
        const int32_t acc = bias + w[0] * r0[0] + w[1] * r0[1] + w[2] * r0[2] + w[3] * r1[0] + w[4] * r1[1] + w[5] * r1[2] +
                            w[6] * r2[0] + w[7] * r2[1] + w[8] * r2[2];
        out[x * layer->out_c] = mbv2_output(layer, c, acc);
    }
}

static void filter_any(const mbv2_conv *layer, const int8_t *const line[MAX_KERNEL_H], const int8_t *w, int32_t inside,
                       int32_t bias, uint32_t c, int8_t *out) {
    for (uint32_t x = 0; x < layer->out_w; x++) {
        int32_t acc = bias;
        for (int32_t i = 0; i < layer->kernel_h; i++) {
            if (!(inside >> i & 1)) continue;
            for (int32_t j = 0; j < layer->kernel_w; j++) {
                acc += w[i * layer->kernel_w + j] * line[i][x * layer->stride_w + (uint32_t)j];
            }
        }
        out[x * layer->out_c] = mbv2_output(layer, c, acc);
    }
}

void mbv2_depthwise_conv_lines_s8(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    const int32_t top = (int32_t)(unit * layer->stride_h) - layer->pad_top;
    const uint32_t step = (uint32_t)layer->line_left + layer->in_w + layer->line_right;
    const int32_t taps = layer->kernel_h * layer->kernel_w;
    const int8_t *line[MAX_KERNEL_H] = {0};
    int32_t inside = 0; /* bit i: row top + i exists */
    for (int32_t i = 0; i < layer->kernel_h; i++) {
        const int32_t row = top + i;
        if (row >= 0 && row < layer->in_h) inside |= 1 << i;
        line[i] = mbv2_row(arena, &layer->input, (uint32_t)mbv2_clamp(row, 0, layer->in_h - 1));
    }
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t c = 0; c < layer->out_c; c++) {
        const int8_t *w = layer->weights + c * (uint32_t)taps;
        int32_t bias = layer->bias[c]; /* |acc| < 2^31: proved for every channel when the network was compiled */
        for (int32_t t = 0; t < taps; t++) {
            if (!(inside >> (t / layer->kernel_w) & 1)) bias += w[t] * layer->input_zero_point;
        }
        if (layer->kernel_h == 3 && layer->kernel_w == 3) {
            int32_t tap[9];
            for (int32_t t = 0; t < 9; t++) tap[t] = inside >> (t / 3) & 1 ? w[t] : 0;
            filter_3x3(layer, line, tap, bias, c, out + c);
        } else {
            filter_any(layer, line, w, inside, bias, c, out + c);
        }
        for (int32_t i = 0; i < layer->kernel_h; i++) line[i] += step;
    }
}
