/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_poison.h - with -DMBV2_POISON every byte of the arena that nobody owns is overwritten after each unit of work.
 *
 * A debug build for the host: it must compute the same. Where it does not, a kernel reads what the plan calls dead.
 */
#ifndef MBV2_POISON_H
#define MBV2_POISON_H

#include "mbv2_pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MBV2_POISON

#define MBV2_POISON_BYTE 0xD5u

/* Rows from when they are made to when nobody needs them; slots of a ring, cleared once for all rows that come to stand
 * in them; the whole ring, where the caller may fill it at any time. */
typedef enum mbv2_owned_form { MBV2_OWNED_ROWS, MBV2_OWNED_SLOTS, MBV2_OWNED_RING } mbv2_owned_form;

/* A tensor, or the scratch that a step keeps from unit to unit: one row, made with the first unit. */
typedef struct mbv2_owned {
    mbv2_rows rows;
    mbv2_owned_form form;
    uint16_t height;
    int16_t writer;      /* the step that makes its rows; -1: the caller, before all steps */
    uint8_t accumulates; /* its only row stands there from the first unit on */
    uint8_t kept;        /* the caller reads it after the last step */
} mbv2_owned;

/* A unit in row y of a step needs no rows before y * stride - pad; where rows are cut into columns (which are the rows of
 * mbv2_owned then), in column g none of that row before g * column_stride - column_pad. */
typedef struct mbv2_reader {
    uint16_t tensor, step;
    uint16_t stride;
    int16_t pad;
    uint16_t columns, column_stride;
    int16_t column_pad;
} mbv2_reader;

static inline int32_t mbv2_owned_made(const mbv2_owned *tensor, const mbv2_step *steps, const uint16_t *done) {
    if (tensor->writer < 0) return tensor->height;
    const mbv2_step *step = &steps[tensor->writer];
    const int32_t units = done[tensor->writer];
    const int32_t made = units * step->band - step->behind;
    return tensor->accumulates ? units > 0 : made < 0 ? 0 : made;
}

/* The first row that a reader still needs; the height where it needs none. */
static inline int32_t mbv2_reader_needs(const mbv2_reader *reader, int32_t height, const mbv2_step *steps,
                                        const uint16_t *done) {
    const int32_t unit = done[reader->step], y = unit / steps[reader->step].unit_columns;
    const int32_t row = y * reader->stride - reader->pad;
    const int32_t column = (unit - y * steps[reader->step].unit_columns) * reader->column_stride - reader->column_pad;
    const int32_t place = row < 0 ? 0 : row * reader->columns + (column < 0 ? 0 : column); /* row 0 is read again */
    return unit == steps[reader->step].units || place > height ? height : place;
}

/* Marks the bytes of the tensor's rows [needed, made). */
static inline void mbv2_owned_mark(const mbv2_owned *tensor, int32_t needed, int32_t made, uint8_t *owned) {
    const int32_t rows = (int32_t)tensor->rows.rows;
    for (int32_t slot = 0; slot < rows; slot++) {
        const int32_t last = tensor->height - 1 - (tensor->height - 1 - slot) % rows; /* row that stands here */
        const int32_t next = needed + ((slot - needed) % rows + rows) % rows;         /* the first one not dead */
        const int is_owned = tensor->form == MBV2_OWNED_RING    ? needed < tensor->height
                             : tensor->form == MBV2_OWNED_SLOTS ? made > slot && needed <= last
                                                                : next < made;
        uint8_t *bytes = owned + tensor->rows.offset + (uint32_t)slot * tensor->rows.row_bytes;
        for (uint32_t i = 0; is_owned && i < tensor->rows.row_bytes; i++) bytes[i] = 1;
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif
