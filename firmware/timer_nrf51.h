/* SPDX-License-Identifier: Apache-2.0 */
/* timer_nrf51.h - TIMER0 (fine) and TIMER1 (coarse) of the nRF51 (nRF51 Series Reference Manual: "TIMER").
 *
 * Both count up at 16 MHz / 2^PRESCALER; writing TASKS_CAPTURE[0] copies the count to CC[0]. The emulated TIMER1 has
 * 32 bits like TIMER0; a real one has 16.
 */
#ifndef MBV2_FIRMWARE_TIMER_H
#define MBV2_FIRMWARE_TIMER_H

#include <stdint.h>

#define TIMER_EXACT 1

#define TIMER_REGISTER(timer, offset) (*(volatile uint32_t *)(TIMER_BASE + 0x1000u * (timer) + (offset)))

static inline void timer_start_one(uint32_t timer, uint32_t prescaler) {
    TIMER_REGISTER(timer, 0x508u) = 3u;        /* BITMODE: 32 bits */
    TIMER_REGISTER(timer, 0x510u) = prescaler; /* PRESCALER */
    TIMER_REGISTER(timer, 0x000u) = 1u;        /* TASKS_START */
}

static inline void timer_start(void) {
    uint32_t prescaler = 0;
    while ((1u << prescaler) < TIMER_DIVIDER) {
        prescaler++;
    }
    timer_start_one(0u, prescaler);
    timer_start_one(1u, 9u);
}

static inline uint32_t timer_now(uint32_t timer) {
    TIMER_REGISTER(timer, 0x040u) = 1u; /* TASKS_CAPTURE[0] */
    return TIMER_REGISTER(timer, 0x540u);
}

static inline uint32_t timer_fine(void) { return timer_now(0u); }

static inline uint32_t timer_coarse(void) { return timer_now(1u); }

#endif
