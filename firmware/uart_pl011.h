/* SPDX-License-Identifier: Apache-2.0 */
/* uart_pl011.h - Arm's PrimeCell UART PL011, as the RP2350 has it (RP2350 Datasheet, "UART"). */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <stdint.h>

#define UART_REGISTER(offset) (*(volatile uint32_t *)(CONSOLE_BASE + (offset)))

#define UART_DIVISOR_64 ((CONSOLE_CLOCK_HZ * 4u + CONSOLE_BAUD / 2u) / CONSOLE_BAUD) /* clock / (16 baud), in 1/64 */

static inline void uart_start(void) {
    UART_REGISTER(0x24u) = UART_DIVISOR_64 / 64u;    /* IBRD */
    UART_REGISTER(0x28u) = UART_DIVISOR_64 % 64u;    /* FBRD */
    UART_REGISTER(0x2Cu) = 3u << 5 | 1u << 4;        /* LCR_H: 8 bits, FIFO */
    UART_REGISTER(0x30u) = 3u << 8 | 1u;             /* CR: RXE, TXE, UARTEN */
}

static inline void uart_put(char c) {
    while ((UART_REGISTER(0x18u) & 1u << 5) != 0) { /* FR: TXFF */
    }
    UART_REGISTER(0x00u) = (uint8_t)c;
}

/* A byte, or -1 where none has come. */
static inline int uart_get(void) {
    return (UART_REGISTER(0x18u) & 1u << 4) == 0 ? (int)(UART_REGISTER(0x00u) & 255u) : -1; /* FR: RXFE */
}

#endif
