/* SPDX-License-Identifier: Apache-2.0 */
/* bodies.h - every body and its twin, by kind. The twins are mbv2_dsp_twins.c and mbv2_dsp_four_bits_twins.c compiled with
 * MBV2_TWIN(x) = twin_x. */
#ifndef DSP_HARNESS_BODIES_H
#define DSP_HARNESS_BODIES_H

#include "mbv2_dsp_bodies.h"
#include "mbv2_dsp_four_bits.h"

/* X(name, pixels, form of the stream, kind): kind R = lines, S = sums, L = NHWC, A = accumulators; the stem's take 4 n + 2 pairs of inputs. */
#define POINTWISE_OF(X, n)                                                                    \
    X(pw_relu##n, n, 0, 'R') X(pw_relu##n##_sh, n, OWN_SHIFTS, 'R')                           \
    X(pw_relu##n##_x, n, UNPACKED, 'R')                                                       \
    X(pw_stem##n, n, 0, 'T') X(pw_stem##n##_sh, n, OWN_SHIFTS, 'T')                           \
    X(pw_lin##n, n, LINEAR, 'L') X(pw_lin##n##_x, n, LINEAR | UNPACKED, 'L')                  \
    X(pw_gap##n, n, 0, 'S') X(pw_gap##n##_sh, n, OWN_SHIFTS, 'S')                             \
    X(pw_part##n, n, PART, 'A')                                                               \
    X(pw_relu##n##_n, n, FOUR_BITS, 'R') X(pw_relu##n##_nsh, n, FOUR_BITS | OWN_SHIFTS, 'R')  \
    X(pw_lin##n##_n, n, LINEAR | FOUR_BITS, 'L')                                              \
    X(pw_lin##n##_nx, n, LINEAR | FOUR_BITS | UNPACKED, 'L')                                  \
    X(pw_gap##n##_n, n, FOUR_BITS, 'S') X(pw_gap##n##_nsh, n, FOUR_BITS | OWN_SHIFTS, 'S')
#define POINTWISE(X) POINTWISE_OF(X, 4) POINTWISE_OF(X, 3) POINTWISE_OF(X, 2) POINTWISE_OF(X, 1)

/* X(name, pixels, channels in a turn) */
#define EXPAND_OF(X, n) X(expand_tile##n, n, 4) X(expand_tile_s##n, n, 4) X(expand_bytes##n, n, 1)
#define EXPAND(X) EXPAND_OF(X, 4) EXPAND_OF(X, 3) EXPAND_OF(X, 2) EXPAND_OF(X, 1)

/* X(name, pairs, bytes of a row that are read, whether rows are words) */
#define IM2COL(X)                                                                                      \
    X(im2col3_lead0, 14, 28, 1) X(im2col3_lead1, 14, 28, 1) X(im2col3_bytes, 14, 27, 0)                \
    X(im2col1_lead0, 6, 12, 1) X(im2col1_lead1, 6, 12, 1) X(im2col1_lead2, 6, 12, 1)                   \
    X(im2col1_lead3, 6, 12, 1) X(im2col1_bytes, 6, 9, 0)

/* X(name, stride, outputs behind the groups) */
#define DW_ROWS(X)                                                \
    X(dw_rows1, 1, 0) X(dw_rows2, 2, 0) X(dw_rows2_same, 2, 0)    \
    X(dw_rows1_rest2, 1, 2) X(dw_rows2_rest2, 2, 2) X(dw_rows2_same_rest2, 2, 2)

/* X(name, which byte of the first column is read, where one is) */
#define DW_COLUMNS(X) X(dw_columns1, 3) X(dw_columns2, 3) X(dw_columns2_same, 0)

/* X(name, bytes a plane, groups of outputs) */
#define DW_PLANES(X) X(dw_plane6, 44, 3) X(dw_plane6s2, 44, 3) X(dw_plane6s2_same, 44, 3) X(dw_plane3, 12, 3)

#define DECLARE_POINTWISE(name, ...) extern mbv2_pw_body twin_##name;
#define DECLARE_EXPAND(name, ...) extern mbv2_expand_body twin_##name;
#define DECLARE_IM2COL(name, ...) extern mbv2_im2col_body twin_##name;
#define DECLARE_DW_ROWS(name, ...) extern mbv2_dw_rows_body twin_##name;
#define DECLARE_DW_COLUMNS(name, ...) extern mbv2_dw_columns_body twin_##name;
#define DECLARE_DW_PLANES(name, ...) extern mbv2_dw_plane_body twin_##name;
POINTWISE(DECLARE_POINTWISE)
EXPAND(DECLARE_EXPAND)
IM2COL(DECLARE_IM2COL)
DW_ROWS(DECLARE_DW_ROWS)
DW_COLUMNS(DECLARE_DW_COLUMNS)
DW_PLANES(DECLARE_DW_PLANES)
typedef void dense_body(const void *stream, const void *x, void *out, const void *out_end);
extern dense_body twin_fc8_fold, twin_fc8_n;
void twin_requant_s8(const void *accumulators, const mbv2_requant *arguments, void *out, const void *out_end);
void twin_mean_s8(const void *sums, const mbv2_mean_of_sums *arguments, void *out, const void *out_end);
void twin_add_mla(void *x0, const void *x1, const int32_t *constants, const void *x0_end);

#endif
