/* SPDX-License-Identifier: Apache-2.0 */
/* timer_dwt.h - the core's own cycle counter (Armv7-M Architecture Reference Manual, "Data Watchpoint and Trace unit").
 *
 * 32 bits wide and alone: a run of 2^32 cycles or more counts as its rest.
 */
#ifndef MBV2_FIRMWARE_TIMER_H
#define MBV2_FIRMWARE_TIMER_H

#include <stdint.h>

#define TIMER_EXACT 1
#define TIMER_UNIT " cycles "

#define TIMER_REGISTER(address) (*(volatile uint32_t *)(address))

static inline void timer_start(void) {
    TIMER_REGISTER(0xE000EDFCu) |= 1u << 24;  /* DEMCR: TRCENA */
    TIMER_REGISTER(0xE0001FB0u) = 0xC5ACCE55; /* DWT_LAR, where a Cortex-M7 has locked it */
    TIMER_REGISTER(0xE0001004u) = 0;          /* DWT_CYCCNT */
    TIMER_REGISTER(0xE0001000u) |= 1u;        /* DWT_CTRL: CYCCNTENA */
}

static inline uint32_t timer_fine(void) { return TIMER_REGISTER(0xE0001004u); }

static inline uint32_t timer_coarse(void) { return 0; }

#endif
