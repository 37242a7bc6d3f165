/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - one inference, and what it took. One measure_*.c is linked. */
#ifndef MBV2_FIRMWARE_MEASURE_H
#define MBV2_FIRMWARE_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "network.h"

typedef struct measurement {
    bool has_stack;
    bool has_instructions;
    bool has_layers;
    bool stack_full;       /* it was used to its last word, and perhaps beyond */
    unsigned rows;         /* rows of the input that were counted: all in a row build, else none */
    uint32_t stack_bytes;  /* deepest use of NAME_run below its caller */
    uint64_t instructions; /* from NAME_run's first instruction to its return, both counted */
} measurement;

/* What `instructions` counts: " instructions ", or " cycles " on a board whose timer counts those. */
extern const char measure_unit[];

/* Starts the timer, paints the stack and learns what measuring itself costs. Call it once, first. */
void measure_start(void);

/* NAME_run's status; fills in what this machine and this build can tell. */
int measure_inference(NN_ctx *ctx, measurement *result);

/* The stack's deepest use from reset until now, by everything; false where this machine cannot tell. */
bool measure_whole_stack(uint32_t *bytes);

/* In a row build, around what a row of the input sets off: its push and the steps until the network is hungry again, or
 * complete. Elsewhere they do nothing. */
#ifdef MBV2_ROWS
void measure_row_start(void);
void measure_row_end(void);
#else
static inline void measure_row_start(void) {}
static inline void measure_row_end(void) {}
#endif

/* Instructions that row `row` of the input set off in the last run, in a row build. */
uint32_t measure_row(unsigned row);

/* Instructions of one layer in the last run, in a profile build; layer NN_LAYERS is what belongs to none. */
uint32_t measure_layer(unsigned layer);

#endif
