/* SPDX-License-Identifier: Apache-2.0 */
/* caches.h - a Cortex-M7's caches (Armv7-M Architecture Reference Manual, "Cache and branch predictor maintenance"). */
#ifndef MBV2_FIRMWARE_CACHES_H
#define MBV2_FIRMWARE_CACHES_H

#include "soc.h"

#define SCB_CCR_ADDRESS 0xE000ED14u /* bit 16: data cache on, bit 17: instruction cache on */

static inline void caches_barrier(void) { __asm volatile("dsb\n\tisb" ::: "memory"); }

/* Both are off after reset and hold anything: they are emptied, then turned on. */
static inline void caches_start(void) {
    caches_barrier();
    SOC_REGISTER(0xE000EF50u) = 0; /* ICIALLU */
    caches_barrier();
    soc_set(SCB_CCR_ADDRESS, 1u << 17);
    caches_barrier();
    SOC_REGISTER(0xE000ED84u) = 0; /* CSSELR: the data cache of level 1 */
    caches_barrier();
    const uint32_t size = SOC_REGISTER(0xE000ED80u); /* CCSIDR: ways - 1 in 12..3, sets - 1 in 27..13 */
    for (uint32_t set = 0; set <= (size >> 13 & 0x7FFFu); set++) {
        for (uint32_t way = 0; way <= (size >> 3 & 0x3FFu); way++) {
            SOC_REGISTER(0xE000EF60u) = way << 30 | set << 5; /* DCISW: four ways, lines of 32 bytes */
        }
    }
    caches_barrier();
    soc_set(SCB_CCR_ADDRESS, 1u << 16);
    caches_barrier();
}

#endif
