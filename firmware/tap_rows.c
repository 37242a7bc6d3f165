/* SPDX-License-Identifier: Apache-2.0 */
/* tap_rows.c - TAPS holds all values of all layers: records of four little-endian words (layer, row, first, count) and
 * `count` values.
 */
#include <stddef.h>

#include "network.h"
#include "port.h"
#include "taps.h"

static int file;
static int failed;

static void put(const void *from, size_t bytes) { failed |= port_write(file, from, bytes); }

void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count) {
    const uint32_t head[4] = {layer, row, first, count};
    put(head, sizeof head);
    put(values, count);
}

int taps_open(int argc, char **argv) {
    file = argc > 4 ? port_open_to_write(argv[4]) : -1;
    return file < 0 ? -1 : 0;
}

int taps_end(uint32_t run) {
    const uint32_t head[4] = {TAP_END, run, 0, 0};
    put(head, sizeof head);
    return failed;
}

int taps_close(void) { return port_close(file); }
