/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_four_bits_twins.c - the bodies of mbv2_dsp_four_bits.h in portable C: same streams, same bytes, and the same
 * sums modulo 2^32 as the instructions make, even where a bound is broken. Compiled to nothing on a core that has the DSP
 * extension.
 */
#include "mbv2_dsp_four_bits.h"

#if !defined(__ARM_FEATURE_DSP)

#include <string.h>

/* Name of a body; tests define it to link twins beside the assembly. */
#ifndef MBV2_TWIN
#define MBV2_TWIN(body) mbv2_##body##_dsp
#endif

enum { PAIR_BYTES = 16, PIXEL_BYTES = 4 };
enum { COMMON_SHIFT = 0, OWN_SHIFTS = 1 };
enum { SCALED = 8, UNPACKED = 0 }; /* A = acc0 << this */

typedef const uint8_t *bytes_in;
typedef uint8_t *bytes_out;

/* Right shifts of negative numbers must round down; so they do in gcc, clang, armclang and IAR. */
typedef char mbv2_four_bits_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

static int32_t signed_word(uint32_t value) {
    return value < 0x80000000u ? (int32_t)value : -(int32_t)(0xFFFFFFFFu - value) - 1;
}

static uint32_t word_at(bytes_in p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int32_t int16_at(bytes_in p) {
    int16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static void put_uint32(bytes_out p, uint32_t value) { memcpy(p, &value, sizeof value); }

/* SMLAD: both halves of the word at p times w0 and w1. Products are at most 2^30. */
static uint32_t multiply_add(uint32_t acc, bytes_in p, int32_t w0, int32_t w1) {
    return acc + (uint32_t)(int16_at(p) * w0) + (uint32_t)(int16_at(p + 2) * w1);
}

/* The byte e of both weights, and w0 << scale. */
static int32_t whole(uint32_t byte) { return (int32_t)((byte & 0xFFu) ^ 0x80u) - 0x80; }

static int32_t low_half(uint32_t byte, uint32_t scale) {
    return (int32_t)(16u << scale) * ((int32_t)((byte & 0xFu) ^ 8u) - 8);
}

/* Sums A and B of one pixel by the bytes `k` and `l` for the inputs at p. */
static void add_pair(uint32_t *a, uint32_t *b, bytes_in p, uint32_t k, uint32_t l, uint32_t scale) {
    *a = multiply_add(*a, p, low_half(k, scale), low_half(l, scale));
    *b = multiply_add(*b, p, whole(k), whole(l));
}

static uint32_t shifted_down(uint32_t value, uint32_t by) { return (uint32_t)(signed_word(value) >> by); }

static int32_t clamped(uint32_t value, uint32_t shift, int32_t least, int32_t most) {
    const int32_t v = signed_word(value) >> (shift < 31 ? shift : 31);
    return v < least ? least : v > most ? most : v;
}

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

/* Of one pair of channels: 256 * acc0 (UNPACKED: acc0) and acc1; `stream` stands behind the end word, which is `end`. */
typedef struct mbv2_pair {
    uint32_t acc[2][4];
    uint32_t end;
    bytes_in stream;
} mbv2_pair;

static mbv2_pair accumulate(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t scale) {
    mbv2_pair pair;
    for (uint32_t p = 0; p < 4; p++) {
        pair.acc[0][p] = word_at(stream);
        pair.acc[1][p] = word_at(stream + 4);
    }
    stream += 8;
    for (; (word_at(stream) & 0xFF800000u) != 0x80000000u; stream += 4) {
        for (uint32_t half = 0; half < 2; half++, tile += PAIR_BYTES) {
            const uint32_t word = word_at(stream) >> (8 * half);
            for (uint32_t p = 0; p < pixels; p++) {
                add_pair(&pair.acc[0][p], &pair.acc[1][p], tile + PIXEL_BYTES * p, word, word >> 16, scale);
            }
        }
    }
    pair.end = word_at(stream);
    pair.stream = stream + 4;
    for (uint32_t p = 0; p < 4; p++) pair.acc[1][p] -= shifted_down(pair.acc[0][p], scale + 4);
    return pair;
}

static void relu_outputs(mbv2_pair *pair, uint32_t form, uint8_t q[2][4]) {
    for (uint32_t c = 0; c < 2; c++, pair->stream += form == OWN_SHIFTS ? 8 : 4) {
        const int64_t multiplier = signed_word(word_at(pair->stream));
        const uint32_t constant = form == OWN_SHIFTS ? word_at(pair->stream + 4) : 0;
        const uint32_t shift = form == OWN_SHIFTS ? pair->end >> (8 * c) & 0xFFu : (uint32_t)MBV2_DSP_PACKED_SHIFT;
        const uint32_t rest = form == OWN_SHIFTS ? 0 : pair->end & 0xFFu;
        for (uint32_t p = 0; p < 4; p++) {
            const uint32_t y = c ? (pair->acc[1][p] << 8) + rest : pair->acc[0][p];
            const uint32_t product = (uint32_t)(signed_word(y) * multiplier >> 32);
            q[c][p] = (uint8_t)clamped(product + constant, shift, 0, 255);
        }
    }
}

static void pw_relu(const void *stream, const void *tile, void *out, int32_t step, const void *end, uint32_t pixels,
                    uint32_t form) {
    static const uint8_t place[4] = {0, 2, 1, 3};
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream;
    do {
        mbv2_pair pair = accumulate(s, (bytes_in)tile, pixels, SCALED);
        uint8_t q[2][4];
        relu_outputs(&pair, form, q);
        for (uint32_t c = 0; c < 2; c++, o += step) {
            for (uint32_t p = 0; p < 4; p++) o[place[p]] = p < pixels ? q[c][p] : 0;
        }
        s = pair.stream;
    } while (o != end);
}

static void pw_gap(const void *stream, const void *tile, void *out, const void *end, uint32_t pixels, uint32_t form) {
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream;
    do {
        mbv2_pair pair = accumulate(s, (bytes_in)tile, pixels, SCALED);
        uint8_t q[2][4];
        relu_outputs(&pair, form, q);
        for (uint32_t c = 0; c < 2; c++, o += 4) {
            uint32_t sum = word_at(o);
            for (uint32_t p = 0; p < pixels; p++) sum += q[c][p];
            put_uint32(o, sum);
        }
        s = pair.stream;
    } while (o != end);
}

static void pw_lin(const void *stream, const void *tile, void *out, int32_t step, const void *end, uint32_t pixels,
                   uint32_t scale) {
    const uint32_t centre = word_at((bytes_in)stream);
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream + 4;
    do {
        mbv2_pair pair = accumulate(s, (bytes_in)tile, pixels, scale);
        for (uint32_t c = 0; c < 2; c++, o++, pair.stream += 4) {
            const int64_t multiplier = signed_word(word_at(pair.stream));
            const uint32_t shift = pair.end >> (8 * c) & 0xFFu, constant = shift < 32 ? centre << shift : 0;
            for (uint32_t p = 0; p < pixels; p++) {
                const uint32_t acc = pair.acc[c][p], twice = c || !scale ? acc << 1 : shifted_down(acc, scale - 1);
                const uint32_t product = (uint32_t)((signed_word(twice) * multiplier + 0x80000000LL) >> 32);
                o[(int32_t)p * step] = (uint8_t)clamped(product + constant - (acc >> 31), shift + 1, -128, 127);
            }
        }
        s = pair.stream;
    } while (o != end);
}

#define POINTWISE(kind, call)                                                                            \
    void MBV2_TWIN(kind)(const void *stream, const void *tile, void *out, int32_t step, const void *end) { call; }
#define BODIES(n)                                                                              \
    POINTWISE(pw_relu##n##_n, pw_relu(stream, tile, out, step, end, n, COMMON_SHIFT))          \
    POINTWISE(pw_relu##n##_nsh, pw_relu(stream, tile, out, step, end, n, OWN_SHIFTS))          \
    POINTWISE(pw_lin##n##_n, pw_lin(stream, tile, out, step, end, n, SCALED))                  \
    POINTWISE(pw_lin##n##_nx, pw_lin(stream, tile, out, step, end, n, UNPACKED))               \
    POINTWISE(pw_gap##n##_n, (void)step; pw_gap(stream, tile, out, end, n, COMMON_SHIFT))      \
    POINTWISE(pw_gap##n##_nsh, (void)step; pw_gap(stream, tile, out, end, n, OWN_SHIFTS))
BODIES(4)
BODIES(3)
BODIES(2)
BODIES(1)

/* ---- fully connected ------------------------------------------------------------------------------------------- */

/* Inputs up to the next mark, which it returns. */
static int32_t fc_part(bytes_in *stream, bytes_in *x, uint32_t acc[8]) {
    for (; signed_word(word_at(*x)) >= 0; *x += 4) {
        for (uint32_t c = 0; c < 8; c += 4, *stream += 4) {
            const uint32_t word = word_at(*stream);
            add_pair(&acc[c], &acc[c + 1], *x, word, word >> 16, SCALED);
            add_pair(&acc[c + 2], &acc[c + 3], *x, word >> 8, word >> 24, SCALED);
        }
    }
    *x += 4;
    return signed_word(word_at(*x - 4));
}

void MBV2_TWIN(fc8_n)(const void *stream, const void *x, void *out, const void *out_end) {
    bytes_in s = (bytes_in)stream;
    for (bytes_out o = (bytes_out)out; o != out_end; o += 32) {
        bytes_in p = (bytes_in)x;
        int32_t mark;
        memcpy(o, s, 32);
        s += 32;
        do {
            uint32_t acc[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            mark = fc_part(&s, &p, acc);
            for (uint32_t k = 0; k < 8; k += 2) {
                put_uint32(o + 4 * k, word_at(o + 4 * k) + shifted_down(acc[k], 8));
                put_uint32(o + 4 * k + 4, word_at(o + 4 * k + 4) + acc[k + 1] - shifted_down(acc[k], 12));
            }
        } while (mark == -1);
    }
}

#endif
