/* SPDX-License-Identifier: Apache-2.0 */
/* toy.c - see toy.h. The arena holds the input and, behind it, layer 0's output; the input's place takes the result. */
#include "toy.h"

#include <string.h>

#include "mbv2_toy.h"
#include "toy_weights.h"

void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count);
void mbv2_profile(unsigned layer);

int toy_init(toy_ctx *ctx, void *arena, size_t arena_bytes) {
    if (arena_bytes < TOY_ARENA_BYTES || (uintptr_t)arena % TOY_ARENA_ALIGN != 0) {
        return 1;
    }
    ctx->arena = arena;
    return 0;
}

int8_t *toy_input(toy_ctx *ctx) { return (int8_t *)ctx->arena; }

const int8_t *toy_output(const toy_ctx *ctx) { return (const int8_t *)ctx->arena; }

int toy_run(toy_ctx *ctx) {
    int8_t *const x = (int8_t *)ctx->arena;
    int8_t *const y = x + 64;
    int32_t sums[4];
    const int kind = x[0];
    const uint32_t argument = (uint8_t)x[1] | (uint32_t)(uint8_t)x[2] << 8 | (uint32_t)(uint8_t)x[3] << 16;
    memcpy(sums, toy_bias_1, sizeof sums);
    for (unsigned row = 0; row < 8; row++) {
#ifdef MBV2_PROFILE
        mbv2_profile(0);
#endif
        mbv2_add_saturating(y + 8 * row, x + 8 * row, toy_weights_0 + 8 * row, 8);
#ifdef MBV2_TAP
        mbv2_tap(0, row, 0, y + 8 * row, 5);
        mbv2_tap(0, row, 5, y + 8 * row + 5, 3);
#endif
#ifdef MBV2_PROFILE
        mbv2_profile(1);
#endif
        for (unsigned i = 0; i < 8; i++) {
            sums[row % 4] += y[8 * row + i];
        }
    }
    const int status = mbv2_misbehave(kind, argument, ctx->arena);
    const int left = kind == TOY_LEAVES_NOISE ? x[TOY_ARENA_BYTES - 1] : 0;
    for (unsigned i = 0; i < 4; i++) {
        x[i] = (int8_t)((sums[i] + left) & 255);
    }
#ifdef MBV2_TAP
    mbv2_tap(1, 0, 0, x, 4);
#endif
#ifdef MBV2_PROFILE
    mbv2_profile(TOY_LAYERS);
#endif
    return status;
}
