/* SPDX-License-Identifier: Apache-2.0 */
/* port_stdio.c - the host: stdio, and the address sanitizer where the build has it. */
#include "port.h"

#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define MBV2_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MBV2_ASAN 1
#endif
#endif

#ifdef MBV2_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum { MAX_FILES = 8 };

static FILE *files[MAX_FILES];

static int open_file(const char *name, const char *mode) {
    for (int i = 0; i < MAX_FILES; i++) {
        if (files[i] == NULL) {
            files[i] = fopen(name, mode);
            return files[i] != NULL ? i : -1;
        }
    }
    return -1;
}

int port_open_to_read(const char *name) { return open_file(name, "rb"); }

int port_open_to_write(const char *name) { return open_file(name, "wb"); }

size_t port_read(int file, void *to, size_t bytes) { return fread(to, 1, bytes, files[file]); }

int port_write(int file, const void *from, size_t bytes) {
    if (fwrite(from, 1, bytes, files[file]) != bytes || fflush(files[file]) != 0) {
        return -1;
    }
    return 0;
}

int port_close(int file) {
    FILE *closing = files[file];
    files[file] = NULL;
    return fclose(closing) == 0 ? 0 : -1;
}

void port_message(const char *text) { (void)fputs(text, stderr); }

void port_forbid(const void *from, size_t bytes) {
#ifdef MBV2_ASAN
    ASAN_POISON_MEMORY_REGION(from, bytes);
#else
    (void)from;
    (void)bytes;
#endif
}

void port_allow(const void *from, size_t bytes) {
#ifdef MBV2_ASAN
    ASAN_UNPOISON_MEMORY_REGION(from, bytes);
#else
    (void)from;
    (void)bytes;
#endif
}
