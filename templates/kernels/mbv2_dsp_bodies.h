/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_bodies.h - inner bodies of the dsp kernels (Cortex-M4, M7, M33): layouts, weight streams, exactness.
 *
 * On a core with the DSP extension they are mbv2_dsp_bodies.S; elsewhere mbv2_dsp_twins.c, which reads the same streams
 * and writes the same bytes. Bodies keep no state, and need at most 96 bytes of stack. Their instruction count depends
 * on the arguments' sizes alone, never on the data.
 *
 * LAYOUTS
 * tile    int16 [pair of channels][4 pixels][2 channels], 16 bytes a pair, 8-byte aligned: one group of pixels. A group
 *         of 3, 2 or 1 pixels uses the first ones; the others may hold anything. A row is a sequence of groups.
 *         Which channels make a pair is said below; a channel that does not exist has weight 0 and may hold anything.
 * line    one channel of one row as uint8 (int8 + 128): words of four pixels, bytes p0 p2 p1 p3, 4-byte aligned. The
 *         pixels that fill up the last word are 0 (a pw_* body of that many pixels stores them so). Depthwise bodies
 *         take padding from the byte before the line and from the byte (word) behind it, which must be 0: a pad word
 *         between lines where the width is a multiple of 4, none elsewhere; one word in front of the first.
 * column  four pixels of one row as uint8: a word p0 p2 p1 p3 a channel.
 * plane   one channel of a small plane, its pixels in linear order in words as above. 6x6: 36 bytes, 8 zero bytes in
 *         front of the first plane and behind each: 44 bytes a plane. 3x3: 12 bytes a plane, the last three unused.
 * NHWC    int8, any alignment unless said.
 *
 * STREAMS are 4-byte aligned little-endian words.
 *
 * Pointwise; linear to int8: first a word 2 * zero_point + 1. Then for every pair of channels (0, 1), (2, 3), ...:
 *   biases         ReLU packed with the common shift: the second's in y (below); the first's stands in END.
 *                  Else two words: packed bias0 and 256 * bias1 + bias0; unpacked linear bias0, bias1; unpacked ReLU both
 *                  in y.
 *   weights        one word for each pair of input channels (k, l): a multiple of 4 words, filled up with 0
 *                  (pw_stem: of 4, plus 2). The tile is read as far: up to 48 bytes beyond its last pair.
 *                  packed: halfwords 256 * w1[k] + w0[k], 256 * w1[l] + w0[l]; unpacked: bytes w0[k] w1[k] w0[l] w1[l]
 *   END            0x80 in the top byte, bit 23 clear; below it half of the first channel's bias in y,
 *                  -2^22..2^22 - 1 (ReLU packed with the common shift), or in bytes 0 and 1 the channels' shifts: s (own shift), rs - 1 (linear).
 *                  No weight word looks like it: weights are -127..127.
 *   parameters     M0 M1; with shifts of their own M0 C0 M1 C1; to accumulators none
 * Bounds, for all inputs: packed |acc1| < 2^23, and |acc0| < 2^23 too where ReLU follows; unpacked ReLU |acc| < 2^24;
 * linear |acc| < 2^30.
 *
 * Depthwise, for every channel: bias in y; M; three rows of the bytes w0 w1 w1 w2: 20 bytes.
 *
 * ARITHMETIC. SMMLA(y, M, C) = C + floor(y * M / 2^32), SMMUL the same without C, SMMLAR rounds to nearest; sums are
 * modulo 2^32.
 *   ReLU, common shift   y = acc * 2^S + bias, q = USAT8(SMMUL(y, M) >> s): S = 8, s = 11 packed; S = 7, s = 9 unpacked;
 *                        S = 8, s = 9 depthwise. Exact where the 255 thresholds of the output say so: checked for every
 *                        channel when the network is compiled.
 *   ReLU, own shift      y = acc * 2^S, q = USAT8(SMMLA(y, M, C) >> s), s = rs + S - 1, C = 2^(s - 1) + 2^(s - 1 - rs):
 *                        exact always, floor((floor(a) + n) / m) = floor((a + n) / m) makes TFLite's two roundings one
 *                        floor.
 *   linear               q = SSAT8(SMMLAR(2 * acc, M, C - (acc < 0)) >> rs), C = (2 * zero_point + 1) << (rs - 1):
 *                        exact always, for any zero point.
 * ReLU outputs are uint8 with zero point = act_min = 0 and act_max = 255; other clamps are not for these bodies.
 */
#ifndef MBV2_DSP_BODIES_H
#define MBV2_DSP_BODIES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the bodies shift by: the common shifts of ReLU outputs, biases in END words, and the residual addition's. Parameters are solved for
 * them when the network is compiled. */
enum {
    MBV2_DSP_PACKED_SHIFT = 11,
    MBV2_DSP_UNPACKED_SHIFT = 9,
    MBV2_DSP_DEPTHWISE_SHIFT = 9,
    MBV2_DSP_END_BIAS_SHIFT = 1,
    MBV2_DSP_ADD_SHIFT = 22
};

/* 1x1 convolution of one tile. The number behind a name is the pixels of the group.
 *   stream, tile   r0, r1
 *   out, step      r2, r3: where the first pair of channels goes
 *   end            on the stack: where `out` stands after the last pair
 *
 * pw_relu   to lines: one word a channel, `step` bytes from channel to channel; end = out + channels * step. Pixels the
 *           group has not are written as 0. An odd number of channels is filled up with a channel of zeros.
 * pw_stem   as pw_relu, for 4 n + 2 words of weights
 * pw_gap    adds each channel's pixels to int32 sums, 4-byte aligned; end = out + 4 * channels; `step` unused
 * pw_part   adds the accumulators to int32, 4-byte aligned: pixel p of channel c at out + p * step + 4 * c;
 *           end = out + 4 * channels
 * pw_lin    to NHWC int8: pixel p of channel c at out[p * step + c]; end = out + channels, even. Writes nothing else.
 *           An odd number of channels takes two calls: the even part, then the last two channels once more.
 * _sh       each channel has its own shift;  _x  unpacked
 * No body writes outside its outputs. */
typedef void mbv2_pw_body(const void *stream, const void *tile, void *out, int32_t step, const void *end);

mbv2_pw_body mbv2_pw_relu4_dsp, mbv2_pw_relu3_dsp, mbv2_pw_relu2_dsp, mbv2_pw_relu1_dsp;
mbv2_pw_body mbv2_pw_relu4_sh_dsp, mbv2_pw_relu3_sh_dsp, mbv2_pw_relu2_sh_dsp, mbv2_pw_relu1_sh_dsp;
mbv2_pw_body mbv2_pw_relu4_x_dsp, mbv2_pw_relu3_x_dsp, mbv2_pw_relu2_x_dsp, mbv2_pw_relu1_x_dsp;
mbv2_pw_body mbv2_pw_stem4_dsp, mbv2_pw_stem3_dsp, mbv2_pw_stem2_dsp, mbv2_pw_stem1_dsp;
mbv2_pw_body mbv2_pw_stem4_sh_dsp, mbv2_pw_stem3_sh_dsp, mbv2_pw_stem2_sh_dsp, mbv2_pw_stem1_sh_dsp;
mbv2_pw_body mbv2_pw_lin4_dsp, mbv2_pw_lin3_dsp, mbv2_pw_lin2_dsp, mbv2_pw_lin1_dsp;
mbv2_pw_body mbv2_pw_lin4_x_dsp, mbv2_pw_lin3_x_dsp, mbv2_pw_lin2_x_dsp, mbv2_pw_lin1_x_dsp;
mbv2_pw_body mbv2_pw_gap4_dsp, mbv2_pw_gap3_dsp, mbv2_pw_gap2_dsp, mbv2_pw_gap1_dsp;
mbv2_pw_body mbv2_pw_gap4_sh_dsp, mbv2_pw_gap3_sh_dsp, mbv2_pw_gap2_sh_dsp, mbv2_pw_gap1_sh_dsp;
mbv2_pw_body mbv2_pw_part4_dsp, mbv2_pw_part3_dsp, mbv2_pw_part2_dsp, mbv2_pw_part1_dsp;

/* NHWC -> tile. r0 pixels, r1 bytes from pixel to pixel, r2 tile, r3 its end (tile + 16 * pairs). The number behind the
 * name is the pixels of the group: no pixel beyond it is read or written.
 * expand_tile    int8 values; pairs (c, c+2), (c+1, c+3) of four channels: a multiple of 4; pixels 4-byte aligned
 * expand_tile_s  the same with values (x + 128) * 128, for unpacked weights
 * expand_bytes   int8 values; pairs (c, c+1); any channels, any alignment; reads one byte beyond an odd last channel */
typedef void mbv2_expand_body(const void *pixels, int32_t step, void *tile, const void *tile_end);

mbv2_expand_body mbv2_expand_tile4_dsp, mbv2_expand_tile3_dsp, mbv2_expand_tile2_dsp, mbv2_expand_tile1_dsp;
mbv2_expand_body mbv2_expand_tile_s4_dsp, mbv2_expand_tile_s3_dsp, mbv2_expand_tile_s2_dsp, mbv2_expand_tile_s1_dsp;
mbv2_expand_body mbv2_expand_bytes4_dsp, mbv2_expand_bytes3_dsp, mbv2_expand_bytes2_dsp, mbv2_expand_bytes1_dsp;

/* Four 3x3 windows at stride 2 of an NHWC image -> tile. r0-r2: the windows' rows, r3: tile.
 * im2col3 (3 channels): 14 pairs; row r gives pairs 4r..4r+3 = bytes (0,2) (1,3) (4,6) (5,7); pair 12 = byte 8 of rows
 *   0 and 1, pair 13 = byte 8 of row 2 and nothing.
 * im2col1 (1 channel): 6 pairs; row r gives pairs 2r = bytes (0,2) and 2r+1 = byte 1 and its sign.
 * _leadN: rows are pointers to words, the first window begins N bytes behind them; 28 (im2col3) or 12 (im2col1) bytes
 * of each row are read. _bytes: rows are pointers to the first window, at any address; 27 or 9 bytes are read. */
typedef void mbv2_im2col_body(const void *row0, const void *row1, const void *row2, void *tile);

mbv2_im2col_body mbv2_im2col3_lead0_dsp, mbv2_im2col3_lead1_dsp, mbv2_im2col3_bytes_dsp;
mbv2_im2col_body mbv2_im2col1_lead0_dsp, mbv2_im2col1_lead1_dsp, mbv2_im2col1_lead2_dsp, mbv2_im2col1_lead3_dsp;
mbv2_im2col_body mbv2_im2col1_bytes_dsp;

/* Words of a channel in the depthwise streams. */
#define MBV2_DW_CHANNEL_WORDS 5u

/* Depthwise 3x3: one output row of all channels, or a part of it, in groups of four outputs. r0-r2: where the part
 * begins in the lines of channel 0 of the three input rows (a word; where the body pads on the left, the first output
 * reads from the pixel before it), r3: the arguments. The tile gets neighbours as pairs, (c, c+1).
 * dw_rows1       stride 1, padding left and right: reads one byte before, 4 bytes a group and one byte behind
 * dw_rows2       stride 2, padding left: one byte before and 8 bytes a group: up to 4 bytes beyond the line's last word
 * dw_rows2_same  stride 2, padding right: 8 bytes a group and one byte behind: up to 5 bytes beyond the last word
 * _rest2         the same, then two outputs more into the next group: one more word is read; at least one group of four
 * On the right there is one pixel of padding, and no more where width % 4 is 3. Outputs beyond the last one are
 * computed from what stands there; nobody reads them. An odd channel count leaves the odd half of its last pair. */
typedef struct mbv2_dw_rows {
    const void *stream;
    void *tile;            /* of the first group */
    int32_t group_bytes;   /* from group to group: 16 * pairs */
    int32_t line_step;     /* from the end of the words that are read of a line to the next line's begin */
    const void *stream_end;
    int32_t span;          /* groups of four * group_bytes */
} mbv2_dw_rows;

typedef void mbv2_dw_rows_body(const void *row0, const void *row1, const void *row2, const mbv2_dw_rows *arguments);

mbv2_dw_rows_body mbv2_dw_rows1_dsp, mbv2_dw_rows2_dsp, mbv2_dw_rows2_same_dsp;
mbv2_dw_rows_body mbv2_dw_rows1_rest2_dsp, mbv2_dw_rows2_rest2_dsp, mbv2_dw_rows2_same_rest2_dsp;

/* Depthwise 3x3 from columns: four outputs of all channels. `columns` are three of each of three input rows, as pointers
 * to channel 0; of a column of which one pixel is read, to that byte. Streams and tile as above.
 * dw_columns1       stride 1, padding left and right: the byte before, a word, the byte behind
 * dw_columns2       stride 2, padding left: the byte before, two words
 * dw_columns2_same  stride 2, padding right: two words, the byte behind */
typedef void mbv2_dw_columns_body(const uint8_t *const columns[9], void *tile, const void *stream_end, const void *stream);

mbv2_dw_columns_body mbv2_dw_columns1_dsp, mbv2_dw_columns2_dsp, mbv2_dw_columns2_same_dsp;

/* Depthwise 3x3 on planes, padding 1, all channels. Outputs go to the tile in linear order, in groups of four that are
 * `group_bytes` apart.
 * dw_plane6         output rows 2q and 2q+1 for planes + 12 * q: 12 outputs. Reads 8 bytes before and 20 from there.
 * dw_plane6s2       6x6 -> 3x3, padding left and above: 9 outputs; reads the 8 zero bytes before the plane
 * dw_plane6s2_same  the same, padding right and below; reads the 8 zero bytes behind the plane
 * dw_plane3         3x3, stride 1: 9 outputs */
typedef void mbv2_dw_plane_body(const void *planes, const void *stream, void *tile, int32_t group_bytes,
                                const void *stream_end);

mbv2_dw_plane_body mbv2_dw_plane6_dsp, mbv2_dw_plane6s2_dsp, mbv2_dw_plane6s2_same_dsp, mbv2_dw_plane3_dsp;

/* Fully connected: int32 accumulators, eight a turn; out_end = out + 8 * turns (outputs filled up with zero weights).
 * x      words of two int16, inputs 0..32767; a word -1 after a multiple of 4 words: fold; -2: fold, the end
 * stream for every eight outputs: bias0, 256 * bias1 + bias0, bias2, ... (8 words); then for every pair of inputs
 *        (k, k+1) four packed words, of outputs (0,1) (2,3) (4,5) (6,7)
 * Between two folds the odd outputs' part must stay under 2^23; the even ones' sum under 2^31. */
typedef void mbv2_fc_body(const void *stream, const void *x, void *out, const void *out_end);

mbv2_fc_body mbv2_fc8_fold_dsp;

/* Residual addition: x0 = SSAT8((A * x0 + B * x1 + C) >> 22), constants = {A, B, C}; the int8 values from x0 to x0_end,
 * a multiple of 4 of them and not none, at any address. Exact where all 65,536 pairs of inputs say so, which the
 * compiler checks. */
void mbv2_add_mla_dsp(void *x0, const void *x1, const int32_t *constants, const void *x0_end);

/* int32 accumulators -> int8, one by one and not none, as the linear bodies do it: exact for any zero point where
 * |acc| < 2^30 and rs is 1..22. Accumulators and multipliers are 4-byte aligned. */
typedef struct mbv2_requant {
    const int32_t *multipliers; /* one an output */
    const uint8_t *shifts;      /* rs - 1, one an output */
    int32_t centre;             /* 2 * zero_point + 1: C = centre << (rs - 1) */
} mbv2_requant;

void mbv2_requant_s8_dsp(const void *accumulators, const mbv2_requant *arguments, void *out, const void *out_end);

/* int32 sums over a plane -> their means as int8; an even number, not none.
 * SSAT8(SMMLAR(2 * sum, M, C - (sum < 0)) >> rs): exact for any zero point where |sum| < 2^30 and rs is 1..22;
 * C = (2 * zero_point + 1) << (rs - 1). Sums are 4-byte aligned. */
typedef struct mbv2_mean_of_sums {
    int32_t multiplier, constant, shift;
} mbv2_mean_of_sums;

void mbv2_mean_s8_dsp(const void *sums, const mbv2_mean_of_sums *arguments, void *out, const void *out_end);

#ifdef __cplusplus
}
#endif

#endif
