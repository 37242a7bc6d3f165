/* SPDX-License-Identifier: Apache-2.0 */
/* taps.h - what main.c does with the rows of every layer, in a build with taps. One of tap_rows.c and tap_crcs.c is
 * linked.
 */
#ifndef MBV2_FIRMWARE_TAPS_H
#define MBV2_FIRMWARE_TAPS_H

#include <stdint.h>

#define TAP_END 0xFFFFFFFFu /* the record that ends a run: (TAP_END, run, 0, 0) */

#ifdef MBV2_TAP
/* 0, or -1 where the file that argv[4] names cannot be opened, written or closed. */
int taps_open(int argc, char **argv);
int taps_end(uint32_t run);
int taps_close(void);
#else
static inline int taps_open(int argc, char **argv) {
    (void)argc;
    (void)argv;
    return 0;
}
static inline int taps_end(uint32_t run) {
    (void)run;
    return 0;
}
static inline int taps_close(void) { return 0; }
#endif

#endif
