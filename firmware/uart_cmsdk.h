/* SPDX-License-Identifier: Apache-2.0 */
/* uart_cmsdk.h - Arm's CMSDK APB UART (Cortex-M System Design Kit, "APB UART"). */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <stdint.h>

#define UART_REGISTER(offset) (*(volatile uint32_t *)(CONSOLE_BASE + (offset)))

static inline void uart_start(void) {
    UART_REGISTER(0x10u) = CONSOLE_CLOCK_HZ / CONSOLE_BAUD; /* BAUDDIV */
    UART_REGISTER(0x08u) = 3u;                              /* CTRL: transmit, receive */
}

static inline void uart_put(char c) {
    while ((UART_REGISTER(0x04u) & 1u) != 0) { /* STATE: the buffer is full */
    }
    UART_REGISTER(0x00u) = (uint8_t)c;
}

/* A byte, or -1 where none has come. */
static inline int uart_get(void) { return (UART_REGISTER(0x04u) & 2u) != 0 ? (int)(UART_REGISTER(0x00u) & 255u) : -1; }

#endif
