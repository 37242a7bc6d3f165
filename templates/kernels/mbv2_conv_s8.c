/* SPDX-License-Identifier: 0BSD
 *
 * Convolution with any window, rows NHWC. Taps outside the picture are left out: a padded value is the zero point,
 * so its product is zero.
 */
#include "mbv2_arithmetic.h"

void mbv2_conv_s8(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    const int32_t top = (int32_t)(unit * layer->stride_h) - layer->pad_top;
    const uint32_t row_weights = layer->kernel_w * layer->in_c;
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t x = 0; x < layer->out_w; x++) {
        const int32_t left = (int32_t)(x * layer->stride_w) - layer->pad_left;
        const int32_t first = left < 0 ? -left : 0; /* taps [first, last) of a row lie inside */
        const int32_t room = (int32_t)layer->in_w - left;
        const int32_t last = room < layer->kernel_w ? room : layer->kernel_w;
        const uint32_t count = last > first ? (uint32_t)(last - first) * layer->in_c : 0;
        for (uint32_t c = 0; c < layer->out_c; c++) {
            int32_t acc = layer->bias[c]; /* |acc| < 2^31: proved for every channel when the network was compiled */
            const int8_t *w = layer->weights + c * layer->kernel_h * row_weights;
            for (int32_t i = 0; i < layer->kernel_h; i++, w += row_weights) {
                if (top + i < 0 || top + i >= layer->in_h || count == 0) continue;
                const int8_t *in = mbv2_row(arena, &layer->input, (uint32_t)(top + i)) + (uint32_t)(left + first) * layer->in_c;
                const int8_t *tap = w + (uint32_t)first * layer->in_c;
                for (uint32_t k = 0; k < count; k++) acc += tap[k] * (in[k] - layer->input_zero_point);
            }
            out[x * layer->out_c + c] = mbv2_output(layer, c, acc);
        }
    }
}
