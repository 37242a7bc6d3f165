/* SPDX-License-Identifier: 0BSD
 *
 * Residual addition in two multiplications a value; the last values of a row, fewer than four, by the same formula in C.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_add_s8_dsp(const mbv2_add_dsp *layer, uint8_t *arena, uint32_t unit) {
    int8_t *a = mbv2_row(arena, &layer->input_0, unit);
    const int8_t *b = mbv2_row(arena, &layer->input_1, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    const uint32_t count = layer->output.row_bytes, fast = count & ~3u;
    if (out != a) {
        for (uint32_t i = 0; i < count; i++) out[i] = a[i];
    }
    if (fast) mbv2_add_mla_dsp(out, b, layer->constants, out + fast);
    for (uint32_t i = fast; i < count; i++) {
        const int32_t sum = layer->constants[0] * out[i] + layer->constants[1] * b[i] + layer->constants[2];
        out[i] = (int8_t)mbv2_clamp(sum >> MBV2_DSP_ADD_SHIFT, -128, 127);
    }
}
