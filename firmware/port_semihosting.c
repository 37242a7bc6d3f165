/* SPDX-License-Identifier: Apache-2.0 */
/* port_semihosting.c - a board behind a debugger or in an emulator: files through semihosting. */
#include "mpu.h"
#include "port.h"
#include "semihosting.h"

static int call(int operation, const void *argument) {
    mpu_pause();
    const int result = semihosting_call(operation, argument);
    mpu_resume();
    return result;
}

static int open_file(const char *name, uint32_t mode) {
    uint32_t length = 0;
    while (name[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)name, mode, length};
    return call(SYS_OPEN, block);
}

int port_open_to_read(const char *name) { return open_file(name, 1u); /* fopen's "rb" */ }

int port_open_to_write(const char *name) { return open_file(name, 5u); /* fopen's "wb" */ }

size_t port_read(int file, void *to, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)to, bytes};
    return bytes - (size_t)call(SYS_READ, block); /* it returns how many are missing */
}

int port_write(int file, const void *from, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)from, bytes};
    return call(SYS_WRITE, block) == 0 ? 0 : -1;
}

int port_close(int file) {
    const uint32_t block[1] = {(uint32_t)file};
    return call(SYS_CLOSE, block);
}

void port_message(const char *text) { (void)call(SYS_WRITE0, text); }

char *port_command_line(void) {
    static char line[96];
    const uint32_t block[2] = {(uint32_t)line, sizeof line};
    (void)call(SYS_GET_CMDLINE, block);
    return line;
}

_Noreturn void port_exit(int code) {
    mpu_pause();
    semihosting_exit((uint32_t)code);
}
