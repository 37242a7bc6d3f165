/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution with any window, rows NHWC. Taps outside the picture are left out.
 */
#include "mbv2_arithmetic.h"

void mbv2_depthwise_conv_s8(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    const int32_t top = (int32_t)(unit * layer->stride_h) - layer->pad_top;
    const uint32_t channels = layer->out_c;
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t x = 0; x < layer->out_w; x++) {
        const int32_t left = (int32_t)(x * layer->stride_w) - layer->pad_left;
        for (uint32_t c = 0; c < channels; c++) {
            int32_t acc = layer->bias[c]; /* |acc| < 2^31: proved for every channel when the network was compiled */
            for (int32_t i = 0; i < layer->kernel_h; i++) {
                if (top + i < 0 || top + i >= layer->in_h) continue;
                const int8_t *in = mbv2_row(arena, &layer->input, (uint32_t)(top + i));
                const int8_t *w = layer->weights + (uint32_t)i * layer->kernel_w * channels + c;
                for (int32_t j = 0; j < layer->kernel_w; j++) {
                    if (left + j < 0 || left + j >= layer->in_w) continue;
                    acc += w[(uint32_t)j * channels] * (in[(uint32_t)(left + j) * channels + c] - layer->input_zero_point);
                }
            }
            out[x * channels + c] = mbv2_output(layer, c, acc);
        }
    }
}
