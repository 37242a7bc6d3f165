/* port_semihosting.c - a board behind a debugger or in an emulator: files through semihosting. */
#include "port.h"
#include "semihosting.h"

static int open_file(const char *name, uint32_t mode) {
    uint32_t length = 0;
    while (name[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)name, mode, length};
    return semihosting_call(SYS_OPEN, block);
}

int port_open_to_read(const char *name) { return open_file(name, 1u); /* fopen's "rb" */ }

int port_open_to_write(const char *name) { return open_file(name, 5u); /* fopen's "wb" */ }

size_t port_read(int file, void *to, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)to, bytes};
    return bytes - (size_t)semihosting_call(SYS_READ, block); /* it returns how many are missing */
}

int port_write(int file, const void *from, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)from, bytes};
    return semihosting_call(SYS_WRITE, block) == 0 ? 0 : -1;
}

int port_close(int file) {
    const uint32_t block[1] = {(uint32_t)file};
    return semihosting_call(SYS_CLOSE, block);
}

void port_message(const char *text) { (void)semihosting_call(SYS_WRITE0, text); }

void port_forbid(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}

void port_allow(const void *from, size_t bytes) {
    (void)from;
    (void)bytes;
}
