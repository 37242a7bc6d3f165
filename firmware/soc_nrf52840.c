/* SPDX-License-Identifier: Apache-2.0 */
/* soc_nrf52840.c - the 32 MHz crystal and the flash's cache (nRF52840 Product Specification: "CLOCK", "NVMC"). The core
 * runs at 64 MHz from reset; the console's driver sets its pin up.
 */
#include "soc.h"

#define CLOCK_TASKS_HFCLKSTART 0x40000000u
#define CLOCK_EVENTS_HFCLKSTARTED 0x40000100u
#define NVMC_ICACHECNF 0x4001E540u

void soc_start(void) {
    SOC_REGISTER(CLOCK_EVENTS_HFCLKSTARTED) = 0;
    SOC_REGISTER(CLOCK_TASKS_HFCLKSTART) = 1u;
    (void)soc_await(CLOCK_EVENTS_HFCLKSTARTED, 1u, 1u);
    SOC_REGISTER(NVMC_ICACHECNF) = 1u; /* CACHEEN */
}
