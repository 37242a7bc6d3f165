/* SPDX-License-Identifier: Apache-2.0 */
/* toy.h - a hand-written stand-in for a compiled network, with its API: 8 x 8 values in, 4 sums out.
 *
 * Layer 0 is y = x + toy_weights_0 (saturating), layer 1 the sum of every fourth row, its lowest 8 bits. The first
 * input value chooses a misdeed, so that what catches misdeeds can be tested; values 1..3 are its argument.
 */
#ifndef TOY_H
#define TOY_H

#include <stddef.h>
#include <stdint.h>

#define TOY_ARENA_BYTES 133 /* no multiple of anything */
#define TOY_ARENA_ALIGN 16
#define TOY_INPUT_BYTES 64
#define TOY_OUTPUT_BYTES 4
#define TOY_LAYERS 2

#define TOY_BEHAVES 0
#define TOY_READS_BEHIND_ARENA 1
#define TOY_WRITES_BEHIND_ARENA 2
#define TOY_WRITES_BEFORE_ARENA 3
#define TOY_HANGS 4
#define TOY_READS_NOWHERE 5
#define TOY_READS_UNALIGNED 6
#define TOY_DIVIDES_BY_ZERO 7
#define TOY_OVERFLOWS_STACK 8
#define TOY_FAILS 9
#define TOY_OVERFLOWS_INT 10
#define TOY_LOOPS 11      /* argument: a loop of 2 instructions, so often; in layer 1 */
#define TOY_USES_STACK 12 /* argument: so many words */
#define TOY_LEAVES_NOISE 13

typedef struct toy_ctx {
    uint8_t *arena;
} toy_ctx;

int toy_init(toy_ctx *ctx, void *arena, size_t arena_bytes);
int8_t *toy_input(toy_ctx *ctx);
int toy_run(toy_ctx *ctx);
const int8_t *toy_output(const toy_ctx *ctx);

#endif
