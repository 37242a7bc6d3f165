/* SPDX-License-Identifier: Apache-2.0 */
/* soc_rp2350.c - boot block, crystal and PLL, the console's pins (RP2350 Datasheet: "Bootrom", "Clocks", "Crystal
 * oscillator", "PLL", "GPIO"). The bootrom has set up the flash and its cache.
 */
#include "soc.h"

#include "board.h"

/* What the bootrom looks for in the first 4 KB: IMAGE_DEF, an executable for Arm, secure; no other block. */
__attribute__((section(".boot_block"), used)) static const uint32_t image_def[] = {
    0xFFFFDED3u, 0x10210142u, 0x000001FFu, 0x00000000u, 0xAB123579u};

#define CLEAR 0x3000u /* a register's alias that clears the bits written */
#define RESETS_RESET 0x40020000u
#define RESETS_RESET_DONE 0x40020008u
#define CLOCKS_CLK_REF_CTRL 0x40010030u
#define CLOCKS_CLK_REF_SELECTED 0x40010038u
#define CLOCKS_CLK_SYS_CTRL 0x4001003Cu
#define CLOCKS_CLK_SYS_SELECTED 0x40010044u
#define CLOCKS_CLK_PERI_CTRL 0x40010048u
#define XOSC_CTRL 0x40048000u
#define XOSC_STATUS 0x40048004u
#define XOSC_STARTUP 0x4004800Cu
#define PLL_SYS_CS 0x40050000u
#define PLL_SYS_PWR 0x40050004u
#define PLL_SYS_FBDIV_INT 0x40050008u
#define PLL_SYS_PRIM 0x4005000Cu
#define IO_BANK0_GPIO_CTRL(pin) (0x40028004u + 8u * (pin))
#define PADS_BANK0_GPIO(pin) (0x40038004u + 4u * (pin))

#define RESET_IO_BANK0 (1u << 6)
#define RESET_PADS_BANK0 (1u << 9)
#define RESET_PLL_SYS (1u << 14)
#define RESET_UART0 (1u << 26)

static void leave_reset(uint32_t bits) {
    SOC_REGISTER(RESETS_RESET + CLEAR) = bits;
    (void)soc_await(RESETS_RESET_DONE, bits, bits);
}

/* 12 MHz * 125 / (5 * 2) = 150 MHz. */
static void start_clocks(void) {
    SOC_REGISTER(XOSC_STARTUP) = 3008u; /* units of 256 cycles: 64 ms */
    SOC_REGISTER(XOSC_CTRL) = 0xFABu << 12 | 0xAA0u; /* ENABLE; 1 to 15 MHz */
    while ((SOC_REGISTER(XOSC_STATUS) & 1u << 31) == 0) { /* a board without its crystal has nothing to go on with */
    }
    SOC_REGISTER(CLOCKS_CLK_REF_CTRL) = 2u; /* XOSC */
    (void)soc_await(CLOCKS_CLK_REF_SELECTED, 1u << 2, 1u << 2);
    leave_reset(RESET_PLL_SYS);
    SOC_REGISTER(PLL_SYS_CS) = 1u; /* REFDIV */
    SOC_REGISTER(PLL_SYS_FBDIV_INT) = 125u;
    SOC_REGISTER(PLL_SYS_PWR + CLEAR) = 1u << 5 | 1u; /* VCOPD, PD */
    if (!soc_await(PLL_SYS_CS, 1u << 31, 1u << 31)) {
        return;
    }
    SOC_REGISTER(PLL_SYS_PRIM) = 5u << 16 | 2u << 12;
    SOC_REGISTER(PLL_SYS_PWR + CLEAR) = 1u << 3; /* POSTDIVPD */
    SOC_REGISTER(CLOCKS_CLK_SYS_CTRL) = 1u;      /* AUXSRC: PLL_SYS, SRC: aux */
    (void)soc_await(CLOCKS_CLK_SYS_SELECTED, 1u << 1, 1u << 1);
    SOC_REGISTER(CLOCKS_CLK_PERI_CTRL) = 1u << 11; /* ENABLE, from clk_sys */
}

static void start_pin(uint32_t pin) {
    SOC_REGISTER(IO_BANK0_GPIO_CTRL(pin)) = 2u;                     /* FUNCSEL: UART0 */
    SOC_REGISTER(PADS_BANK0_GPIO(pin)) = 1u << 6 | 1u << 4 | 1u << 1; /* IE, 4 mA, SCHMITT; not ISO, OD */
}

void soc_start(void) {
    start_clocks();
    leave_reset(RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_UART0);
    start_pin(SOC_TX_PIN);
    start_pin(SOC_RX_PIN);
}
