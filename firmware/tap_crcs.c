/* SPDX-License-Identifier: Apache-2.0 */
/* tap_crcs.c - TAPS holds a CRC-32 of every row of every layer, in the order of execution: records of five
 * little-endian words (layer, row, first, count, CRC of these `count` values). Values that follow each other are one
 * record: a row where a unit of work makes one, four pixels of it where a unit is a column. So it takes 32 bytes of RAM
 * for any network, and bytes by the dozen on the line.
 *
 *     PROGRAM INPUTS OUTPUTS RESULTS TAPS [LAYER ROW]
 *
 * Records of row ROW of layer LAYER are cut into pieces, and the values themselves follow each. Without TAPS nothing is
 * told.
 */
#include <stddef.h>

#include "crc32.h"
#include "network.h"
#include "port.h"
#include "taps.h"

static struct {
    uint32_t layer, row, first, count, state;
} open_record; /* none where count is 0 */

static uint32_t wanted_layer = TAP_END, wanted_row;
static int file = -1;
static int failed;

static void put(const void *from, size_t bytes) { failed |= port_write(file, from, bytes); }

static void end_record(void) {
    const uint32_t record[5] = {open_record.layer, open_record.row, open_record.first, open_record.count,
                                ~open_record.state};
    if (open_record.count != 0) {
        put(record, sizeof record);
    }
    open_record.count = 0;
}

void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count) {
    if (file < 0) {
        return;
    }
    const int follows = open_record.count != 0 && layer == open_record.layer && row == open_record.row &&
                        first == open_record.first + open_record.count;
    if (!follows) {
        end_record();
        open_record.layer = layer;
        open_record.row = row;
        open_record.first = first;
        open_record.state = CRC32_START;
    }
    open_record.count += count;
    open_record.state = crc32_add(open_record.state, values, count);
    if (layer == wanted_layer && row == wanted_row) {
        end_record();
        put(values, count);
    }
}

static uint32_t number(const char *digits) {
    uint32_t value = 0;
    while (*digits >= '0' && *digits <= '9') {
        value = value * 10u + (uint32_t)(*digits++ - '0');
    }
    return value;
}

int taps_open(int argc, char **argv) {
    if (argc > 6) {
        wanted_layer = number(argv[5]);
        wanted_row = number(argv[6]);
    }
    file = argc > 4 ? port_open_to_write(argv[4]) : -1;
    return argc > 4 && file < 0 ? -1 : 0;
}

int taps_end(uint32_t run) {
    const uint32_t record[5] = {TAP_END, run, 0, 0, 0};
    if (file < 0) {
        return 0;
    }
    end_record();
    put(record, sizeof record);
    return failed;
}

int taps_close(void) { return file < 0 ? 0 : port_close(file); }
