/* SPDX-License-Identifier: Apache-2.0 */
/* startup.c - from reset to main, and from every fault to a line and an exit. Any Cortex-M. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "mpu.h"
#include "port.h"
#include "soc.h"

#define EXIT_FAULT 3
#define MAX_ARGUMENTS 7

#define SCB_VTOR 0xE000ED08u
#define SCB_AIRCR 0xE000ED0Cu /* its key, and bit 2: reset the system */
#define SCB_CCR 0xE000ED14u   /* bit 3: trap unaligned accesses, bit 4: trap division by zero */
#define SCB_SHCSR 0xE000ED24u /* bits 16..18: memory, bus and usage faults of their own */
#define SCB_CFSR 0xE000ED28u
#define SCB_HFSR 0xE000ED2Cu
#define SCB_MMFAR 0xE000ED34u
#define SCB_BFAR 0xE000ED38u
#define REGISTER(address) (*(volatile uint32_t *)(address))

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || \
    defined(__ARM_ARCH_8_1M_MAIN__)
#define HAS_FAULT_REGISTERS 1
#endif

extern uint32_t stack_guard[], stack_limit[], stack_top[];
extern uint32_t data_start[], data_end[], bss_start[], bss_end[];
extern uint32_t code_start[], code_end[], weights_start[], weights_end[];
extern const uint32_t data_image[], code_image[], weights_image[];

int main(int argc, char **argv);
void reset_handler(void);
void fault_handler(void);
_Noreturn void start(void);
_Noreturn void report_fault(const uint32_t *frame);

typedef void (*handler)(void);

extern const struct vectors {
    uint32_t *top;
    handler handlers[15];
} vectors;

/* Splits the command line in place; words are separated by single or several spaces. */
static int split(char *line, char **words) {
    int count = 0;
    for (char *p = line; *p != '\0' && count < MAX_ARGUMENTS;) {
        while (*p == ' ') {
            *p++ = '\0';
        }
        if (*p != '\0') {
            words[count++] = p;
        }
        while (*p != '\0' && *p != ' ') {
            p++;
        }
    }
    return count;
}

/* What the linker placed elsewhere than it is loaded; the pointers are equal where it stays. */
static void copy(volatile uint32_t *to, const uint32_t *end, const uint32_t *from) {
    while ((const volatile uint32_t *)to < end && (const volatile uint32_t *)to != from) {
        *to++ = *from++;
    }
}

__attribute__((used)) _Noreturn void start(void) {
    copy(data_start, data_end, data_image);
    copy(weights_start, weights_end, weights_image);
    copy(code_start, code_end, code_image);
    for (volatile uint32_t *p = bss_start; p < bss_end; p++) {
        *p = 0;
    }
#ifdef HAS_FAULT_REGISTERS
    REGISTER(SCB_VTOR) = (uint32_t)&vectors;
    REGISTER(SCB_CCR) |= 0x18u;
    REGISTER(SCB_SHCSR) |= 0x70000u;
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
    __asm volatile("msr msplim, %0" ::"r"(stack_limit));
#endif
    port_forbid(stack_guard, (size_t)((uintptr_t)stack_limit - (uintptr_t)stack_guard));
#ifdef BOARD_HAS_SOC
    soc_start();
#endif
    char *words[MAX_ARGUMENTS];
    const int count = split(port_command_line(), words);
    port_exit(main(count, words));
}

__attribute__((naked)) void reset_handler(void) {
#ifdef __ARM_FP
    __asm volatile(
        "ldr r0, =0xE000ED88\n\t" /* CPACR: the floating-point unit is on */
        "ldr r1, [r0]\n\t"
        "orr r1, r1, #0xF00000\n\t"
        "str r1, [r0]\n\t"
        "dsb\n\t"
        "isb");
#endif
    __asm volatile(
        "bl start\n\t"
        ".ltorg");
}

/* r0 = the exception frame. A stack that ran over (or nearly did) is left for a fresh one; the frame, if it was
 * written at all, is then far from the new top. */
__attribute__((naked)) void fault_handler(void) {
    __asm volatile(
        ".syntax unified\n\t"
        "mov r0, sp\n\t"
        "ldr r1, =stack_limit + 256\n\t"
        "cmp r0, r1\n\t"
        "bhs 1f\n\t"
        "ldr r1, =stack_top\n\t"
        "mov sp, r1\n\t"
        "1: bl report_fault\n\t"
        ".ltorg");
}

_Noreturn void board_reset(void) {
    __asm volatile("dsb" ::: "memory");
    REGISTER(SCB_AIRCR) = 0x05FA0004u;
    for (;;) {
    }
}

static void put(const char *name, uint32_t value) {
    char text[10];
    port_message(name);
    for (int i = 0; i < 8; i++) {
        text[i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 15u];
    }
    text[8] = '\0';
    port_message(text);
}

__attribute__((used)) _Noreturn void report_fault(const uint32_t *frame) {
    uint32_t exception;
    __asm volatile("mrs %0, ipsr" : "=r"(exception));
    mpu_pause();
    put("FAULT exception=", exception);
    if (frame > stack_limit && frame + 8 <= stack_top) { /* Armv8-M leaves sp at the limit where it writes no frame */
        put(" pc=", frame[6]);
        put(" lr=", frame[5]);
        put(" r0=", frame[0]);
        put(" r1=", frame[1]);
        put(" r2=", frame[2]);
        put(" r3=", frame[3]);
        put(" r12=", frame[4]);
    } else {
        put(" stack=", (uint32_t)frame);
    }
#ifdef HAS_FAULT_REGISTERS
    put(" cfsr=", REGISTER(SCB_CFSR));
    put(" hfsr=", REGISTER(SCB_HFSR));
    put(" bfar=", REGISTER(SCB_BFAR));
    put(" mmfar=", REGISTER(SCB_MMFAR));
#endif
    port_message("\n");
    port_exit(EXIT_FAULT);
}

__attribute__((section(".vectors"), used)) const struct vectors vectors = {
    stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler}};
