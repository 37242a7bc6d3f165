/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp.h - kernels for cores with the DSP extension (Cortex-M4, M7, M33), one row of work a call.
 *
 * Rows at cuts are NHWC int8. Between expand and depthwise stand uint8 lines, between depthwise and project int16 tiles;
 * mbv2_dsp_bodies.h describes both, and the streams. Descriptions name the bodies a layer needs, so that only those are
 * linked; where a row's width is no multiple of four, its last one to three pixels have bodies of their own.
 */
#ifndef MBV2_DSP_H
#define MBV2_DSP_H

#include <stddef.h>

#include "mbv2_dsp_bodies.h"
#include "mbv2_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A lines row is [word of padding][channel][line]; a line has a word more than whole words of pixels, for the rest of the
 * pixels or for padding. */
#define MBV2_LINE_BYTES(width) ((uint32_t)(width) / 4u * 4u + 4u)
enum { MBV2_LINES_LEAD = 4 };

/* Runs the channels of a layer that no fast body covers, behind it: of `in` (a tile, or pointers to rows or columns) to
 * `out`, as the fast body does. */
typedef void mbv2_general_body(const void *layer, const void *in, void *out, uint32_t pixels);

typedef struct mbv2_general {
    mbv2_general_body *body;
    const uint32_t *records; /* position, bias, multiplier, shift, weights in the tile's order, filled to a word */
    uint16_t count;
    uint16_t weights;        /* of a record */
    uint8_t tile_shift;      /* the tile's values are that many bits too large */
    int16_t zero_point, act_min, act_max;
} mbv2_general;

/* A second stream of a 1x1 convolution: of a ReLU layer the channels behind those of the first, with shifts of their own; of
 * a linear layer whose channels are odd in number the last two. */
typedef struct mbv2_own_dsp {
    mbv2_pw_body *body, *body_rest;
    const uint32_t *stream;
    uint16_t channels;
} mbv2_own_dsp;

/* 1x1 convolution. */
typedef struct mbv2_conv_1x1_dsp {
    mbv2_rows input;
    mbv2_rows output;
    uint32_t tile;                         /* offset of room for a tile, where the input is NHWC */
    mbv2_expand_body *expand, *expand_rest;
    mbv2_pw_body *body, *body_rest;
    const uint32_t *stream;
    const mbv2_own_dsp *own;     /* NULL: there is one stream */
    const mbv2_general *general; /* NULL: the fast bodies cover all channels */
    uint16_t channels;           /* of `stream` */
    uint16_t in_h, in_c, width, out_c;
    uint16_t expand_pairs; /* pairs of channels that the input fills in a tile */
    uint8_t line_top;
    uint16_t line_bytes; /* from channel to channel, where the output is lines or planes; of a pair in `stream`: sums */
    uint8_t band;        /* rows of the output that a unit makes */
} mbv2_conv_1x1_dsp;

/* First convolution, 3x3 at stride 2, NHWC to lines or to NHWC. `edge` is room for three rows of one group's columns. */
typedef struct mbv2_conv_stem_dsp {
    mbv2_conv_1x1_dsp conv; /* behind the window: pairs of window values */
    uint32_t edge;
    mbv2_im2col_body *im2col;
    uint16_t in_w, out_h;
    uint8_t pad_top, pad_left;
    uint8_t lead, read_bytes; /* from a word to the first window of a group inside; of each row it reads */
    int8_t zero_point;
} mbv2_conv_stem_dsp;

/* Depthwise 3x3, lines to tiles. */
typedef struct mbv2_depthwise_dsp {
    mbv2_rows input;
    mbv2_rows output;
    mbv2_dw_rows_body *body;
    const uint32_t *stream;
    const mbv2_general *general; /* NULL: the fast bodies cover all channels */
    uint16_t channels, in_w, out_w; /* channels: even */
    uint8_t stride_h, stride_w, pad_left;
    uint8_t rest; /* outputs of a row that the body makes behind the last group of four */
} mbv2_depthwise_dsp;

/* The same of NHWC rows: `lines` is room for three rows of lines, `lines_bytes` each. */
typedef struct mbv2_depthwise_nhwc_dsp {
    mbv2_depthwise_dsp conv;
    uint32_t lines, lines_bytes;
    uint16_t in_h, in_c;
    uint8_t pad_top;
} mbv2_depthwise_nhwc_dsp;

/* Where a unit of columns goes: columns of the `rows` rows of a group, of which the last stands in the layer's output, the
 * one above it in `passing`. `above`: rows of the first group above the plane. Of kernels on windows a group is the rows of
 * a row of windows, `rows` further down than those before, and all of it stands in the layer's output. */
typedef struct mbv2_column_group {
    mbv2_rows passing;
    uint16_t height, columns;
    uint8_t rows, above;
} mbv2_column_group;

/* 1x1 convolution and first convolution to columns. */
typedef struct mbv2_conv_1x1_columns_dsp {
    mbv2_conv_1x1_dsp conv;
    mbv2_column_group group;
} mbv2_conv_1x1_columns_dsp;

typedef struct mbv2_conv_stem_columns_dsp {
    mbv2_conv_stem_dsp stem;
    mbv2_column_group group;
} mbv2_conv_stem_columns_dsp;

/* Depthwise 3x3, columns to one tile. Rows of the input stand in groups of `stride`, as said above (windows: in `input`);
 * columns outside the plane read as `zeros`. */
typedef struct mbv2_depthwise_columns_dsp {
    mbv2_rows input, passing;
    mbv2_rows output;
    mbv2_dw_columns_body *body;
    const uint32_t *stream;
    const uint32_t *zeros; /* a word a channel */
    const mbv2_general *general; /* NULL: the fast bodies cover all channels */
    uint16_t channels, in_h, in_columns, out_columns; /* channels: even */
    uint8_t stride, pad_top, pad_left, above;
} mbv2_depthwise_columns_dsp;

/* Depthwise 3x3 on planes of 6x6 or 3x3, to tiles in linear order. */
typedef struct mbv2_depthwise_planes_dsp {
    mbv2_rows input;
    mbv2_rows output;
    mbv2_dw_plane_body *body;
    const uint32_t *stream;
    uint16_t channels, lead; /* channels: even; lead: bytes in front of the first plane */
} mbv2_depthwise_planes_dsp;

/* The kernels on planes where the expanded channels come in groups, one after the other: a row of planes, or of tiles, is
 * of `group` channels, of the last group of those that are left. */

/* 1x1 convolution to planes. */
typedef struct mbv2_conv_1x1_groups_dsp {
    mbv2_conv_1x1_dsp conv;
    uint16_t group;                      /* even */
    uint16_t pair_words, own_pair_words; /* of a pair of channels in both streams */
} mbv2_conv_1x1_groups_dsp;

/* Depthwise 3x3 on planes; of a plane `bands` units make a part each. */
typedef struct mbv2_depthwise_groups_dsp {
    mbv2_depthwise_planes_dsp conv;
    uint16_t group, bands;
} mbv2_depthwise_groups_dsp;

/* 1x1 convolution of tiles of groups of channels: what a group gives is added to `sums`, int32 [pixel][output], an odd number
 * of outputs filled up; the last group's units make rows NHWC of them. A unit is a band of pixels of a group. */
typedef struct mbv2_conv_1x1_partial_dsp {
    mbv2_rows input;
    mbv2_rows output;
    uint32_t sums;
    mbv2_pw_body *body, *body_rest;
    const uint32_t *stream; /* of each group one */
    const int32_t *multiplier;
    const uint8_t *shift; /* to the right, less 1 */
    int32_t centre;       /* 2 * output zero point + 1 */
    uint16_t channels, group, group_words;
    uint16_t bands, band, pixels; /* of a plane; rows and pixels of each */
    uint16_t out_c;
} mbv2_conv_1x1_partial_dsp;

/* Residual addition; the output may lie exactly on input 0. */
typedef struct mbv2_add_dsp {
    mbv2_rows input_0, input_1;
    mbv2_rows output;
    int32_t constants[3];
} mbv2_add_dsp;

/* Mean of pool sums. */
typedef struct mbv2_mean_sums_dsp {
    mbv2_rows input;
    mbv2_rows output;
    uint32_t channels; /* even */
    int32_t multiplier, shift;
    int16_t output_zero_point;
} mbv2_mean_sums_dsp;

/* Fully connected. `words` is room for the inputs as pairs, filled up to `columns`, and for the words that fold. */
typedef struct mbv2_fully_connected_dsp {
    mbv2_rows input;
    mbv2_rows output;
    uint32_t words;
    mbv2_fc_body *body;
    const uint32_t *stream;
    uint32_t stream_words; /* of eight outputs */
    const int32_t *multiplier;
    const uint8_t *shift;  /* to the right, less 1 */
    const uint16_t *folds; /* columns before which to fold */
    uint16_t fold_count, inputs, columns, outputs;
    int16_t centre, act_min, act_max; /* centre: 2 * output zero point + 1 */
} mbv2_fully_connected_dsp;

/* The name says the layouts: NHWC unless it says lines, columns, windows, planes, sums (output) or tile, partial (input). A unit is a row, of
 * kernels on columns four pixels of one (on windows, of three); to conv_1x1_tile and add those are a row of four pixels. */
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_lines_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_tile_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_stem_s8_dsp(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_stem_nhwc_s8_dsp(const mbv2_conv_stem_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_s8_dsp(const mbv2_depthwise_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_nhwc_s8_dsp(const mbv2_depthwise_nhwc_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_columns_s8_dsp(const mbv2_conv_1x1_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_stem_columns_s8_dsp(const mbv2_conv_stem_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_columns_s8_dsp(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_windows_s8_dsp(const mbv2_conv_1x1_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_stem_windows_s8_dsp(const mbv2_conv_stem_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_windows_s8_dsp(const mbv2_depthwise_columns_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_partial_s8_dsp(const mbv2_conv_1x1_partial_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_planes_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_plane_groups_s8_dsp(const mbv2_conv_1x1_groups_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_plane_groups_s8_dsp(const mbv2_depthwise_groups_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_depthwise_conv_planes_s8_dsp(const mbv2_depthwise_planes_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_conv_1x1_sums_s8_dsp(const mbv2_conv_1x1_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_mean_sums_s8_dsp(const mbv2_mean_sums_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_add_s8_dsp(const mbv2_add_dsp *layer, uint8_t *arena, uint32_t unit);
MBV2_CODE_ATTRIBUTE void mbv2_fully_connected_s8_dsp(const mbv2_fully_connected_dsp *layer, uint8_t *arena, uint32_t unit);

/* Parts shared by the kernels above. */

/* Row `unit` of a lines tensor: prepares its padding; NULL where the row is padding altogether (and done), else channel 0. */
uint8_t *mbv2_lines_row(const mbv2_rows *lines, uint8_t *arena, uint32_t unit, uint32_t top, uint32_t height);

/* Column `unit` of row `row` of a group. */
uint8_t *mbv2_group_column(const mbv2_column_group *group, const mbv2_rows *last, uint8_t *arena, uint32_t unit, uint32_t row);

/* Column `unit` of row `row` of a window: [row][channel][word]. */
enum { MBV2_WINDOW_ROWS = 3, MBV2_WINDOW_COLUMNS = 3 }; /* that four windows touch */
uint8_t *mbv2_window_column(const mbv2_rows *windows, uint8_t *arena, uint32_t unit, uint32_t row);

/* One group of `pixels` (1..4) from its tile to lines at `out`, or to NHWC at `out`. */
MBV2_CODE_ATTRIBUTE void mbv2_tile_to_lines(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, uint8_t *out, uint32_t pixels);
MBV2_CODE_ATTRIBUTE void mbv2_tile_to_nhwc(const mbv2_conv_1x1_dsp *layer, const int16_t *tile, int8_t *out, uint32_t pixels);

/* Bodies of mbv2_general: of pointwise layers from a tile, of depthwise ones from three rows, or from nine columns. */
mbv2_general_body mbv2_general_lines_dsp, mbv2_general_nhwc_dsp, mbv2_general_sums_dsp;
mbv2_general_body mbv2_general_rows_dsp, mbv2_general_columns_dsp;

#ifdef __cplusplus
}
#endif

#endif
