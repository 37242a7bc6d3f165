/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pipeline.c - which layer of a segment works next.
 */
#include "mbv2_pipeline.h"

/* Columns (or rows) of its source that a unit needs. Bounds: a tensor has less than 2^16 of them. */
static inline int32_t wanted(const mbv2_need *need, int32_t unit, int32_t unit_columns) {
    const int32_t columns = need->columns;
    if (columns == 0) return unit + 1;
    const int32_t y = unit / unit_columns;
    const int32_t first = y * need->stride + need->first;
    const int32_t rows = first < 0 ? 0 : first < need->height ? first : need->height;
    if (columns == 1 || rows == 0) return rows;
    const int32_t end = (unit - y * unit_columns) * need->column_stride + need->column_first;
    return (rows - 1) * columns + (end < columns ? end : columns);
}

int mbv2_pipeline_next(const mbv2_need *needs, const mbv2_step *steps, const uint16_t *done, int from) {
    for (const mbv2_step *step = steps + from; from >= 0; from--, step--) {
        const int32_t unit = done[from];
        if (unit == step->units) continue;
        unsigned i = step->needs;
        for (; i > 0; i--) {
            const unsigned source = step->source[i - 1];
            const int32_t made = done[source] * steps[source].band - steps[source].behind;
            if (made < wanted(&needs[step->need[i - 1]], unit, step->unit_columns)) break;
        }
        if (i == 0) break;
    }
    return from;
}
