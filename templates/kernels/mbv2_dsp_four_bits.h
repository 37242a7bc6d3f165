/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_four_bits.h - bodies of the dsp kernels for weights of 4 bits. Only networks with such layers have this file.
 *
 * Layouts, arithmetic and arguments are those of mbv2_dsp_bodies.h; streams differ. A weight is 16 times -7..7, and a byte
 * e = w1 + w0 / 16 holds those of two output channels for one input. Sums of e * x and of 256 * w0 * x are
 *   A = 256 * acc0                from the low halves
 *   B = acc1 + acc0 / 16          from whole bytes, so that acc1 = B - (A >> 12)
 * The bodies _nx (linear) make A = acc0 in its place, for accumulators too wide for that.
 *
 * STREAMS of pointwise bodies; linear: first a word 2 * zero_point + 1. Then for every pair of channels (0, 1), (2, 3), ...:
 *   starts         y0, and (y1 >> 8) + (y0 >> 12), where y = 256 * bias as in mbv2_dsp_bodies.h;
 *                  _nx: bias0, and bias1 + (bias0 >> 4)
 *   weights        one word for two pairs of input channels (k, l), (m, n): bytes e[k] e[m] e[l] e[n]; filled up with 0 to
 *                  a multiple of 4 pairs, which the tile is read for, too
 *   END            0x80 in the top byte, bit 23 clear; below it the low 8 bits of y1 (common shift), or in bytes 0 and 1
 *                  the channels' shifts: s (own shift), rs - 1 (linear). No weight word looks like it: |e| <= 119.
 *   parameters     M0 M1; with shifts of their own M0 C0 M1 C1
 * Bounds, for all inputs: |acc0| < 2^23, and |acc1| < 2^23 too where ReLU follows; linear |acc1| < 2^30, _nx both.
 */
#ifndef MBV2_DSP_FOUR_BITS_H
#define MBV2_DSP_FOUR_BITS_H

#include "mbv2_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1x1 convolution of one tile. _n: one shift for all channels (pw_lin: each its own); _nx: wide sums; _nsh: each its own. */
mbv2_pw_body mbv2_pw_relu4_n_dsp, mbv2_pw_relu3_n_dsp, mbv2_pw_relu2_n_dsp, mbv2_pw_relu1_n_dsp;
mbv2_pw_body mbv2_pw_relu4_nsh_dsp, mbv2_pw_relu3_nsh_dsp, mbv2_pw_relu2_nsh_dsp, mbv2_pw_relu1_nsh_dsp;
mbv2_pw_body mbv2_pw_lin4_n_dsp, mbv2_pw_lin3_n_dsp, mbv2_pw_lin2_n_dsp, mbv2_pw_lin1_n_dsp;
mbv2_pw_body mbv2_pw_lin4_nx_dsp, mbv2_pw_lin3_nx_dsp, mbv2_pw_lin2_nx_dsp, mbv2_pw_lin1_nx_dsp;
mbv2_pw_body mbv2_pw_gap4_n_dsp, mbv2_pw_gap3_n_dsp, mbv2_pw_gap2_n_dsp, mbv2_pw_gap1_n_dsp;
mbv2_pw_body mbv2_pw_gap4_nsh_dsp, mbv2_pw_gap3_nsh_dsp, mbv2_pw_gap2_nsh_dsp, mbv2_pw_gap1_nsh_dsp;

/* Fully connected, as mbv2_fc8_fold_dsp: eight int32 sums a turn.
 * stream for every eight outputs: eight biases; then for every pair of inputs (k, l) two words, of the outputs 0 to 3 and
 *        4 to 7: bytes e01[k] e23[k] e01[l] e23[l], where e01 holds the outputs 0 (low half) and 1
 * Between two folds the even outputs' part must stay under 2^23. */
mbv2_fc_body mbv2_fc8_n_dsp;

#ifdef __cplusplus
}
#endif

#endif
