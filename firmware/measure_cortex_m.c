/* SPDX-License-Identifier: Apache-2.0 */
/* measure_cortex_m.c - paints the stack, and counts instructions with the board's timer.
 *
 * Under QEMU's -icount an instruction takes 2^shift ns, so that a timer inside the machine counts instructions:
 * instructions = ticks * TIMER_NUMERATOR / 2^TIMER_SHIFT. The board's description makes that at least two ticks an
 * instruction: both readings are off by less than one tick, so rounding to the nearest is exact.
 */
#include "measure.h"

#include "board.h"

#define PAINT 0xA5C35A3Cu

#ifndef TIMER_UNIT
#define TIMER_UNIT " instructions "
#endif

const char measure_unit[] = TIMER_UNIT;

extern uint32_t stack_limit[], stack_top[];

static const uint32_t *deepest = stack_top; /* the lowest word used so far */

#if defined(MBV2_TAP) /* the hook has a stack and instructions of its own */
#define COUNTED 0
#else
#define COUNTED TIMER_EXACT
#endif

#if COUNTED

static uint64_t to_instructions(uint64_t ticks) {
    return (ticks * TIMER_NUMERATOR + (1u << TIMER_SHIFT >> 1)) >> TIMER_SHIFT;
}

#ifndef MBV2_PROFILE
/* The fine timer wraps; the coarse one, which starts and ends beside it, says how often. */
static uint64_t elapsed_ticks(uint32_t fine, uint32_t coarse) {
    if (TIMER_FINE_PER_COARSE == 0) {
        return fine;
    }
    const uint64_t about = (uint64_t)coarse * TIMER_FINE_PER_COARSE;
    const uint64_t wraps = (about - fine + 0x80000000u) >> 32;
    return (wraps << 32) + fine;
}
#endif

#endif

typedef struct timing {
    uint32_t fine;
    uint32_t coarse;
    uint32_t stack_bytes;
    bool stack_full;
    int status;
} timing;

/* The paint below `deepest` that is gone was used since it was painted. */
static void remember_depth(void) {
    const volatile uint32_t *p = stack_limit;
    while (p < deepest && *p == PAINT) {
        p++;
    }
    deepest = (const uint32_t *)p;
}

bool measure_whole_stack(uint32_t *bytes) {
    remember_depth();
    *bytes = (uint32_t)((uintptr_t)stack_top - (uintptr_t)deepest);
    return true;
}

/* Paints all that lies below its own frame: what was used before, in main's caller, lies above. */
__attribute__((noipa)) static void paint_stack(void) {
    uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *p = stack_limit; p < sp; p++) {
        *p = PAINT;
    }
}

/* Calls `run` between two readings of the timer, on a painted stack. Nothing here moves sp between the painting and
 * the end of the call (AAPCS: no argument on the stack), so sp now is sp at the call. */
__attribute__((noipa)) static void timed(int (*run)(NN_ctx *), NN_ctx *ctx, timing *result) {
    remember_depth();
    uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *p = stack_limit; p < sp; p++) {
        *p = PAINT;
    }
    const uint32_t coarse = timer_coarse();
    const uint32_t fine = timer_fine();
    result->status = run(ctx);
    result->fine = timer_fine() - fine;
    result->coarse = timer_coarse() - coarse;
    const volatile uint32_t *p = stack_limit;
    result->stack_full = *p != PAINT;
    while (p < sp && *p == PAINT) {
        p++;
    }
    result->stack_bytes = (uint32_t)((uintptr_t)sp - (uintptr_t)p);
}

#ifdef MBV2_ROWS

static uint32_t row_spent[NN_ROWS]; /* instructions */
static uint32_t row_cost;           /* instructions between start and end with nothing between them */
static uint32_t row_ticks;
static unsigned row;
static bool row_runs;

__attribute__((noipa)) void measure_row_start(void) {
    row_runs = true;
    row_ticks = timer_fine();
}

__attribute__((noipa)) void measure_row_end(void) {
    const uint32_t now = timer_fine();
#if COUNTED
    if (row_runs && row < NN_ROWS) {
        row_spent[row++] = (uint32_t)to_instructions(now - row_ticks) - row_cost;
    }
#else
    (void)now;
#endif
    row_runs = false;
}

static void calibrate_rows(void) {
    row_cost = 0;
    row = 0;
    measure_row_start();
    measure_row_end();
    row_cost = row_spent[0];
}

uint32_t measure_row(unsigned index) { return row_spent[index]; }

#else

uint32_t measure_row(unsigned index) {
    (void)index;
    return 0;
}

#endif

#ifdef MBV2_PROFILE

static uint32_t spent[NN_LAYERS + 1]; /* instructions; the last one is what belongs to no layer */
static uint32_t hook_cost;            /* instructions between two hooks with nothing between them */
static uint32_t last;
static unsigned current;

/* What lies behind the first reading and before the second is not counted; what lies outside them is `hook_cost`. */
__attribute__((noipa)) void mbv2_profile(unsigned layer) {
    const uint32_t now = timer_fine();
#if COUNTED
    spent[current] += (uint32_t)to_instructions(now - last) - hook_cost;
#else
    (void)now;
#endif
    current = layer < NN_LAYERS ? layer : NN_LAYERS;
    last = timer_fine();
}

static void profile_start(void) {
    for (unsigned i = 0; i <= NN_LAYERS; i++) {
        spent[i] = 0;
    }
    current = NN_LAYERS;
    last = timer_fine();
}

void measure_start(void) {
    paint_stack();
    timer_start();
    hook_cost = 0;
    profile_start();
    mbv2_profile(0);
    mbv2_profile(0);
    hook_cost = spent[0];
}

int measure_inference(NN_ctx *ctx, measurement *result) {
    timing taken;
    profile_start();
    timed(NN_run, ctx, &taken);
    *result = (measurement){.has_layers = COUNTED, .stack_full = taken.stack_full};
    return taken.status;
}

uint32_t measure_layer(unsigned layer) { return spent[layer]; }

#else

#if COUNTED
static uint32_t empty_ticks;

#define NOTHING_INSTRUCTIONS 2u
__attribute__((naked, noinline)) static int nothing(NN_ctx *ctx) {
    (void)ctx;
    __asm volatile("movs r0, #0\n\tbx lr");
}
#endif

void measure_start(void) {
    paint_stack();
    timer_start();
#if COUNTED
    timing taken;
    timed(nothing, (NN_ctx *)0, &taken);
    empty_ticks = taken.fine;
#endif
#ifdef MBV2_ROWS
    calibrate_rows();
#endif
}

int measure_inference(NN_ctx *ctx, measurement *result) {
    timing taken;
#ifdef MBV2_ROWS
    row = 0;
#endif
    timed(NN_run, ctx, &taken);
    *result = (measurement){.stack_full = taken.stack_full, .stack_bytes = taken.stack_bytes};
#if defined(MBV2_ROWS) && COUNTED
    result->rows = row;
#endif
#ifndef MBV2_TAP
    result->has_stack = true;
#endif
#if COUNTED
    const uint64_t ticks = elapsed_ticks(taken.fine, taken.coarse);
    result->has_instructions = true;
    result->instructions = to_instructions(ticks) - to_instructions(empty_ticks) + NOTHING_INSTRUCTIONS;
#endif
    return taken.status;
}

uint32_t measure_layer(unsigned layer) {
    (void)layer;
    return 0;
}

#endif
