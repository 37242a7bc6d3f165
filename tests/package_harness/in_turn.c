/* SPDX-License-Identifier: Apache-2.0 */
/* Two networks by turns in one arena: their outputs are those of cases.h, else this ends with code 1. */
#include "cases.h"
#include "first.h"
#include "output.h"
#include "second.h"

static union {
    _Alignas(FIRST_ARENA_ALIGN) uint8_t first[FIRST_ARENA_BYTES];
    _Alignas(SECOND_ARENA_ALIGN) uint8_t second[SECOND_ARENA_BYTES];
} arena;

static int same(const int8_t *made, const int8_t *wanted, int count) {
    for (int i = 0; i < count; i++) {
        if (made[i] != wanted[i]) return 0;
    }
    return 1;
}

static int first_is_right(int k) {
    first_ctx ctx;
    if (first_init(&ctx, arena.first, sizeof arena.first) != FIRST_OK) return 0;
    for (int i = 0; i < FIRST_INPUT_BYTES; i++) first_input(&ctx)[i] = first_inputs[k][i];
    return first_run(&ctx) == FIRST_OK && same(first_output(&ctx), first_outputs[k], FIRST_OUTPUT_BYTES);
}

static int second_is_right(int k) {
    second_ctx ctx;
    if (second_init(&ctx, arena.second, sizeof arena.second) != SECOND_OK) return 0;
    return second_run_rows(&ctx, second_inputs[k]) == SECOND_OK &&
           same(second_output(&ctx), second_outputs[k], SECOND_OUTPUT_BYTES);
}

int main(void) {
    for (int k = 0; k < CASES; k++) {
        if (!first_is_right(k)) {
            put_text("first is wrong\n");
            return 1;
        }
        if (!second_is_right(k)) {
            put_text("second is wrong\n");
            return 1;
        }
    }
    put_text("both are right\n");
    return 0;
}
