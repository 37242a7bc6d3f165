/* SPDX-License-Identifier: Apache-2.0 */
/* count.c - instructions of each body for representative shapes, by the board's timer (QEMU's -icount).
 *
 * Lines "name a b c instructions": a, b, c are inputs, outputs, pixels of the shape. Each shape runs on three random
 * inputs; a body whose count depends on them is reported. */
#include <string.h>

#include "bodies.h"
#include "output.h"
#include "random_streams.h"

void count_all(void);

#ifndef __arm__
void count_all(void) { put_text("instructions are counted on a board only\n"); }
#else
#include "board.h"

static uint32_t stream[330000];
static uint64_t tile_memory[1400], line_memory[12000], out_memory[4000];
#define TILE ((uint8_t *)tile_memory)
#define LINES ((uint8_t *)line_memory + 16)
#define OUT ((uint8_t *)out_memory)
static uint32_t started;

static void begin(void) { started = timer_fine(); }

static uint32_t elapsed(void) {
    const uint64_t ticks = timer_fine() - started;
    return (uint32_t)((ticks * TIMER_NUMERATOR + (1u << TIMER_SHIFT >> 1)) >> TIMER_SHIFT);
}

static void put_number(uint32_t value) {
    char text[12];
    char *p = text + sizeof text - 1;
    *p = '\0';
    do {
        *--p = (char)('0' + value % 10u);
        value /= 10u;
    } while (value);
    put_text(" ");
    put_text(p);
}

static void noise(void *to, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes / 4u; i++) {
        ((uint32_t *)to)[i] = random_word();
    }
}

static void noise_everywhere(void) {
    noise(tile_memory, sizeof tile_memory);
    noise(line_memory, sizeof line_memory);
    noise(out_memory, sizeof out_memory);
}

static uint32_t empty;
#define MEASURED(call) (begin(), (call), elapsed() - empty)

static void report(const char *name, uint32_t a, uint32_t b, uint32_t c, const uint32_t counts[3]) {
    put_text(name);
    put_number(a);
    put_number(b);
    put_number(c);
    put_number(counts[0]);
    put_text(counts[1] != counts[0] || counts[2] != counts[0] ? " VARIES\n" : "\n");
}

static void count_pointwise(const char *name, mbv2_pw_body *body, uint32_t pixels, uint32_t form, uint32_t pairs,
                            uint32_t channels, uint32_t bytes_a_channel) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        (void)random_pointwise(stream, channels, pairs, form);
        const int32_t step = bytes_a_channel == 4 ? 4 : (int32_t)channels;
        counts[i] = MEASURED(body(stream, TILE, OUT, step, OUT + bytes_a_channel * channels));
    }
    report(name, 2u * pairs, channels, pixels, counts);
}

static void count_expand(const char *name, mbv2_expand_body *body, uint32_t pixels, uint32_t channels) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        counts[i] = MEASURED(body(LINES, (int32_t)channels, TILE, TILE + 8u * channels));
    }
    report(name, channels, 1, pixels, counts);
}

static void count_im2col(const char *name, mbv2_im2col_body *body, uint32_t inputs) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        counts[i] = MEASURED(body(LINES, LINES + 512, LINES + 1024, TILE));
    }
    report(name, inputs, 1, 4, counts);
}

static void count_dw_rows(const char *name, mbv2_dw_rows_body *body, uint32_t channels, uint32_t groups,
                          uint32_t stride, uint32_t rest) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        (void)random_depthwise(stream, channels);
        const mbv2_dw_rows arguments = {stream,    OUT, (int32_t)(8u * channels), 4, stream + 5u * channels,
                                        (int32_t)(8u * channels * groups)};
        const uint32_t slot = channels * (4u * stride * groups + 4u);
        counts[i] = MEASURED(body(LINES, LINES + slot, LINES + 2u * slot, &arguments));
    }
    report(name, channels, 1, 4u * groups + rest, counts);
}

static void count_dw_columns(const char *name, mbv2_dw_columns_body *body, uint32_t channels) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        const uint8_t *columns[9];
        noise_everywhere();
        (void)random_depthwise(stream, channels);
        for (uint32_t k = 0; k < 9u; k++) {
            columns[k] = (const uint8_t *)LINES + 4u * channels * k;
        }
        counts[i] = MEASURED(body(columns, OUT, stream + MBV2_DW_CHANNEL_WORDS * channels, stream));
    }
    report(name, channels, 1, 4, counts);
}

static void count_dw_plane(const char *name, mbv2_dw_plane_body *body, uint32_t channels, uint32_t outputs) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        (void)random_depthwise(stream, channels);
        counts[i] = MEASURED(body(LINES, stream, OUT, (int32_t)(8u * channels), stream + 5u * channels));
    }
    report(name, channels, 1, outputs, counts);
}

static void count_vectors(void) {
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        (void)random_dense(stream, 512, 640, 0);
        uint32_t *x = (uint32_t *)line_memory;
        for (uint32_t k = 0; k < 642; k++) {
            x[k] = k == 320 ? 0xFFFFFFFFu : k == 641 ? 0xFFFFFFFEu : x[k] & 0x00FF00FFu;
        }
        counts[i] = MEASURED(mbv2_fc8_fold_dsp(stream, x, OUT, OUT + 2048));
    }
    report("fc8_fold", 1280, 512, 1, counts);
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        (void)random_dense(stream, 512, 640, FOUR_BITS);
        uint32_t *x = (uint32_t *)line_memory;
        for (uint32_t k = 0; k < 642; k++) {
            x[k] = k == 320 ? 0xFFFFFFFFu : k == 641 ? 0xFFFFFFFEu : x[k] & 0x00FF00FFu;
        }
        counts[i] = MEASURED(mbv2_fc8_n_dsp(stream, x, OUT, OUT + 2048));
    }
    report("fc8_n", 1280, 512, 1, counts);
    static const int32_t constants[3] = {1234567, 1654321, -100000000};
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        counts[i] = MEASURED(mbv2_add_mla_dsp(OUT, LINES, constants, OUT + 4608));
    }
    report("add_mla", 4608, 1, 1, counts);
    static uint8_t shifts[1000];
    const mbv2_requant requant = {(const int32_t *)stream, shifts, 21};
    const mbv2_mean_of_sums mean = {0x50000000, 1024, 5};
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        counts[i] = MEASURED(mbv2_requant_s8_dsp(line_memory, &requant, OUT, OUT + 1000));
    }
    report("requant_s8", 1, 1000, 1, counts);
    for (int i = 0; i < 3; i++) {
        noise_everywhere();
        counts[i] = MEASURED(mbv2_mean_s8_dsp(line_memory, &mean, OUT, OUT + 1280));
    }
    report("mean_s8", 1, 1280, 1, counts);
}

void count_all(void) {
    timer_start();
    begin();
    empty = elapsed();
#define PW(name, n, form, pairs, channels, bytes) \
    count_pointwise(#name, mbv2_##name##_dsp, n, form, pairs, channels, bytes)
    PW(pw_relu4_x, 4, UNPACKED, 4, 48, 4);
    PW(pw_relu4, 4, 0, 8, 96, 4);
    PW(pw_relu4_sh, 4, OWN_SHIFTS, 8, 96, 4);
    PW(pw_relu4, 4, 0, 12, 144, 4);
    PW(pw_relu3, 3, 0, 28, 336, 4);
    PW(pw_relu4, 4, 0, 28, 336, 4);
    PW(pw_relu2, 2, 0, 12, 144, 4);
    PW(pw_relu1, 1, 0, 28, 336, 4);
    PW(pw_lin4, 4, LINEAR, 24, 8, 1);
    PW(pw_lin4, 4, LINEAR, 48, 16, 1);
    PW(pw_lin4, 4, LINEAR, 72, 24, 1);
    PW(pw_lin3, 3, LINEAR, 96, 56, 1);
    PW(pw_lin4, 4, LINEAR, 168, 112, 1);
    PW(pw_lin3, 3, LINEAR, 168, 112, 1);
    PW(pw_lin4_x, 4, LINEAR | UNPACKED, 72, 24, 1);
    PW(pw_part4, 4, PART, 72, 96, 4);
    PW(pw_stem4, 4, 0, 14, 16, 4);
    PW(pw_stem4, 4, 0, 14, 8, 4);
    PW(pw_stem4, 4, 0, 6, 8, 4);
    PW(pw_gap3, 3, 0, 56, 1280, 4);
    PW(pw_gap4, 4, 0, 56, 1280, 4);
    PW(pw_gap1, 1, 0, 56, 1280, 4);
    PW(pw_relu4_n, 4, FOUR_BITS, 8, 96, 4);
    PW(pw_relu4_nsh, 4, FOUR_BITS | OWN_SHIFTS, 8, 96, 4);
    PW(pw_relu4_n, 4, FOUR_BITS, 28, 336, 4);
    PW(pw_lin4_n, 4, LINEAR | FOUR_BITS, 48, 16, 1);
    PW(pw_lin4_n, 4, LINEAR | FOUR_BITS, 168, 112, 1);
    PW(pw_gap4_n, 4, FOUR_BITS, 56, 1280, 4);
    PW(pw_gap3_n, 3, FOUR_BITS, 56, 1280, 4);
    PW(pw_gap1_n, 1, FOUR_BITS, 56, 1280, 4);
    count_expand("expand_tile4", mbv2_expand_tile4_dsp, 4, 24);
    count_expand("expand_tile3", mbv2_expand_tile3_dsp, 3, 56);
    count_expand("expand_tile_s4", mbv2_expand_tile_s4_dsp, 4, 8);
    count_expand("expand_bytes4", mbv2_expand_bytes4_dsp, 4, 24);
    count_im2col("im2col3_lead0", mbv2_im2col3_lead0_dsp, 27);
    count_im2col("im2col3_lead1", mbv2_im2col3_lead1_dsp, 27);
    count_im2col("im2col3_bytes", mbv2_im2col3_bytes_dsp, 27);
    count_im2col("im2col1_lead0", mbv2_im2col1_lead0_dsp, 9);
    count_im2col("im2col1_lead3", mbv2_im2col1_lead3_dsp, 9);
    count_im2col("im2col1_bytes", mbv2_im2col1_bytes_dsp, 9);
    count_dw_rows("dw_rows1", mbv2_dw_rows1_dsp, 16, 12, 1, 0);
    count_dw_rows("dw_rows1", mbv2_dw_rows1_dsp, 48, 6, 1, 0);
    count_dw_rows("dw_rows1", mbv2_dw_rows1_dsp, 96, 3, 1, 0);
    count_dw_rows("dw_rows2", mbv2_dw_rows2_dsp, 48, 6, 2, 0);
    count_dw_rows("dw_rows2_same", mbv2_dw_rows2_same_dsp, 48, 6, 2, 0);
    count_dw_rows("dw_rows1_rest2", mbv2_dw_rows1_rest2_dsp, 96, 4, 1, 2);
    count_dw_rows("dw_rows2_rest2", mbv2_dw_rows2_rest2_dsp, 96, 1, 2, 2);
    count_dw_rows("dw_rows2_same_rest2", mbv2_dw_rows2_same_rest2_dsp, 96, 1, 2, 2);
    count_dw_columns("dw_columns1", mbv2_dw_columns1_dsp, 16);
    count_dw_columns("dw_columns1", mbv2_dw_columns1_dsp, 48);
    count_dw_columns("dw_columns2", mbv2_dw_columns2_dsp, 48);
    count_dw_columns("dw_columns2_same", mbv2_dw_columns2_same_dsp, 48);
    count_dw_plane("dw_plane6", mbv2_dw_plane6_dsp, 144, 12);
    count_dw_plane("dw_plane6s2", mbv2_dw_plane6s2_dsp, 192, 9);
    count_dw_plane("dw_plane6s2_same", mbv2_dw_plane6s2_same_dsp, 192, 9);
    count_dw_plane("dw_plane3", mbv2_dw_plane3_dsp, 336, 9);
    count_vectors();
}
#endif
