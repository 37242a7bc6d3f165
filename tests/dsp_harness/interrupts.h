/* SPDX-License-Identifier: Apache-2.0 */
/* interrupts.h - a timer interrupt at random moments that writes every caller-saved register and the stack below. */
#ifndef DSP_HARNESS_INTERRUPTS_H
#define DSP_HARNESS_INTERRUPTS_H

#include <stdint.h>

static volatile uint32_t interrupts;

#ifdef __arm__
#define SYSTEM_REGISTER(address) (*(volatile uint32_t *)(address))
#define SYSTICK_CONTROL SYSTEM_REGISTER(0xE000E010u)
#define SYSTICK_RELOAD SYSTEM_REGISTER(0xE000E014u)
#define SYSTICK_VALUE SYSTEM_REGISTER(0xE000E018u)
#define VECTOR_TABLE SYSTEM_REGISTER(0xE000ED08u)

static void interrupt(void) {
    volatile uint32_t noise[64];
    for (uint32_t i = 0; i < 64; i++) {
        noise[i] = 0xDEADBEEFu;
    }
    interrupts++;
    SYSTICK_RELOAD = 4000u + (interrupts * 2654435761u >> 18); /* ticks, some 25 an instruction */
    __asm volatile("mov r0, #-1\n\tmov r1, #-1\n\tmov r2, #-1\n\tmov r3, #-1\n\tmov r12, #-1\n\tmsr apsr_nzcvqg, r0"
                   ::: "r0", "r1", "r2", "r3", "r12", "cc", "memory");
}

static void start_interrupts(void) {
    static uint32_t table[128] __attribute__((aligned(512)));
    const uint32_t *old = (const uint32_t *)VECTOR_TABLE;
    for (uint32_t i = 0; i < 15; i++) {
        table[i] = old[i];
    }
    table[15] = (uint32_t)interrupt;
    VECTOR_TABLE = (uint32_t)table;
    SYSTICK_RELOAD = 10000u;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7u; /* on, interrupt, the core's clock */
}
#else
static void start_interrupts(void) {}
#endif

#endif
