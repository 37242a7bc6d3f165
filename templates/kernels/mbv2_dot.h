/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dot.h - the inner block of every 1x1 convolution: two output channels times two pixels, so that four loads
 * feed four multiplications.
 */
#ifndef MBV2_DOT_H
#define MBV2_DOT_H

#include "mbv2_arithmetic.h"

/* One row of `pixels` pixels of in_c values each; output (pixel p, channel c) goes to out[p * pixel_step + c *
 * channel_step]. Bounds: |acc| < 2^31, proved for every channel over all inputs when the network was compiled. */
static inline void mbv2_dot_row(const mbv2_conv *layer, const int8_t *in, int8_t *out, uint32_t pixels,
                                uint32_t pixel_step, uint32_t channel_step) {
    const uint32_t k_count = layer->in_c;
    for (uint32_t c = 0; c < layer->out_c; c += 2) {
        const uint32_t d = c + 1 < layer->out_c ? c + 1 : c; /* an odd last channel is computed twice */
        const int8_t *w0 = layer->weights + c * k_count;
        const int8_t *w1 = layer->weights + d * k_count;
        for (uint32_t p = 0; p < pixels; p += 2) {
            const uint32_t q = p + 1 < pixels ? p + 1 : p; /* and so is an odd last pixel */
            const int8_t *x0 = in + p * k_count;
            const int8_t *x1 = in + q * k_count;
            int32_t a00 = layer->bias[c], a01 = a00;
            int32_t a10 = layer->bias[d], a11 = a10;
            for (uint32_t k = 0; k < k_count; k++) {
                const int32_t v0 = x0[k], v1 = x1[k], u0 = w0[k], u1 = w1[k];
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
