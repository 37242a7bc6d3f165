/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pipeline.c - which layer of a segment works next.
 */
#include "mbv2_pipeline.h"

static int ready(const mbv2_step *steps, const uint16_t *done, int index) {
    const mbv2_step *step = &steps[index];
    const int32_t unit = done[index];
    if (unit == step->units) return 0;
    for (unsigned i = 0; i < step->needs; i++) {
        const mbv2_need *need = &step->need[i];
        const mbv2_step *source = &steps[need->source];
        const int32_t ran = done[need->source];
        const int32_t made = source->reduces ? ran == source->units : ran * source->band;
        const int32_t wanted = unit * need->stride + need->first;
        if (made < (wanted < need->height ? wanted : need->height)) return 0;
    }
    return 1;
}

int mbv2_pipeline_next(const mbv2_step *steps, const uint16_t *done, int from) {
    while (from >= 0 && !ready(steps, done, from)) from--;
    return from;
}
