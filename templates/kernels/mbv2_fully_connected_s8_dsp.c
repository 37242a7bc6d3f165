/* SPDX-License-Identifier: 0BSD
 *
 * Fully connected, eight outputs at a time. The input is first written as pairs of int8 + 128, with the words that tell
 * the body where to fold its packed sums.
 */
#include "mbv2_arithmetic.h"
#include "mbv2_dsp.h"

static void write_words(const mbv2_fully_connected_dsp *layer, const int8_t *in, int32_t *word) {
    const uint16_t *fold = layer->folds, *last = fold + layer->fold_count;
    for (uint32_t k = 0; k < layer->columns; k += 2) {
        const int32_t low = k < layer->inputs ? in[k] + 128 : 0;
        const int32_t high = k + 1 < layer->inputs ? in[k + 1] + 128 : 0;
        if (fold != last && *fold == k) {
            *word++ = -1;
            fold++;
        }
        *word++ = high * 65536 + low;
    }
    *word = -2;
}

void mbv2_fully_connected_s8_dsp(const mbv2_fully_connected_dsp *layer, uint8_t *arena, uint32_t unit) {
    int8_t *out = mbv2_row(arena, &layer->output, unit);
    int32_t *words = (int32_t *)(void *)(arena + layer->words);
    const uint32_t *stream = layer->stream;
    write_words(layer, mbv2_row(arena, &layer->input, 0), words);
    for (uint32_t c = 0; c < layer->outputs; c += 8, stream += layer->stream_words) {
        int32_t acc[8];
        const mbv2_requant requant = {layer->multiplier + c, layer->shift + c, layer->centre};
        const uint32_t count = layer->outputs - c < 8 ? layer->outputs - c : 8;
        layer->body(stream, words, acc, acc + 8);
        mbv2_requant_s8_dsp(acc, &requant, out + c, out + c + count);
    }
    if (layer->act_min == -128 && layer->act_max == 127) return;
    for (uint32_t i = 0; i < layer->outputs; i++) out[i] = (int8_t)mbv2_clamp(out[i], layer->act_min, layer->act_max);
}
