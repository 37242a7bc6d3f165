/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - text to the emulator's console, or to stdout. */
#ifndef DSP_HARNESS_OUTPUT_H
#define DSP_HARNESS_OUTPUT_H

#ifdef __arm__
#include "semihosting.h"
static inline void put_text(const char *text) { (void)semihosting_call(SYS_WRITE0, text); }
#else
#include <stdio.h>
static inline void put_text(const char *text) { (void)fputs(text, stdout); }
#endif

#endif
