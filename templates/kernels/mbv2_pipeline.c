/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pipeline.c - which layer of a segment works next.
 */
#include "mbv2_pipeline.h"

/* Columns (or rows) of its source that a unit needs. Bounds: a tensor has less than 2^16 of them. */
static int32_t wanted(const mbv2_need *need, int32_t unit, int32_t unit_columns) {
    if (need->columns == 0) return unit + 1;
    const int32_t y = unit_columns == 1 ? unit : unit / unit_columns; /* not every core can divide */
    const int32_t first = y * need->stride + need->first;
    const int32_t rows = first < need->height ? first : need->height;
    if (need->columns == 1 || rows <= 0) return rows;
    const int32_t end = (unit - y * unit_columns) * need->column_stride + need->column_first;
    return (rows - 1) * need->columns + (end < need->columns ? end : need->columns);
}

static int ready(const mbv2_need *needs, const mbv2_step *steps, const uint16_t *done, int index) {
    const mbv2_step *step = &steps[index];
    const int32_t unit = done[index];
    if (unit == step->units) return 0;
    for (unsigned i = 0; i < step->needs; i++) {
        const mbv2_step *source = &steps[step->source[i]];
        const int32_t ran = done[step->source[i]];
        const int32_t made = source->reduces ? ran == source->units : ran * source->band;
        if (made < wanted(&needs[step->need[i]], unit, step->unit_columns)) return 0;
    }
    return 1;
}

int mbv2_pipeline_next(const mbv2_need *needs, const mbv2_step *steps, const uint16_t *done, int from) {
    while (from >= 0 && !ready(needs, steps, done, from)) from--;
    return from;
}
