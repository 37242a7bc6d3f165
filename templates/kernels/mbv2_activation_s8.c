/* SPDX-License-Identifier: 0BSD
 *
 * A clamp; input and output share scale and zero point.
 */
#include "mbv2_arithmetic.h"

void mbv2_activation_s8(const mbv2_activation *layer, uint8_t *arena, uint32_t unit) {
    const int8_t *in = mbv2_row(arena, &layer->input, unit);
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    for (uint32_t i = 0; i < layer->output.row_bytes; i++) {
        out[i] = (int8_t)mbv2_clamp(in[i], layer->act_min, layer->act_max);
    }
}
