/* SPDX-License-Identifier: Apache-2.0 */
/* timer_stm32.h - TIM2 (fine) and TIM5 (coarse) of an STM32F4 (RM0090, "General-purpose timers (TIM2 to TIM5)").
 *
 * Both count up, 32 bits wide, at their clock / (PSC + 1). TIMER_BASE is TIM2; TIM5 lies 0xC00 behind it.
 */
#ifndef MBV2_FIRMWARE_TIMER_H
#define MBV2_FIRMWARE_TIMER_H

#include <stdint.h>

#define TIMER_EXACT 1

#define TIMER_REGISTER(timer, offset) (*(volatile uint32_t *)(TIMER_BASE + 0xC00u * (timer) + (offset)))

static inline void timer_start_one(uint32_t timer, uint32_t divider) {
    TIMER_REGISTER(timer, 0x28u) = divider - 1u; /* PSC */
    TIMER_REGISTER(timer, 0x14u) = 1u;           /* EGR: UG, which takes the prescaler over */
    TIMER_REGISTER(timer, 0x00u) = 1u;           /* CR1: CEN */
}

static inline void timer_start(void) {
    *(volatile uint32_t *)0x40023840u |= 9u; /* RCC_APB1ENR: TIM2EN, TIM5EN */
    timer_start_one(0u, TIMER_DIVIDER);
    timer_start_one(1u, TIMER_DIVIDER * TIMER_FINE_PER_COARSE);
}

static inline uint32_t timer_fine(void) { return TIMER_REGISTER(0u, 0x24u); }

static inline uint32_t timer_coarse(void) { return TIMER_REGISTER(1u, 0x24u); }

#endif
