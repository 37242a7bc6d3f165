/* SPDX-License-Identifier: Apache-2.0 */
/* strings.c - what the harness takes from the C library besides firmware/memory.c. */
int strcmp(const char *a, const char *b);

int strcmp(const char *a, const char *b) {
    for (; *a != '\0' && *a == *b; a++, b++) {
    }
    return (unsigned char)*a - (unsigned char)*b;
}
