/* SPDX-License-Identifier: Apache-2.0 */
/* semihosting.h - calls to the debugger or emulator (Arm, "Semihosting for AArch32 and AArch64"). */
#ifndef MBV2_FIRMWARE_SEMIHOSTING_H
#define MBV2_FIRMWARE_SEMIHOSTING_H

#include <stdint.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};

static inline int semihosting_call(int operation, const void *argument) {
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline _Noreturn void semihosting_exit(uint32_t code) {
    const uint32_t block[2] = {0x20026u, code}; /* ADP_Stopped_ApplicationExit */
    for (;;) {
        (void)semihosting_call(SYS_EXIT_EXTENDED, block);
    }
}

#endif
