/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_tap.h - with -DMBV2_TAP every layer's rows are handed out in canonical NHWC int8, whatever the schedule.
 */
#ifndef MBV2_TAP_H
#define MBV2_TAP_H

#include <stddef.h>

#include "mbv2_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MBV2_TAP
/* Supplied by the application: `count` values of row `row` of layer `layer`, from value `first` of the row on. */
void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count);

/* NHWC rows; int8 lines; uint8 lines in words p0 p2 p1 p3 (of a row, a column or a plane); int16 tiles
 * [4 pixels][pair of channels][4][2]; int32 sums of one pixel's values + 128 (mbv2_tap_sums.h). */
typedef enum mbv2_tap_form {
    MBV2_TAP_NHWC,
    MBV2_TAP_LINES,
    MBV2_TAP_UINT8_LINES,
    MBV2_TAP_TILE16,
    MBV2_TAP_SUMS
} mbv2_tap_form;

typedef struct mbv2_tap_layer {
    mbv2_rows rows;
    mbv2_tap_form form;
    unsigned band;            /* rows of the tensor that stand in one row of the layout, or that one unit makes */
    unsigned top, left, line; /* rows of padding above; bytes before a line's first pixel; bytes of a line (sums: how
                                 often they hold the pixel) */
    unsigned h, w, c;
    const int16_t *order;     /* channel of each position; NULL: its own */
    unsigned positions, units; /* that a row of the layout holds at most, where they come in groups, and units a group */
    unsigned columns;         /* units a row, where a unit is a column of four pixels; else 0 */
    unsigned group;           /* of so many rows, the last of them in `rows`, the others in `passing`; where a column is of
                                 `band` rows of a window, how far on the next row of windows begins */
    mbv2_rows passing;
} mbv2_tap_layer;

/* Pixel x of the channel at position k of a row of `even` positions. */
static inline int8_t mbv2_tap_value(const mbv2_tap_layer *tap, const uint8_t *row, unsigned even, unsigned x, unsigned k) {
    const unsigned at = x / 4 * 4 + (x % 4 == 1 ? 2 : x % 4 == 2 ? 1 : x % 4);
    switch (tap->form) {
    case MBV2_TAP_LINES: return (int8_t)row[k * tap->line + tap->left + x];
    case MBV2_TAP_UINT8_LINES: return (int8_t)(row[tap->left + k * tap->line + at] - 128);
    case MBV2_TAP_TILE16: return (int8_t)(row[(x / 4 * (even / 2) + k / 2) * 16 + x % 4 * 4 + k % 2 * 2] - 128);
    case MBV2_TAP_SUMS: return (int8_t)(((const int32_t *)(const void *)row)[k] / (int32_t)tap->line - 128);
    default: return (int8_t)row[x * tap->c + k];
    }
}

/* Pixel x of row y of the tensor: pixel `at` of what `row` points to, which is group `group` of the channels. Values that
 * follow each other are handed out together. */
static inline void mbv2_tap_pixel(const mbv2_tap_layer *tap, const uint8_t *row, unsigned group, unsigned at,
                                  unsigned layer, unsigned y, unsigned x) {
    const unsigned all = tap->order ? tap->c + tap->c % 2 : tap->c, begin = group * tap->positions;
    const unsigned count = all - begin < tap->positions ? all - begin : tap->positions;
    int8_t values[32];
    for (unsigned first = 0; first < tap->c; first += (unsigned)sizeof values) {
        const unsigned end = tap->c - first < sizeof values ? tap->c - first : (unsigned)sizeof values;
        uint32_t here = 0; /* a bit a value */
        for (unsigned k = 0; k < count; k++) {
            const unsigned channel = tap->order ? (unsigned)tap->order[begin + k] : k; /* -1, nothing, is large */
            if (channel - first >= end) continue;
            values[channel - first] = mbv2_tap_value(tap, row, count + count % 2, at, k);
            here |= (uint32_t)1 << (channel - first);
        }
        for (unsigned i = 0, from = 0; i < end; from = ++i) {
            while (i < end && here >> i & 1u) i++;
            if (i > from) mbv2_tap(layer, y, x * tap->c + first + from, values + from, i - from);
        }
    }
}

static inline void mbv2_tap_column(const mbv2_tap_layer *tap, const uint8_t *arena, unsigned layer, uint32_t unit) {
    for (unsigned r = 0; r < tap->group; r++) {
        const mbv2_rows *ring = r + 1 == tap->group ? &tap->rows : &tap->passing;
        const unsigned y = unit / tap->columns * tap->group + r - tap->top, x = unit % tap->columns * 4;
        const uint8_t *column = arena + ring->offset + unit % ring->rows * ring->row_bytes;
        for (unsigned at = 0; y < tap->h && at < 4; at++) mbv2_tap_pixel(tap, column, 0, at, layer, y, x + at);
    }
}

/* Of a window the rows that the row of windows before it has not made too. */
static inline void mbv2_tap_window(const mbv2_tap_layer *tap, const uint8_t *arena, unsigned layer, uint32_t unit) {
    const uint8_t *column = arena + tap->rows.offset + unit % tap->rows.rows * tap->rows.row_bytes;
    for (unsigned r = unit < tap->columns ? 0 : tap->band - tap->group; r < tap->band; r++) {
        const unsigned y = unit / tap->columns * tap->group + r - tap->top, x = unit % tap->columns * 4;
        const uint8_t *part = column + r * (tap->rows.row_bytes / tap->band);
        for (unsigned at = 0; y < tap->h && at < 4; at++) mbv2_tap_pixel(tap, part, 0, at, layer, y, x + at);
    }
}

static inline void mbv2_tap_row(const mbv2_tap_layer *tap, const uint8_t *arena, unsigned layer, uint32_t unit) {
    if (tap->columns) {
        (tap->band > 1 ? mbv2_tap_window : mbv2_tap_column)(tap, arena, layer, unit);
        return;
    }
    const unsigned group = unit / tap->units, nhwc = tap->form == MBV2_TAP_NHWC;
    for (unsigned i = 0; i < tap->band; i++) {
        const unsigned slot = (nhwc ? unit * tap->band + i : unit) % tap->rows.rows;
        const unsigned y = unit % tap->units * tap->band + i - tap->top; /* a row of padding above wraps round */
        const uint8_t *row = arena + tap->rows.offset + slot * tap->rows.row_bytes;
        for (unsigned x = 0; y < tap->h && x < tap->w; x++) {
            mbv2_tap_pixel(tap, row, group, nhwc ? x : i * tap->w + x, layer, y, x);
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
