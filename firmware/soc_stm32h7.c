/* SPDX-License-Identifier: Apache-2.0 */
/* soc_stm32h7.c - STM32H743: supply, HSE and PLL1, flash, caches, the console's pins (RM0433: "Power control", "Reset and
 * clock control", "Embedded flash memory").
 */
#include "soc.h"

#include "board.h"
#include "caches.h"

#define PWR_CSR1 0x58024804u
#define PWR_CR3 0x5802480Cu
#define PWR_D3CR 0x58024818u
#define RCC_CR 0x58024400u
#define RCC_CFGR 0x58024410u
#define RCC_D1CFGR 0x58024418u
#define RCC_D2CFGR 0x5802441Cu
#define RCC_D3CFGR 0x58024420u
#define RCC_PLLCKSELR 0x58024428u
#define RCC_PLLCFGR 0x5802442Cu
#define RCC_PLL1DIVR 0x58024430u
#define RCC_AHB4ENR 0x580244E0u
#define RCC_APB1LENR 0x580244E8u
#define FLASH_ACR 0x52002000u
#define GPIO(port, offset) (0x58020000u + 0x400u * (port) + (offset))

/* The core by the LDO at scale VOS1, which allows 400 MHz. */
static int start_supply(void) {
    soc_change(PWR_CR3, 7u, 2u); /* LDOEN alone */
    if (!soc_await(PWR_CSR1, 1u << 13, 1u << 13)) { /* ACTVOSRDY */
        return 0;
    }
    soc_change(PWR_D3CR, 3u << 14, 3u << 14); /* VOS1 */
    return soc_await(PWR_D3CR, 1u << 13, 1u << 13);
}

/* HSE / M * N / P for the core, half of that for the buses, a quarter for all APBs. */
static void start_clocks(void) {
    soc_set(RCC_CR, (SOC_HSE_BYPASS ? 1u << 18 : 0u) | 1u << 16); /* HSEBYP, HSEON */
    if (!soc_await(RCC_CR, 1u << 17, 1u << 17)) {
        return;
    }
    soc_change(RCC_PLLCKSELR, 0x3F3u, SOC_PLL_M << 4 | 2u); /* DIVM1, PLLSRC: HSE */
    soc_change(RCC_PLLCFGR, 0x7000Fu, 1u << 16 | 1u << 2);  /* DIVP1EN, PLL1RGE: 2 to 4 MHz, wide VCO, no fraction */
    SOC_REGISTER(RCC_PLL1DIVR) = 1u << 24 | 3u << 16 | (SOC_PLL_P - 1u) << 9 | (SOC_PLL_N - 1u);
    soc_set(RCC_CR, 1u << 24); /* PLL1ON */
    if (!soc_await(RCC_CR, 1u << 25, 1u << 25)) {
        return;
    }
    SOC_REGISTER(FLASH_ACR) = SOC_FLASH_ACR;
    if (!soc_await(FLASH_ACR, 15u, SOC_FLASH_ACR & 15u)) {
        return;
    }
    SOC_REGISTER(RCC_D1CFGR) = 4u << 4 | 8u; /* D1CPRE / 1, D1PPRE / 2, HPRE / 2 */
    SOC_REGISTER(RCC_D2CFGR) = 4u << 8 | 4u << 4;
    SOC_REGISTER(RCC_D3CFGR) = 4u << 4;
    soc_change(RCC_CFGR, 7u, 3u);          /* SW: PLL1 */
    (void)soc_await(RCC_CFGR, 7u << 3, 3u << 3); /* SWS */
}

static void start_pin(uint32_t port, uint32_t pin) {
    soc_set(RCC_AHB4ENR, 1u << port);
    soc_change(GPIO(port, 0x20u + pin / 8u * 4u), 15u << pin % 8u * 4u, SOC_PINS_AF << pin % 8u * 4u); /* AFRL, AFRH */
    soc_change(GPIO(port, 0x00u), 3u << pin * 2u, 2u << pin * 2u); /* MODER: alternate function */
}

void soc_start(void) {
    if (start_supply()) {
        start_clocks();
    }
    caches_start();
    soc_set(RCC_APB1LENR, 1u << SOC_USART_BIT);
    start_pin(SOC_TX_PORT, SOC_TX_PIN);
    start_pin(SOC_RX_PORT, SOC_RX_PIN);
}
