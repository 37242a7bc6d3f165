/* SPDX-License-Identifier: Apache-2.0 */
/* timer_mps2_fpgaio.h - the MPS2 boards' FPGA I/O block (Arm AN385: "FPGA system control and I/O").
 *
 * COUNTER counts up at clock / (PRESCALE + 1), CLK100HZ at 100 Hz; both are 32 bits wide.
 */
#ifndef MBV2_FIRMWARE_TIMER_H
#define MBV2_FIRMWARE_TIMER_H

#include <stdint.h>

#define TIMER_EXACT 1

#define TIMER_REGISTER(offset) (*(volatile uint32_t *)(TIMER_BASE + (offset)))

static inline void timer_start(void) { TIMER_REGISTER(0x1Cu) = TIMER_DIVIDER - 1u; }

static inline uint32_t timer_fine(void) { return TIMER_REGISTER(0x18u); }

static inline uint32_t timer_coarse(void) { return TIMER_REGISTER(0x14u); }

#endif
