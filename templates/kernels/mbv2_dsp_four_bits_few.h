/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_four_bits_few.h - as mbv2_dsp_few.h, of the bodies for weights of 4 bits.
 */
#ifndef MBV2_DSP_FOUR_BITS_FEW_H
#define MBV2_DSP_FOUR_BITS_FEW_H

#include "mbv2_dsp_few.h"
#include "mbv2_dsp_four_bits.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MBV2_OWN_SHIFT_BYTES_N = 8 }; /* that a pair with shifts of its own has more in its stream */

MBV2_FEW_POINTWISE(pw_lin3_n, mbv2_nhwc_singly, mbv2_pw_lin1_n_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_lin2_n, mbv2_nhwc_singly, mbv2_pw_lin1_n_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_lin3_nx, mbv2_nhwc_singly, mbv2_pw_lin1_nx_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_lin2_nx, mbv2_nhwc_singly, mbv2_pw_lin1_nx_dsp, step, 2)

MBV2_FEW_POINTWISE(pw_relu3_n, mbv2_lines_of_four, mbv2_pw_relu4_n_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_relu2_n, mbv2_lines_of_four, mbv2_pw_relu4_n_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_relu1_n, mbv2_lines_of_four, mbv2_pw_relu4_n_dsp, step, 1)
MBV2_FEW_POINTWISE(pw_relu3_nsh, mbv2_lines_of_four, mbv2_pw_relu4_nsh_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_relu2_nsh, mbv2_lines_of_four, mbv2_pw_relu4_nsh_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_relu1_nsh, mbv2_lines_of_four, mbv2_pw_relu4_nsh_dsp, step, 1)

MBV2_FEW_POINTWISE(pw_gap4_n, mbv2_sums_of_four, mbv2_pw_relu4_n_dsp, step, 4)
MBV2_FEW_POINTWISE(pw_gap3_n, mbv2_sums_of_four, mbv2_pw_relu4_n_dsp, step, 3)
MBV2_FEW_POINTWISE(pw_gap2_n, mbv2_sums_of_four, mbv2_pw_relu4_n_dsp, step, 2)
MBV2_FEW_POINTWISE(pw_gap1_n, mbv2_sums_of_four, mbv2_pw_relu4_n_dsp, step, 1)
MBV2_FEW_POINTWISE(pw_gap4_nsh, mbv2_sums_of_four, mbv2_pw_relu4_nsh_dsp, step + MBV2_OWN_SHIFT_BYTES_N, 4)
MBV2_FEW_POINTWISE(pw_gap3_nsh, mbv2_sums_of_four, mbv2_pw_relu4_nsh_dsp, step + MBV2_OWN_SHIFT_BYTES_N, 3)
MBV2_FEW_POINTWISE(pw_gap2_nsh, mbv2_sums_of_four, mbv2_pw_relu4_nsh_dsp, step + MBV2_OWN_SHIFT_BYTES_N, 2)
MBV2_FEW_POINTWISE(pw_gap1_nsh, mbv2_sums_of_four, mbv2_pw_relu4_nsh_dsp, step + MBV2_OWN_SHIFT_BYTES_N, 1)

#ifdef __cplusplus
}
#endif

#endif
