/* SPDX-License-Identifier: Apache-2.0 */
/* board.h - a board that is a process of this machine, its serial line a pseudo-terminal on standard input and output. */
#ifndef MBV2_FIRMWARE_BOARD_H
#define MBV2_FIRMWARE_BOARD_H

#define BOARD_NAME "process"
#define BOARD_CLOCK_HZ (16u * 50u) /* patience: 50 readings of the line, each of which waits for a millisecond */
#define CONSOLE_DRIVER "uart_posix.h"

#endif
