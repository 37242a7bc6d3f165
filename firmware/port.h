/* SPDX-License-Identifier: Apache-2.0 */
/* port.h - what main.c needs of the machine: files, messages, an end. One port is linked. */
#ifndef MBV2_FIRMWARE_PORT_H
#define MBV2_FIRMWARE_PORT_H

#include <stddef.h>

/* Opens a file; a negative handle where that failed. */
int port_open_to_read(const char *name);
int port_open_to_write(const char *name);

/* Reads up to `bytes`; returns how many there were. */
size_t port_read(int file, void *to, size_t bytes);

/* Writes all of it; whoever watches the file's size sees it at once. Returns 0, or -1 where that failed. */
int port_write(int file, const void *from, size_t bytes);

int port_close(int file);

/* The command line, to be split in place; and the end. For boards, whose startup.c calls them. */
char *port_command_line(void);
_Noreturn void port_exit(int code);

/* From reset on, again; startup.c has it, for ports that are called many times. */
_Noreturn void board_reset(void);

/* One line for the person who runs it (standard error). */
void port_message(const char *text);

/* Bytes that nobody may touch from now on, where the machine can watch that (address sanitizer, mpu.c). */
void port_forbid(const void *from, size_t bytes);
void port_allow(const void *from, size_t bytes);

#endif
