/* SPDX-License-Identifier: Apache-2.0 */
/* mbv2_toy.c - kernel bodies and misdeeds of the toy. */
#include "mbv2_toy.h"

#include "toy.h"

void mbv2_add_saturating(int8_t *y, const int8_t *x, const int8_t *w, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const int sum = x[i] + w[i];
        y[i] = (int8_t)(sum > 127 ? 127 : sum < -128 ? -128 : sum);
    }
}

#if defined(__arm__)
static void loop(uint32_t times) {
    __asm volatile(
        ".syntax unified\n\t"
        "1: subs %0, %0, #1\n\t"
        "bne 1b"
        : "+l"(times)
        :
        : "cc");
}

static void use_stack(uint32_t words) {
    __asm volatile(
        ".syntax unified\n\t"
        "mov r2, sp\n\t"
        "1: sub sp, #4\n\t"
        "str r2, [sp]\n\t"
        "subs %0, %0, #1\n\t"
        "bne 1b\n\t"
        "mov sp, r2"
        : "+l"(words)
        :
        : "cc", "memory", "r2");
}
#else
static void loop(uint32_t times) { (void)times; }
static void use_stack(uint32_t words) { (void)words; }
#endif

static uint32_t recurse(volatile uint32_t *above, uint32_t depth) {
    volatile uint32_t frame[64];
    frame[depth & 63u] = *above + depth;
    return depth == 0 ? frame[0] : recurse(frame, depth - 1u) + frame[depth & 63u];
}

int mbv2_misbehave(int kind, uint32_t argument, volatile uint8_t *arena) {
    volatile uint32_t number = argument;
    switch (kind) {
    case TOY_READS_BEHIND_ARENA: number += arena[TOY_ARENA_BYTES + number]; break;
    case TOY_WRITES_BEHIND_ARENA: arena[TOY_ARENA_BYTES + number] ^= 1u; break;
    case TOY_WRITES_BEFORE_ARENA: arena[-1 - (int)number] ^= 1u; break;
    case TOY_HANGS:
        while (arena[0] != 255u) {
            arena[0] = (uint8_t)number;
        }
        break;
    case TOY_READS_NOWHERE: number = *(volatile uint32_t *)(uintptr_t)0xEFAD0000u; break;
    case TOY_READS_UNALIGNED: number = *(volatile uint32_t *)(uintptr_t)(arena + 1); break;
    case TOY_DIVIDES_BY_ZERO: number = 1000u / number; break;
    case TOY_OVERFLOWS_STACK: number = recurse(&number, 100000u); break;
    case TOY_FAILS: return 7;
    case TOY_OVERFLOWS_INT: {
        volatile int most = 0x7FFFFFFF;
        most = most + 1;
        break;
    }
    case TOY_LOOPS: loop(number); break;
    case TOY_USES_STACK: use_stack(number); break;
    default: break;
    }
    return 0;
}
