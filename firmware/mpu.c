/* SPDX-License-Identifier: Apache-2.0 */
/* mpu.c - bytes that nobody may touch, by the memory protection unit where the core has one (Armv7-M and Armv8-M
 * Architecture Reference Manuals, "Protected Memory System Architecture").
 *
 * What is protected are the whole blocks of 32 bytes within the range; all other memory stays as it is without regions.
 */
#include "mpu.h"

#include <stdint.h>

#include "port.h"

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__)
#define HAS_MPU 1
#define ARMV8_M 0
#elif defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
#define HAS_MPU 1
#define ARMV8_M 1
#endif

#ifdef HAS_MPU

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define MPU_TYPE REGISTER(0xE000ED90u) /* bits 8..15: how many regions there are */
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RASR REGISTER(0xE000EDA0u) /* on Armv8-M RLAR; bit 0 of both: the region is on */

#define BLOCK 32u
#define WITH_DEFAULT_MAP 5u /* MPU_CTRL: on, and privileged code sees the rest as without an MPU */

static uint32_t regions(void) { return MPU_TYPE >> 8 & 255u; }

/* Selects a region that is off; 0 where none is left. */
static int select_free(void) {
    for (uint32_t i = 0; i < regions(); i++) {
        MPU_RNR = i;
        if ((MPU_RASR & 1u) == 0) {
            return 1;
        }
    }
    return 0;
}

static void control(uint32_t value) {
    __asm volatile("dsb" ::: "memory");
    MPU_CTRL = value;
    __asm volatile("dsb\n\tisb" ::: "memory");
}

void mpu_pause(void) { control(0); }

void mpu_resume(void) { control(WITH_DEFAULT_MAP); }

#if ARMV8_M
/* There is no attribute "no access", but a byte that lies in two regions faults whatever they allow. */
static void forbid_blocks(uint32_t begin, uint32_t end) {
    for (int i = 0; i < 2 && select_free(); i++) {
        MPU_RBAR = begin | 5u; /* read-only to privileged code, no execution */
        MPU_RASR = (end - BLOCK) | 1u;
    }
}
#else
/* Regions are powers of two at multiples of their size. */
static void forbid_blocks(uint32_t begin, uint32_t end) {
    while (begin < end && select_free()) {
        uint32_t log2 = 5;
        while ((begin >> log2 & 1u) == 0 && (2u << log2) <= end - begin) {
            log2++;
        }
        MPU_RBAR = begin;
        MPU_RASR = 1u << 28 | (log2 - 1u) << 1 | 1u; /* no execution, no access, 2^log2 bytes, on */
        begin += 1u << log2;
    }
}
#endif

void port_forbid(const void *from, size_t bytes) {
    const uint32_t begin = ((uint32_t)from + BLOCK - 1u) / BLOCK * BLOCK;
    const uint32_t end = ((uint32_t)from + (uint32_t)bytes) / BLOCK * BLOCK;
    if (begin < end) {
        forbid_blocks(begin, end);
        mpu_resume();
    }
}

void port_allow(const void *from, size_t bytes) {
    for (uint32_t i = 0; i < regions(); i++) {
        MPU_RNR = i;
        const uint32_t base = MPU_RBAR / BLOCK * BLOCK;
        if ((MPU_RASR & 1u) != 0 && base - (uint32_t)from < bytes) {
            MPU_RASR = 0;
        }
    }
    mpu_resume();
}

#else

void mpu_pause(void) {}

void mpu_resume(void) {}

void port_forbid(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}

void port_allow(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}

#endif
