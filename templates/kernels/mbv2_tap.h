/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_tap.h - with -DMBV2_TAP every layer's rows are handed out in canonical NHWC int8, whatever the schedule.
 */
#ifndef MBV2_TAP_H
#define MBV2_TAP_H

#include "mbv2_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MBV2_TAP
/* Supplied by the application: `count` values of row `row` of layer `layer`, from value `first` of the row on. */
void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count);

/* Planar lines [c][line] to NHWC, in chunks of one pixel's channels or less. */
static inline void mbv2_tap_lines(unsigned layer, unsigned row, const int8_t *lines, unsigned left, unsigned line,
                                  unsigned w, unsigned c) {
    int8_t values[64];
    for (unsigned x = 0; x < w; x++) {
        for (unsigned k = 0; k < c; k += sizeof values) {
            unsigned count = c - k < sizeof values ? c - k : (unsigned)sizeof values;
            for (unsigned i = 0; i < count; i++) values[i] = lines[(k + i) * line + left + x];
            mbv2_tap(layer, row, x * c + k, values, count);
        }
    }
}
#endif

#ifdef MBV2_PROFILE
/* Supplied by the application: called before each unit of work of a layer, and with the number of layers at the end. */
void mbv2_profile(unsigned layer);
#endif

#ifdef __cplusplus
}
#endif

#endif
