# SPDX-License-Identifier: Apache-2.0
"""Shifts: what the ``dsp`` bodies shift by as an immediate. The solver searches parameters for exactly these.

A ReLU body computes q = USAT8(SMMLA(y, M', C) >> s), y = acc << scale, with one s for all its channels. A channel of
right shift r drops scale + r - s - 1 bits of its multiplier: it cannot be computed where that is negative, is exact
where it is 0, and is the harder to solve the more they are. Packed bodies (scale 8) read many inputs, whose right
shifts are large: s = 11 is exact for r = 4. Unpacked ones (scale 7) read few, depthwise ones nine: s = 9 is exact for
r = 3 there, and for r of 2..8 where each channel has a scale of its own.

templates/kernels/mbv2_dsp_bodies.h has the same numbers for C; dsp_check and dsp_range_check have their own.
"""

from __future__ import annotations

PACKED_SHIFT = 11  # pw_relu, pw_stem, pw_gap
UNPACKED_SHIFT = 9  # pw_relu_x
DEPTHWISE_SHIFT = 9  # dw_rows, dw_plane
END_BIAS_SHIFT = 1  # of the first channel's bias in a packed ReLU pair's END word
ADD_SHIFT = 22  # add_mla: q = SSAT8((A * x0 + B * x1 + C) >> 22)
