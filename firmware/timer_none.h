/* SPDX-License-Identifier: Apache-2.0 */
/* timer_none.h - a board without a timer that counts instructions. */
#ifndef MBV2_FIRMWARE_TIMER_H
#define MBV2_FIRMWARE_TIMER_H

#include <stdint.h>

#define TIMER_EXACT 0

static inline void timer_start(void) {}

static inline uint32_t timer_fine(void) { return 0; }

static inline uint32_t timer_coarse(void) { return 0; }

#endif
