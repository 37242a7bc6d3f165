/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dot_s4.h - mbv2_dot.h for weights of 4 bits: a byte holds those of two output channels for one input, that of the
 * first in its low half. Kernels multiply by 16 times the weight, which is what the half is where it stands at the top.
 */
#ifndef MBV2_DOT_S4_H
#define MBV2_DOT_S4_H

#include "mbv2_arithmetic.h"

/* As mbv2_dot_row. An odd last channel stands in both halves of its bytes, and is computed twice. */
static inline void mbv2_dot_row_s4(const mbv2_conv *layer, const int8_t *in, int8_t *out, uint32_t pixels,
                                   uint32_t pixel_step, uint32_t channel_step) {
    const uint32_t k_count = layer->in_c;
    for (uint32_t c = 0; c < layer->out_c; c += 2) {
        const uint32_t d = c + 1 < layer->out_c ? c + 1 : c;
        const int8_t *w = layer->weights + c / 2 * k_count;
        for (uint32_t p = 0; p < pixels; p += 2) {
            const uint32_t q = p + 1 < pixels ? p + 1 : p; /* an odd last pixel is computed twice */
            const int8_t *x0 = in + p * k_count;
            const int8_t *x1 = in + q * k_count;
            int32_t a00 = layer->bias[c], a01 = a00;
            int32_t a10 = layer->bias[d], a11 = a10;
            for (uint32_t k = 0; k < k_count; k++) {
                const int32_t v0 = x0[k], v1 = x1[k], both = w[k];
                const int32_t u1 = both & ~15, u0 = (int8_t)(uint8_t)((uint32_t)both << 4);
                a00 += v0 * u0;
                a01 += v1 * u0;
                a10 += v0 * u1;
                a11 += v1 * u1;
            }
            out[p * pixel_step + c * channel_step] = mbv2_output(layer, c, a00);
            out[q * pixel_step + c * channel_step] = mbv2_output(layer, c, a01);
            out[p * pixel_step + d * channel_step] = mbv2_output(layer, d, a10);
            out[q * pixel_step + d * channel_step] = mbv2_output(layer, d, a11);
        }
    }
}

#endif
