/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - the four functions a compiler may call on its own (GCC manual, "Standards"); aligned accesses only.
 * Built with -fno-tree-loop-distribute-patterns: memcpy must not become a call of memcpy. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((((uintptr_t)d | (uintptr_t)s) & 3u) == 0) {
        for (; bytes >= 4; bytes -= 4, d += 4, s += 4) {
            *(word *)(void *)d = *(const word *)(const void *)s;
        }
    }
    while (bytes-- != 0) {
        *d++ = *s++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= bytes) { /* forwards is safe: `to` is not inside [from, from + bytes) */
        while (bytes-- != 0) {
            *d++ = *s++;
        }
    } else {
        while (bytes-- != 0) {
            d[bytes] = s[bytes];
        }
    }
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    uint8_t *d = to;
    if (((uintptr_t)d & 3u) == 0) {
        const word four = (uint32_t)(uint8_t)value * 0x01010101u;
        for (; bytes >= 4; bytes -= 4, d += 4) {
            *(word *)(void *)d = four;
        }
    }
    while (bytes-- != 0) {
        *d++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const uint8_t *p = a;
    const uint8_t *q = b;
    for (; bytes != 0; bytes--, p++, q++) {
        if (*p != *q) {
            return *p < *q ? -1 : 1;
        }
    }
    return 0;
}
