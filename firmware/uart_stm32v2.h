/* SPDX-License-Identifier: Apache-2.0 */
/* uart_stm32v2.h - USART of an STM32F7 or H7 (RM0385 and RM0433, "Universal synchronous asynchronous receiver
 * transmitter"). */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <stdint.h>

#define UART_REGISTER(offset) (*(volatile uint32_t *)(CONSOLE_BASE + (offset)))

static inline void uart_start(void) {
    UART_REGISTER(0x0Cu) = (CONSOLE_CLOCK_HZ + CONSOLE_BAUD / 2u) / CONSOLE_BAUD; /* BRR, sampled 16 times a bit */
    UART_REGISTER(0x08u) = 1u << 12;              /* CR3: OVRDIS, an overrun does not stop it */
    UART_REGISTER(0x00u) = 3u << 2 | 1u;          /* CR1: TE, RE, UE */
}

static inline void uart_put(char c) {
    while ((UART_REGISTER(0x1Cu) & 1u << 7) == 0) { /* ISR: TXE */
    }
    UART_REGISTER(0x28u) = (uint8_t)c;
}

/* A byte, or -1 where none has come. */
static inline int uart_get(void) {
    return (UART_REGISTER(0x1Cu) & 1u << 5) != 0 ? (int)(UART_REGISTER(0x24u) & 255u) : -1; /* ISR: RXNE */
}

#endif
