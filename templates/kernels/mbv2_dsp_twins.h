/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_twins.h - what the twins of all bodies are made of: words of streams and tiles at any address, arithmetic modulo
 * 2^32, and where the outputs of pointwise bodies go.
 */
#ifndef MBV2_DSP_TWINS_H
#define MBV2_DSP_TWINS_H

#include <stdint.h>
#include <string.h>

/* Name of a body; tests define it to link twins beside the assembly. */
#ifndef MBV2_TWIN
#define MBV2_TWIN(body) mbv2_##body##_dsp
#endif

enum { PAIR_BYTES = 16, PIXEL_BYTES = 4 };

typedef const uint8_t *bytes_in;
typedef uint8_t *bytes_out;

/* Right shifts of negative numbers must round down; so they do in gcc, clang, armclang and IAR. */
typedef char mbv2_twins_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

static inline uint32_t word_at(bytes_in p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline int32_t signed_byte(uint32_t value) { return (int32_t)((value & 0xFFu) ^ 0x80u) - 0x80; }

static inline int32_t signed_half(uint32_t value) { return (int32_t)((value & 0xFFFFu) ^ 0x8000u) - 0x8000; }

static inline int32_t signed_word(uint32_t value) {
    return value < 0x80000000u ? (int32_t)value : -(int32_t)(0xFFFFFFFFu - value) - 1;
}

static inline int32_t int16_at(bytes_in p) {
    int16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline int32_t int32_at(bytes_in p) {
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline void put_int16(bytes_out p, int32_t value) {
    const int16_t half = (int16_t)value;
    memcpy(p, &half, sizeof half);
}

static inline void put_uint32(bytes_out p, uint32_t value) { memcpy(p, &value, sizeof value); }

/* SMLAD: both halves of the tile's word at p times w0 and w1. Products are at most 2^30. */
static inline uint32_t multiply_add(uint32_t acc, bytes_in p, int32_t w0, int32_t w1) {
    return acc + (uint32_t)(int16_at(p) * w0) + (uint32_t)(int16_at(p + 2) * w1);
}

static inline uint32_t high_product(uint32_t y, uint32_t multiplier) {
    const int64_t product = (int64_t)signed_word(y) * signed_word(multiplier);
    return (uint32_t)(product >> 32);
}

static inline uint32_t high_product_rounded(uint32_t y, uint32_t multiplier, uint32_t constant) {
    const int64_t product = (int64_t)signed_word(y) * signed_word(multiplier);
    return constant + (uint32_t)((product + 0x80000000LL) >> 32);
}

static inline uint8_t saturated_uint8(uint32_t value, uint32_t shift) {
    const int32_t v = signed_word(value) >> (shift < 31 ? shift : 31);
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static inline int32_t saturated_int8(uint32_t value, uint32_t shift) {
    const int32_t v = signed_word(value) >> (shift < 31 ? shift : 31);
    return v < -128 ? -128 : v > 127 ? 127 : v;
}

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

/* Sums of one pair of channels; `stream` stands behind the end word, which is `end`. */
typedef struct mbv2_pair {
    uint32_t acc[2][4];
    uint32_t end;
    bytes_in stream;
} mbv2_pair;

/* The sums of the pair of channels that `stream` begins with. */
typedef mbv2_pair mbv2_pair_sums(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t form);

/* Its outputs; -> where the next pair begins. */
typedef bytes_in mbv2_pair_outputs(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t form, uint8_t q[2][4]);

static inline void to_lines(mbv2_pair_outputs *outputs, const void *stream, const void *tile, void *out, int32_t step,
                            const void *end, uint32_t pixels, uint32_t form) {
    static const uint8_t place[4] = {0, 2, 1, 3};
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream;
    do {
        uint8_t q[2][4];
        s = outputs(s, (bytes_in)tile, pixels, form, q);
        for (uint32_t c = 0; c < 2; c++, o += step) {
            for (uint32_t p = 0; p < 4; p++) o[place[p]] = p < pixels ? q[c][p] : 0;
        }
    } while (o != end);
}

static inline void to_sums(mbv2_pair_outputs *outputs, const void *stream, const void *tile, void *out, const void *end,
                           uint32_t pixels, uint32_t form) {
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream;
    do {
        uint8_t q[2][4];
        s = outputs(s, (bytes_in)tile, pixels, form, q);
        for (uint32_t c = 0; c < 2; c++, o += 4) {
            uint32_t sum = word_at(o);
            for (uint32_t p = 0; p < pixels; p++) sum += q[c][p];
            put_uint32(o, sum);
        }
    } while (o != end);
}

/* Linear outputs; the sums of channel `scaled` of a pair (2: of none) are 256 times its accumulators. */
static inline void to_nhwc(mbv2_pair_sums *sums, const void *stream, const void *tile, void *out, int32_t step,
                           const void *end, uint32_t pixels, uint32_t form, uint32_t scaled) {
    const uint32_t centre = word_at((bytes_in)stream);
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream + 4;
    do {
        mbv2_pair pair = sums(s, (bytes_in)tile, pixels, form);
        for (uint32_t c = 0; c < 2; c++, o++, pair.stream += 4) {
            const uint32_t multiplier = word_at(pair.stream), shift = pair.end >> (8 * c) & 0xFFu;
            const uint32_t constant = shift < 32 ? centre << shift : 0;
            for (uint32_t p = 0; p < pixels; p++) {
                const uint32_t acc = pair.acc[c][p], t = constant - (acc >> 31);
                const uint32_t twice = c == scaled ? (uint32_t)(signed_word(acc) >> 7) : acc << 1;
                const uint32_t v = high_product_rounded(twice, multiplier, t);
                o[(int32_t)p * step] = (uint8_t)saturated_int8(v, shift + 1);
            }
        }
        s = pair.stream;
    } while (o != end);
}

/* Adds the accumulators of packed pairs to int32 [pixel][channel]. */
static inline void to_accumulators(mbv2_pair_sums *sums, const void *stream, const void *tile, void *out, int32_t step,
                                   const void *end, uint32_t pixels, uint32_t form) {
    bytes_out o = (bytes_out)out;
    bytes_in s = (bytes_in)stream;
    do {
        const mbv2_pair pair = sums(s, (bytes_in)tile, pixels, form);
        for (uint32_t p = 0; p < pixels; p++) {
            const bytes_out first = o + (int32_t)p * step;
            put_uint32(first, word_at(first) + pair.acc[0][p]);
            put_uint32(first + 4, word_at(first + 4) + (uint32_t)(signed_word(pair.acc[1][p]) >> 8));
        }
        o += 8;
        s = pair.stream;
    } while (o != end);
}

#define POINTWISE(kind, call)                                                                            \
    void MBV2_TWIN(kind)(const void *stream, const void *tile, void *out, int32_t step, const void *end) { call; }
#define FOUR_SIZES(size) size(4) size(3) size(2) size(1)

#endif
