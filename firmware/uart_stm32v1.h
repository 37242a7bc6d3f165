/* SPDX-License-Identifier: Apache-2.0 */
/* uart_stm32v1.h - USART of an STM32F4 (RM0090, "Universal synchronous asynchronous receiver transmitter"). */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <stdint.h>

#define UART_REGISTER(offset) (*(volatile uint32_t *)(CONSOLE_BASE + (offset)))

static inline void uart_start(void) {
    UART_REGISTER(0x08u) = (CONSOLE_CLOCK_HZ + CONSOLE_BAUD / 2u) / CONSOLE_BAUD; /* BRR, sampled 16 times a bit */
    UART_REGISTER(0x0Cu) = 1u << 13 | 3u << 2;                                    /* CR1: UE, TE, RE */
}

static inline void uart_put(char c) {
    while ((UART_REGISTER(0x00u) & 1u << 7) == 0) { /* SR: TXE */
    }
    UART_REGISTER(0x04u) = (uint8_t)c;
}

/* A byte, or -1 where none has come. Reading SR, then DR, clears an overrun as well. */
static inline int uart_get(void) {
    return (UART_REGISTER(0x00u) & 1u << 5) != 0 ? (int)(UART_REGISTER(0x04u) & 255u) : -1; /* SR: RXNE */
}

#endif
