/* SPDX-License-Identifier: Apache-2.0 */
/* mbv2_toy.h - kernel bodies and misdeeds of the toy. */
#ifndef MBV2_TOY_H
#define MBV2_TOY_H

#include <stdint.h>

void mbv2_add_saturating(int8_t *y, const int8_t *x, const int8_t *w, unsigned count);
int mbv2_misbehave(int kind, uint32_t argument, volatile uint8_t *arena);

#endif
