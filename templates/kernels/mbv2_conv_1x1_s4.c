/* SPDX-License-Identifier: 0BSD
 *
 * Pointwise convolution, rows NHWC to rows NHWC.
 */
#include "mbv2_dot_s4.h"

void mbv2_conv_1x1_s4(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    mbv2_dot_row_s4(layer, mbv2_row(arena, &layer->input, unit), mbv2_row(arena, &layer->output, unit), layer->out_w,
                 layer->out_c, 1);
}
