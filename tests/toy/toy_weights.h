/* SPDX-License-Identifier: Apache-2.0 */
/* toy_weights.h - the tables of toy_weights.c. */
#ifndef TOY_WEIGHTS_H
#define TOY_WEIGHTS_H

#include <stdint.h>

extern const int8_t toy_weights_0[64];
extern const int32_t toy_bias_1[4];

#endif
