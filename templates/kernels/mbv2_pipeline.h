/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pipeline.h - which layer of a segment works next.
 *
 * A segment runs consecutive layers together, row by row: of all layers whose input rows are there, the one nearest the
 * output goes on. So a row is made only when nothing behind it can go on, and rings stay as short as they can be.
 */
#ifndef MBV2_PIPELINE_H
#define MBV2_PIPELINE_H

#include "mbv2_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What unit g of row y needs from a layer that it reads: min(height, max(0, y * stride + first)) rows, of the last
 * of them only min(columns, g * column_stride + column_first) columns. Layers make rows from the first column to the last,
 * those that work by rows all at once: what stands where is counted in columns, which are rows where `columns` is 1.
 * `columns` 0: unit u needs the u-th of what the source makes, no more. */
typedef struct mbv2_need {
    uint16_t height;
    int16_t first;
    uint16_t columns, column_first;
    uint8_t stride, column_stride;
} mbv2_need;

/* A layer of a segment. */
typedef struct mbv2_step {
    uint16_t units;
    uint16_t unit_columns; /* units a row */
    uint16_t band;         /* rows or columns that a unit makes */
    uint16_t behind;       /* so many fewer are complete: the first units of a layer that adds up make none yet */
    uint8_t needs;         /* how many of the next two count */
    uint8_t source[2];     /* a layer of the segment, and which of the network's needs says what of it */
    uint8_t need[2];
    uint8_t last_consumer; /* the last layer of the segment that reads this one's output; itself where none does */
} mbv2_step;

/* The layer that works next, searched from layer `from` towards the input, or -1 if none can go on; done[i] counts the
 * units layer i has run. After layer i has worked, search from steps[i].last_consumer: nothing behind has become ready. */
MBV2_CODE_ATTRIBUTE int mbv2_pipeline_next(const mbv2_need *needs, const mbv2_step *steps, const uint16_t *done, int from);

#ifdef __cplusplus
}
#endif

#endif
