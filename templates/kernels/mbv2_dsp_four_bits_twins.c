/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_four_bits_twins.c - the bodies of mbv2_dsp_four_bits.h in portable C: same streams, same bytes, and the same
 * sums modulo 2^32 as the instructions make, even where a bound is broken. Compiled to nothing on a core that has the DSP
 * extension.
 */
#include "mbv2_dsp_four_bits.h"

#if !defined(__ARM_FEATURE_DSP)

#include "mbv2_dsp_twins.h"

enum { COMMON = 0, OWN = 1 };    /* shifts */
enum { SCALED = 8, UNSCALED = 0 }; /* A = acc0 << this */

/* Of the byte e of both weights w0 << scale. */
static int32_t low_half(uint32_t byte, uint32_t scale) {
    return (int32_t)(16u << scale) * ((int32_t)((byte & 0xFu) ^ 8u) - 8);
}

/* Sums A and B of one pixel by the bytes `k` and `l` for the inputs at p. */
static void add_pair(uint32_t *a, uint32_t *b, bytes_in p, uint32_t k, uint32_t l, uint32_t scale) {
    *a = multiply_add(*a, p, low_half(k, scale), low_half(l, scale));
    *b = multiply_add(*b, p, signed_byte(k), signed_byte(l));
}

static uint32_t shifted_down(uint32_t value, uint32_t by) { return (uint32_t)(signed_word(value) >> by); }

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

/* 256 * acc0 (UNSCALED: acc0) and acc1. */
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

static bytes_in relu_pair(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t form, uint8_t q[2][4]) {
    mbv2_pair pair = accumulate(stream, tile, pixels, SCALED);
    for (uint32_t c = 0; c < 2; c++, pair.stream += form == OWN ? 8 : 4) {
        const uint32_t multiplier = word_at(pair.stream), constant = form == OWN ? word_at(pair.stream + 4) : 0;
        const uint32_t shift = form == OWN ? pair.end >> (8 * c) & 0xFFu : (uint32_t)MBV2_DSP_PACKED_SHIFT;
        const uint32_t rest = form == OWN ? 0 : pair.end & 0xFFu;
        for (uint32_t p = 0; p < 4; p++) {
            const uint32_t y = c ? (pair.acc[1][p] << 8) + rest : pair.acc[0][p];
            q[c][p] = saturated_uint8(high_product(y, multiplier) + constant, shift);
        }
    }
    return pair.stream;
}

#define BODIES(n)                                                                                       \
    POINTWISE(pw_relu##n##_n, to_lines(relu_pair, stream, tile, out, step, end, n, COMMON))             \
    POINTWISE(pw_relu##n##_nsh, to_lines(relu_pair, stream, tile, out, step, end, n, OWN))              \
    POINTWISE(pw_lin##n##_n, to_nhwc(accumulate, stream, tile, out, step, end, n, SCALED, 0))           \
    POINTWISE(pw_lin##n##_nx, to_nhwc(accumulate, stream, tile, out, step, end, n, UNSCALED, 2))        \
    POINTWISE(pw_gap##n##_n, (void)step; to_sums(relu_pair, stream, tile, out, end, n, COMMON))         \
    POINTWISE(pw_gap##n##_nsh, (void)step; to_sums(relu_pair, stream, tile, out, end, n, OWN))
FOUR_SIZES(BODIES)

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
