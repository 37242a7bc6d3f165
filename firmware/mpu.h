/* SPDX-License-Identifier: Apache-2.0 */
/* mpu.h - what port_forbid forbids, off for a while: for whoever must see all memory (a fault's report), and for
 * semihosting, where an emulator asks the MPU about the first byte of a page instead of the bytes it wants. */
#ifndef MBV2_FIRMWARE_MPU_H
#define MBV2_FIRMWARE_MPU_H

void mpu_pause(void);
void mpu_resume(void);

#endif
