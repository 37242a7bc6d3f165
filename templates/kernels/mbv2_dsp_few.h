/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_few.h - bodies made of others, for code that is to be small.
 *
 * The last one to three pixels of a row and pool sums, by the bodies for four pixels and for one. A network compiled with
 * --optimize size names those that it needs; the others are never compiled. To sums `step` is the bytes of a pair of
 * channels in the stream.
 */
#ifndef MBV2_DSP_FEW_H
#define MBV2_DSP_FEW_H

#include "mbv2_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MBV2_OWN_SHIFT_BYTES = 12 }; /* that a pair with shifts of its own has more in its stream */

/* Pixel p of a group stands in byte mbv2_few_byte[p] of its word, and in a tile a word behind pixel p - 1. */
static const uint8_t mbv2_few_byte[4] = {0, 2, 1, 3};

static inline void mbv2_expand_singly(mbv2_expand_body *one, const void *in, int32_t step, void *tile, const void *end,
                                      int32_t pixels) {
    for (int32_t p = 0; p < pixels; p++) {
        one((const int8_t *)in + p * step, step, (int16_t *)tile + 2 * p, (const int16_t *)end + 2 * p);
    }
}

static inline void mbv2_nhwc_singly(mbv2_pw_body *one, const void *stream, const void *tile, void *out,
                                    int32_t step, const void *end, int32_t pixels) {
    for (int32_t p = 0; p < pixels; p++) {
        one(stream, (const int16_t *)tile + 2 * p, (int8_t *)out + p * step, step, (const int8_t *)end + p * step);
    }
}

/* The words of four pixels; those that the group has not are padding: 0. */
static inline void mbv2_lines_of_four(mbv2_pw_body *four, const void *stream, const void *tile, void *out,
                                      int32_t step, const void *end, int32_t pixels) {
    four(stream, tile, out, step, end);
    for (uint8_t *word = (uint8_t *)out; word != end; word += step) {
        for (int32_t p = pixels; p < 4; p++) word[mbv2_few_byte[p]] = 0;
    }
}

/* Two channels at a time as words of four pixels, of which `pixels` are added to their sums. */
static inline void mbv2_sums_of_four(mbv2_pw_body *four, const void *stream, const void *tile, void *out,
                                     int32_t step, const void *end, int32_t pixels) {
    const uint8_t *pair = (const uint8_t *)stream;
    for (int32_t *sums = (int32_t *)out; sums != end; sums += 2, pair += step) {
        uint32_t words[2];
        const uint8_t *bytes = (const uint8_t *)words;
        four(pair, tile, words, 4, words + 2);
        for (int32_t p = 0; p < pixels; p++) {
            sums[0] += bytes[mbv2_few_byte[p]];
            sums[1] += bytes[4 + mbv2_few_byte[p]];
        }
    }
}

#define MBV2_FEW_EXPAND(name, pixels, one)                                                          \
    static inline void mbv2_few_##name(const void *in, int32_t step, void *tile, const void *end) { \
        mbv2_expand_singly(one, in, step, tile, end, pixels);                                       \
    }
#define MBV2_FEW_POINTWISE(name, how, body, step_of, pixels)                                                             \
    static inline void mbv2_few_##name(const void *stream, const void *tile, void *out, int32_t step, const void *end) { \
        how(body, stream, tile, out, step_of, end, pixels);                                                              \
    }

MBV2_FEW_EXPAND(expand_tile3, 3, mbv2_expand_tile1_dsp)
MBV2_FEW_EXPAND(expand_tile2, 2, mbv2_expand_tile1_dsp)
MBV2_FEW_EXPAND(expand_bytes3, 3, mbv2_expand_bytes1_dsp)
MBV2_FEW_EXPAND(expand_bytes2, 2, mbv2_expand_bytes1_dsp)

MBV2_FEW_POINTWISE(pw_lin3, mbv2_nhwc_singly, mbv2_pw_lin1_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_lin2, mbv2_nhwc_singly, mbv2_pw_lin1_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_lin3_x, mbv2_nhwc_singly, mbv2_pw_lin1_x_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_lin2_x, mbv2_nhwc_singly, mbv2_pw_lin1_x_dsp, step, 2)

MBV2_FEW_POINTWISE(pw_relu3, mbv2_lines_of_four, mbv2_pw_relu4_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_relu2, mbv2_lines_of_four, mbv2_pw_relu4_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_relu1, mbv2_lines_of_four, mbv2_pw_relu4_dsp, step, 1)
MBV2_FEW_POINTWISE(pw_relu3_sh, mbv2_lines_of_four, mbv2_pw_relu4_sh_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_relu2_sh, mbv2_lines_of_four, mbv2_pw_relu4_sh_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_relu1_sh, mbv2_lines_of_four, mbv2_pw_relu4_sh_dsp, step, 1)

MBV2_FEW_POINTWISE(pw_gap4, mbv2_sums_of_four, mbv2_pw_relu4_dsp, step, 4)
MBV2_FEW_POINTWISE(pw_gap3, mbv2_sums_of_four, mbv2_pw_relu4_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_gap2, mbv2_sums_of_four, mbv2_pw_relu4_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_gap1, mbv2_sums_of_four, mbv2_pw_relu4_dsp, step, 1)
MBV2_FEW_POINTWISE(pw_gap4_sh, mbv2_sums_of_four, mbv2_pw_relu4_sh_dsp, step + MBV2_OWN_SHIFT_BYTES, 4)
MBV2_FEW_POINTWISE(pw_gap3_sh, mbv2_sums_of_four, mbv2_pw_relu4_sh_dsp, step + MBV2_OWN_SHIFT_BYTES, 3)
MBV2_FEW_POINTWISE(pw_gap2_sh, mbv2_sums_of_four, mbv2_pw_relu4_sh_dsp, step + MBV2_OWN_SHIFT_BYTES, 2)
MBV2_FEW_POINTWISE(pw_gap1_sh, mbv2_sums_of_four, mbv2_pw_relu4_sh_dsp, step + MBV2_OWN_SHIFT_BYTES, 1)

#undef MBV2_FEW_EXPAND

#ifdef __cplusplus
}
#endif

#endif
