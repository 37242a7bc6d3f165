/* SPDX-License-Identifier: Apache-2.0 */
/* soc_stm32f4_f7.c - STM32F405, F446 and F746: HSE and PLL, flash, caches, the console's pins (RM0090, RM0390, RM0385:
 * "Reset and clock control", "Power controller", "Embedded flash memory interface").
 */
#include "soc.h"

#include "board.h"

#if SOC_CACHES
#include "caches.h"
#endif

#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define RCC_APB1ENR 0x40023840u
#define PWR_CR 0x40007000u
#define PWR_CSR 0x40007004u
#define FLASH_ACR 0x40023C00u
#define GPIO(port, offset) (0x40020000u + 0x400u * (port) + (offset))

/* Over-drive, which clocks above 168 MHz (F4) and 180 MHz (F7) need; the regulator's scale is 1 from reset. */
static int start_overdrive(void) {
    soc_set(PWR_CR, 1u << 16); /* ODEN */
    if (!soc_await(PWR_CSR, 1u << 16, 1u << 16)) {
        return 0;
    }
    soc_set(PWR_CR, 1u << 17); /* ODSWEN */
    return soc_await(PWR_CSR, 1u << 17, 1u << 17);
}

/* The core at HSE / M * N / 2, APB1 at a quarter of that, APB2 at half. */
static void start_clocks(void) {
    soc_set(RCC_APB1ENR, 1u << 28); /* PWREN */
    soc_set(RCC_CR, (SOC_HSE_BYPASS ? 1u << 18 : 0u) | 1u << 16); /* HSEBYP, HSEON */
    if (!soc_await(RCC_CR, 1u << 17, 1u << 17)) {
        return;
    }
    /* PLLQ, PLLSRC, PLLP, PLLN, PLLM */
    soc_change(RCC_PLLCFGR, 0x0F437FFFu, SOC_PLL_Q << 24 | 1u << 22 | 0u << 16 | SOC_PLL_N << 6 | SOC_PLL_M);
    soc_set(RCC_CR, 1u << 24); /* PLLON */
    if (SOC_OVERDRIVE && !start_overdrive()) {
        return;
    }
    if (!soc_await(RCC_CR, 1u << 25, 1u << 25)) {
        return;
    }
    SOC_REGISTER(FLASH_ACR) = SOC_FLASH_ACR;
    if (!soc_await(FLASH_ACR, 15u, SOC_FLASH_ACR & 15u)) {
        return;
    }
    soc_change(RCC_CFGR, 0xFCF0u, 4u << 13 | 5u << 10); /* PPRE2 / 2, PPRE1 / 4, HPRE / 1 */
    soc_change(RCC_CFGR, 3u, 2u);                       /* SW: PLL */
    (void)soc_await(RCC_CFGR, 12u, 8u);                 /* SWS */
}

static void start_pin(uint32_t port, uint32_t pin) {
    soc_set(RCC_AHB1ENR, 1u << port);
    soc_change(GPIO(port, 0x20u + pin / 8u * 4u), 15u << pin % 8u * 4u, SOC_PINS_AF << pin % 8u * 4u); /* AFRL, AFRH */
    soc_change(GPIO(port, 0x00u), 3u << pin * 2u, 2u << pin * 2u); /* MODER: alternate function */
}

void soc_start(void) {
    start_clocks();
#if SOC_CACHES
    caches_start();
#endif
    soc_set(SOC_USART_ENR, 1u << SOC_USART_BIT);
    start_pin(SOC_TX_PORT, SOC_TX_PIN);
    start_pin(SOC_RX_PORT, SOC_RX_PIN);
}
