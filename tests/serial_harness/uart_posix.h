/* SPDX-License-Identifier: Apache-2.0 */
/* uart_posix.h - the driver of a line that is a file. */
#ifndef MBV2_FIRMWARE_UART_H
#define MBV2_FIRMWARE_UART_H

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static inline void uart_start(void) {}

static inline void uart_put(char c) {
    if (write(1, &c, 1) != 1) {
        exit(1);
    }
}

static inline int uart_get(void) {
    struct pollfd line = {.fd = 0, .events = POLLIN};
    unsigned char byte;
    if (poll(&line, 1, 1) <= 0) {
        return -1;
    }
    if (read(0, &byte, 1) != 1) {
        exit(0); /* nobody holds the other end any more */
    }
    return byte;
}

#endif
