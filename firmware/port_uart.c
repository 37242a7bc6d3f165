/* SPDX-License-Identifier: Apache-2.0 */
/* port_uart.c - a board on its own: the input is in the image, as is the output that NumPy computes for it; what comes
 * of it goes to a serial line. 8N1, CONSOLE_BAUD.
 */
#include <stdint.h>

#include "board.h"
#include "network.h"
#include "port.h"
#include "sample.h"
#include CONSOLE_DRIVER

enum { INPUTS, OUTPUTS, RESULTS };

static size_t taken, made, wrong;

static void put(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            uart_put('\r');
        }
        uart_put(text[i]);
    }
}

char *port_command_line(void) {
    static char line[] = "program inputs outputs results";
    uart_start();
    port_message("MBV2 " NN_NAME " on " BOARD_NAME "\n");
    return line;
}

int port_open_to_read(const char *name) {
    (void)name;
    return INPUTS;
}

int port_open_to_write(const char *name) { return name[0] == 'o' ? OUTPUTS : RESULTS; }

size_t port_read(int file, void *to, size_t bytes) {
    uint8_t *values = to;
    size_t count = 0;
    (void)file;
    while (count < bytes && taken < sizeof sample_input) {
        values[count++] = (uint8_t)sample_input[taken++];
    }
    return count;
}

int port_write(int file, const void *from, size_t bytes) {
    const char *values = from;
    if (file == RESULTS) {
        put(values, bytes);
        return 0;
    }
    for (size_t i = 0; i < bytes; i++, made++) {
        wrong += made >= sizeof sample_output || (int8_t)values[i] != sample_output[made] ? 1u : 0u;
    }
    return 0;
}

int port_close(int file) {
    (void)file;
    return 0;
}

void port_message(const char *text) {
    while (*text != '\0') {
        put(text++, 1);
    }
}

_Noreturn void port_exit(int code) {
    const int is_right = code == 0 && wrong == 0 && made == sizeof sample_output;
    port_message(is_right ? "MBV2 the output equals NumPy's\n" : "MBV2 the output is not NumPy's\n");
    for (;;) {
        __asm volatile("wfi");
    }
}
