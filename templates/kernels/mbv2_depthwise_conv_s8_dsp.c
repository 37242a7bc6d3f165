/* SPDX-License-Identifier: 0BSD
 *
 * Depthwise convolution 3x3, lines to tiles. The lines bring their padding with them.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_depthwise_conv_s8_dsp(const mbv2_depthwise_dsp *layer, uint8_t *arena, uint32_t unit) {
    const uint8_t *row[3];
    for (uint32_t r = 0; r < 3; r++) {
        row[r] = (const uint8_t *)mbv2_row(arena, &layer->input, unit * layer->stride_h + r) + MBV2_LINES_LEAD;
    }
    int16_t *tile = (int16_t *)(void *)mbv2_row(arena, &layer->output, unit);
    const int32_t groups = (layer->out_w + 3) / 4;
    const mbv2_dw_rows arguments = {
        layer->stream,
        tile,
        layer->channels * 8,
        (int32_t)MBV2_LINE_BYTES(layer->in_w) - groups * 4 * layer->stride_w,
        layer->stream + layer->channels * MBV2_DW_CHANNEL_WORDS,
        groups * layer->channels * 8,
    };
    layer->body(row[0], row[1], row[2], &arguments);
    if (layer->general) layer->general->body(layer, row, tile, layer->out_w);
}
