/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution from planar lines to rows NHWC. The lines bring their padding with them, on all sides.
 */
#include "mbv2_arithmetic.h"

/* 3x3 over three lines; the nine taps stay in registers. */
static void filter_3x3(const mbv2_conv *layer, const int8_t *r0, const int8_t *r1, const int8_t *r2, uint32_t c, int8_t *out) {
    const int8_t *w = layer->weights + 9 * c;
    const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7], w8 = w[8];
    const int32_t bias = layer->bias[c]; /* |acc| < 2^31: proved for every channel when the network was compiled */
    for (uint32_t x = 0; x < layer->out_w; x++, r0 += layer->stride_w, r1 += layer->stride_w, r2 += layer->stride_w) {
        const int32_t acc = bias + w0 * r0[0] + w1 * r0[1] + w2 * r0[2] + w3 * r1[0] + w4 * r1[1] + w5 * r1[2] + w6 * r2[0] +
                            w7 * r2[1] + w8 * r2[2];
        out[x * layer->out_c] = mbv2_output(layer, c, acc);
    }
}

static void filter_any(const mbv2_conv *layer, uint8_t *arena, uint32_t top, uint32_t first, uint32_t c, int8_t *out) {
    const uint32_t taps = (uint32_t)layer->kernel_h * layer->kernel_w;
    for (uint32_t x = 0; x < layer->out_w; x++) {
        const int8_t *w = layer->weights + taps * c;
        int32_t acc = layer->bias[c];
        for (uint32_t i = 0; i < layer->kernel_h; i++) {
            const int8_t *in = mbv2_row(arena, &layer->input, top + i) + first + x * layer->stride_w;
            for (uint32_t j = 0; j < layer->kernel_w; j++) acc += *w++ * in[j];
        }
        out[x * layer->out_c] = mbv2_output(layer, c, acc);
    }
}

void mbv2_depthwise_conv_lines_s8(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    const uint32_t top = unit * layer->stride_h;
    const uint32_t line = (uint32_t)layer->line_left + layer->in_w + layer->line_right;
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    if (layer->kernel_h == 3 && layer->kernel_w == 3) {
        const int8_t *r0 = mbv2_row(arena, &layer->input, top);
        const int8_t *r1 = mbv2_row(arena, &layer->input, top + 1);
        const int8_t *r2 = mbv2_row(arena, &layer->input, top + 2);
        for (uint32_t c = 0; c < layer->out_c; c++) {
            filter_3x3(layer, r0 + c * line, r1 + c * line, r2 + c * line, c, out + c);
        }
    } else {
        for (uint32_t c = 0; c < layer->out_c; c++) filter_any(layer, arena, top, c * line, c, out + c);
    }
}
