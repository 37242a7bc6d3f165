/* SPDX-License-Identifier: Apache-2.0 */
/* random_streams.h - random weight streams in the bodies' formats, extreme values among them. */
#ifndef DSP_HARNESS_RANDOM_STREAMS_H
#define DSP_HARNESS_RANDOM_STREAMS_H

#include <stdint.h>
#include <string.h>

static uint32_t random_state = 1;

static uint32_t random_word(void) { /* xorshift32 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static uint32_t random_below(uint32_t n) { return (random_word() >> 8) % n; }

static int32_t random_weight(int extreme) {
    return extreme ? (random_word() & 256u ? 127 : -127) : (int32_t)random_below(255) - 127;
}

static int32_t random_half(int extreme) { /* a weight of 4 bits */
    return extreme ? (random_word() & 256u ? 7 : -7) : (int32_t)random_below(15) - 7;
}

static uint32_t *put_word(uint32_t *to, uint32_t word) {
    *to = word;
    return to + 1;
}

static uint32_t halfword(int32_t w0, int32_t w1) { return (uint32_t)(256 * w1 + w0) & 0xFFFFu; }

static uint32_t byte(int32_t value) { return (uint32_t)value & 0xFFu; }

static uint32_t random_multiplier(void) {
    static const uint32_t special[4] = {0, 0x40000000u, 0x7FFFFFFFu, 1};
    return random_below(8) ? random_word() >> (1 + random_below(11)) : special[random_below(4)];
}

static uint32_t random_constant(void) {
    return random_below(4) ? 256u + random_below(1024) : random_word() >> random_below(12);
}

static uint32_t random_shifts(void) {
    const uint32_t bound = random_below(8) ? 20u : 256u;
    return random_below(bound) | random_below(bound) << 8 | random_below(128) << 16;
}

enum { UNPACKED = 1, OWN_SHIFTS = 2, LINEAR = 4, FOUR_BITS = 8, PART = 16 }; /* forms of pointwise streams; 0: packed, common shift */

static uint32_t random_weights(uint32_t form, int extreme) { /* a word of them */
    uint32_t word = 0;
    if (form & FOUR_BITS) {
        for (uint32_t i = 0; i < 4; i++) {
            word = word << 8 | byte(16 * random_half(extreme) + random_half(extreme));
        }
        return word;
    }
    const int32_t w0 = random_weight(extreme), w1 = random_weight(extreme);
    const int32_t v0 = random_weight(extreme), v1 = random_weight(extreme);
    return form & UNPACKED ? byte(w0) | byte(w1) << 8 | byte(v0) << 16 | byte(v1) << 24
                           : halfword(w0, w1) | halfword(v0, v1) << 16;
}

/* Of `channels` (even) outputs and `pairs` pairs of inputs; returns behind it. */
static uint32_t *random_pointwise(uint32_t *to, uint32_t channels, uint32_t pairs, uint32_t form) {
    const int extreme = random_below(4) == 0;
    if (form & LINEAR) {
        to = put_word(to, 2u * random_below(256) - 255u);
    }
    for (uint32_t c = 0; c < channels; c += 2) {
        const uint32_t bias = random_word() >> random_below(24);
        if (form) {
            to = put_word(to, bias);
        }
        to = put_word(to, form & UNPACKED ? random_word() : bias + (random_word() << 8 >> random_below(12)));
        for (uint32_t k = 0; k < (form & FOUR_BITS ? pairs / 2 : pairs); k++) {
            to = put_word(to, random_weights(form, extreme));
        }
        to = put_word(to, 0x80000000u | (form ? random_shifts() : random_below(1u << 23)));
        for (uint32_t k = 0; k < (form & PART ? 0 : 2); k++) {
            to = put_word(to, random_multiplier());
            if (form & OWN_SHIFTS) {
                to = put_word(to, random_constant());
            }
        }
    }
    return to;
}

enum { DEPTHWISE_BYTES = 20 };

static uint32_t *random_depthwise(uint32_t *to, uint32_t channels) {
    for (uint32_t c = 0; c < channels; c++) {
        const int extreme = random_below(4) == 0;
        to = put_word(to, random_word() >> random_below(16));
        to = put_word(to, random_multiplier());
        for (uint32_t r = 0; r < 3; r++) {
            const uint32_t w0 = byte(random_weight(extreme)), w1 = byte(random_weight(extreme));
            to = put_word(to, w0 | w1 << 8 | w1 << 16 | byte(random_weight(extreme)) << 24);
        }
    }
    return to;
}

static uint32_t *random_dense(uint32_t *to, uint32_t outputs, uint32_t pairs, uint32_t form) {
    const int extreme = random_below(4) == 0;
    for (uint32_t o = 0; o < outputs; o += 8) {
        for (uint32_t k = 0; k < 8; k++) {
            to = put_word(to, random_word() >> random_below(24));
        }
        for (uint32_t k = 0; k < (form & FOUR_BITS ? 2 : 4) * pairs; k++) {
            to = put_word(to, random_weights(form, extreme));
        }
    }
    return to;
}

#endif
