/* SPDX-License-Identifier: 0BSD
 *
 * Fully connected: the whole input, which stands in the arena without gaps, is one pixel.
 */
#include "mbv2_dot_s4.h"

void mbv2_fully_connected_s4(const mbv2_conv *layer, uint8_t *arena, uint32_t unit) {
    mbv2_dot_row_s4(layer, mbv2_row(arena, &layer->input, 0), mbv2_row(arena, &layer->output, unit), 1, layer->out_c, 1);
}
