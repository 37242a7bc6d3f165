/* SPDX-License-Identifier: Apache-2.0 */
/* soc.h - what a microcontroller needs before main: one soc_NAME.c is linked where the board names one. */
#ifndef MBV2_FIRMWARE_SOC_H
#define MBV2_FIRMWARE_SOC_H

#include <stdint.h>

/* Clocks, caches and the console's pins. Where an oscillator does not start, the core goes on with what it has. */
void soc_start(void);

#define SOC_REGISTER(address) (*(volatile uint32_t *)(address))

/* Changes the bits of `mask` to those of `value`. */
static inline void soc_change(uint32_t address, uint32_t mask, uint32_t value) {
    SOC_REGISTER(address) = (SOC_REGISTER(address) & ~mask) | value;
}

static inline void soc_set(uint32_t address, uint32_t bits) { SOC_REGISTER(address) |= bits; }

/* Waits until the bits of `mask` are `value`, but not for ever. Whether they are. */
static inline int soc_await(uint32_t address, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < 100000u; i++) {
        if ((SOC_REGISTER(address) & mask) == value) {
            return 1;
        }
    }
    return 0;
}

#endif
