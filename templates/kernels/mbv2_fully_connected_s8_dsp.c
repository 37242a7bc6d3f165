/* SPDX-License-Identifier: 0BSD
 *
 * Fully connected, eight outputs at a time. The input, int8 in a row, is first written as pairs of int8 + 128.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

void mbv2_fully_connected_s8_dsp(const mbv2_fully_connected_dsp *layer, uint8_t *arena, uint32_t unit) {
    const mbv2_conv *plain = &layer->plain;
    const int8_t *in = mbv2_row(arena, &plain->input, 0);
    int8_t *out = mbv2_row(arena, &plain->output, unit);
    int32_t *words = (int32_t *)(void *)(arena + layer->words), *word = words;
    for (uint32_t k = 0, pairs = 0; pairs < layer->pairs; k += 2) {
        const int32_t low = k < plain->in_c ? in[k] + 128 : 0;
        const int32_t high = k + 1 < plain->in_c ? in[k + 1] + 128 : 0;
        *word++ = high * 65536 + low;
        if (++pairs % layer->fold == 0 && pairs < layer->pairs) *word++ = -1;
    }
    *word = -2;
    const uint32_t *stream = layer->stream;
    for (uint32_t c = 0; c < plain->out_c; c += 8, stream += layer->stream_words) {
        int32_t acc[8];
        mbv2_fc8_fold_dsp(stream, words, acc, acc + 8);
        for (uint32_t i = 0; i < 8 && c + i < plain->out_c; i++) out[c + i] = mbv2_output(plain, c + i, acc[i]);
    }
}
