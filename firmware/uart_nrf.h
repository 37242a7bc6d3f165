/* SPDX-License-Identifier: Apache-2.0 */
/* uart_nrf.h - UART0 of an nRF51 or nRF52 (nRF52840 Product Specification, "UART"); pins are port * 32 + pin. */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <stdint.h>

#define UART_REGISTER(offset) (*(volatile uint32_t *)(CONSOLE_BASE + (offset)))

#define UART_PIN_PORT(offset) (*(volatile uint32_t *)(0x50000000u + 0x300u * (CONSOLE_PIN / 32u) + (offset)))

#define UART_PIN_CNF(pin) (*(volatile uint32_t *)(0x50000700u + 0x300u * ((pin) / 32u) + 4u * ((pin) % 32u)))

static inline void uart_start(void) {
    UART_PIN_PORT(0x508u) = 1u << (CONSOLE_PIN % 32u); /* OUTSET: idle is high */
    UART_PIN_PORT(0x518u) = 1u << (CONSOLE_PIN % 32u); /* DIRSET */
    UART_REGISTER(0x50Cu) = CONSOLE_PIN;               /* PSELTXD */
    UART_PIN_CNF(CONSOLE_RX_PIN) = 0;                  /* an input, connected */
    UART_REGISTER(0x514u) = CONSOLE_RX_PIN;            /* PSELRXD */
    /* BAUDRATE: 2^32 * baud / 16 MHz, its lowest 12 bits rounded away */
    UART_REGISTER(0x524u) = (uint32_t)((((uint64_t)CONSOLE_BAUD << 32) / CONSOLE_CLOCK_HZ + 0x800u) & ~(uint64_t)0xFFF);
    UART_REGISTER(0x500u) = 4u; /* ENABLE */
    UART_REGISTER(0x008u) = 1u; /* TASKS_STARTTX */
    UART_REGISTER(0x000u) = 1u; /* TASKS_STARTRX */
}

static inline void uart_put(char c) {
    UART_REGISTER(0x11Cu) = 0; /* EVENTS_TXDRDY */
    UART_REGISTER(0x51Cu) = (uint8_t)c;
    while (UART_REGISTER(0x11Cu) == 0) {
    }
}

/* A byte, or -1 where none has come. */
static inline int uart_get(void) {
    if (UART_REGISTER(0x108u) == 0) { /* EVENTS_RXDRDY */
        return -1;
    }
    UART_REGISTER(0x108u) = 0;
    return (int)(UART_REGISTER(0x518u) & 255u); /* RXD */
}

#endif
