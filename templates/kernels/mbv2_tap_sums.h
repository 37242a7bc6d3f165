/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_tap_sums.h - with -DMBV2_TAP: the rows of a layer that adds its values to pool sums as they come.
 *
 * No row of it ever exists. So each pixel is computed once more, by the same kernel and bodies, alone: as a row that holds
 * it in every place.
 */
#ifndef MBV2_TAP_SUMS_H
#define MBV2_TAP_SUMS_H

#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"
#include "mbv2_tap.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MBV2_TAP
/* Right behind the unit, while its input row and its tile's room are still there; `kept` has room for all the sums. */
static inline void mbv2_tap_sums(const mbv2_tap_layer *tap, const mbv2_conv_1x1_dsp *conv, uint8_t *arena, unsigned layer,
                                 uint32_t unit, int32_t *kept) {
    int32_t *sums = (int32_t *)(void *)mbv2_row(arena, &conv->output, 0);
    const uint32_t positions = conv->channels + (conv->own ? conv->own->channels : 0u);
    const uint32_t row = conv->input.offset + unit % conv->input.rows * conv->input.row_bytes;
    mbv2_conv_1x1_dsp one = *conv;
    one.input.rows = 1;
    one.in_c = 0; /* from pixel to pixel */
    one.width = (uint16_t)tap->line;
    for (uint32_t k = 0; k < positions; k++) kept[k] = sums[k];
    for (unsigned x = 0; x < conv->width; x++) {
        one.input.offset = row + x * conv->in_c;
        mbv2_conv_1x1_sums_s8_dsp(&one, arena, 0); /* unit 0 begins with sums of 0 */
        mbv2_tap_pixel(tap, (const uint8_t *)sums, 0, 0, layer, unit, x);
    }
    for (uint32_t k = 0; k < positions; k++) sums[k] = kept[k];
}
#endif

#ifdef __cplusplus
}
#endif

#endif
