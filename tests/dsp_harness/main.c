/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - runs every body and its twin on the same random streams and compares all of memory, guards included.
 *
 * Two worlds hold the same inputs at the same offsets; what lies between them is different noise. A body runs in the
 * first world, its twin in the second. Regions must come out equal, and no other byte may have changed: so results
 * depend on nothing but the regions (weights of 0 hide what they multiply), and nothing is written outside them.
 *
 *     main compare ROUNDS SEED      compare bodies and twins
 *     main interrupt ROUNDS SEED    the same while interrupts come at random moments (on a board)
 *     main count                    instructions of representative shapes (on a board)
 */
#include <string.h>

#include "bodies.h"
#include "interrupts.h"
#include "output.h"
#include "random_streams.h"

enum { WORLD_BYTES = 49152, REGIONS = 16 };

typedef struct region {
    uint32_t offset, bytes;
} region;

static union {
    uint8_t bytes[WORLD_BYTES];
    uint64_t align;
} worlds[2], before[2];
static region regions[REGIONS];
static uint32_t region_count, used;
static uint32_t failures;

static void fill(uint8_t *p, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(random_word() >> 11);
    }
}

static void new_world(void) {
    region_count = 0;
    used = 0;
}

/* A region of the same noise in both worlds, `lead` bytes behind a multiple of 8, gaps around it. */
static uint32_t allocate(uint32_t bytes, uint32_t lead) {
    const uint32_t offset = ((used + 40u + 7u) & ~7u) + lead;
    fill(worlds[0].bytes + used, offset - used);
    fill(worlds[1].bytes + used, offset - used);
    fill(worlds[0].bytes + offset, bytes);
    memcpy(worlds[1].bytes + offset, worlds[0].bytes + offset, bytes);
    regions[region_count++] = (region){offset, bytes};
    used = offset + bytes;
    return offset;
}

static void *at(unsigned world, uint32_t offset) { return worlds[world].bytes + offset; }

/* A region that holds what `end - begin` words of `words` say. */
static uint32_t place(const uint32_t *words, const uint32_t *end) {
    const uint32_t bytes = (uint32_t)(end - words) * 4u;
    const uint32_t offset = allocate(bytes, 4u * random_below(2));
    memcpy(at(0, offset), words, bytes);
    memcpy(at(1, offset), words, bytes);
    return offset;
}

static void close_world(void) {
    (void)allocate(0, 0);
    memcpy(before[0].bytes, worlds[0].bytes, used);
    memcpy(before[1].bytes, worlds[1].bytes, used);
}

/* Regions agree; the rest is as it was. */
static void check(const char *name) {
    uint32_t from = 0;
    int bad = 0;
    for (uint32_t r = 0; r < region_count; r++) {
        const region *g = &regions[r];
        bad |= memcmp(worlds[0].bytes + g->offset, worlds[1].bytes + g->offset, g->bytes) != 0;
        for (unsigned w = 0; w < 2; w++) {
            bad |= (memcmp(worlds[w].bytes + from, before[w].bytes + from, g->offset - from) != 0) << (w + 1);
        }
        from = g->offset + g->bytes;
    }
    if (bad) {
        failures++;
        put_text("FAIL ");
        put_text(name);
        put_text(bad & 1 ? " differs" : "");
        put_text(bad & 2 ? ", writes outside" : "");
        put_text(bad & 4 ? ", its twin writes outside" : "");
        put_text("\n");
    }
}

static uint32_t words[6000];

/* Makes int16 values of a kind in a tile: any, int8, uint8 or extremes of int8. */
static void make_tile(uint32_t offset, uint32_t bytes) {
    const uint32_t kind = random_below(4);
    for (uint32_t i = 0; i < bytes; i += 2) {
        int16_t value = (int16_t)(random_word() >> 9);
        value = kind == 0 ? value : kind == 1 ? (int16_t)((value & 255) - 128) : kind == 2 ? (int16_t)(value & 255)
                                                                               : (value & 1 ? 127 : -128);
        memcpy((uint8_t *)at(0, offset) + i, &value, 2);
        memcpy((uint8_t *)at(1, offset) + i, &value, 2);
    }
}

static void compare_pointwise(const char *name, mbv2_pw_body *body, mbv2_pw_body *twin, uint32_t pixels, uint32_t form,
                              int kind) {
    const uint32_t turns = 1u + random_below(5), pairs = kind == 'T' ? 4u * turns - 2u : 4u * turns;
    const uint32_t channels = 2u * (1u + random_below(4));
    const uint32_t each = kind == 'A' ? 4u : 1u; /* bytes of an output that stands beside the pixel's others */
    const int by_pixels = kind == 'L' || kind == 'A';
    const uint32_t step = by_pixels ? each * (channels + random_below(4)) : kind == 'S' ? 4u : 4u * (1u + random_below(3));
    const uint32_t bytes = by_pixels ? (pixels - 1u) * step + each * channels : channels * step;
    new_world();
    const uint32_t stream = place(words, random_pointwise(words, channels, pairs, form));
    const uint32_t tile = allocate(16u * pairs, 0);
    const uint32_t out = allocate(bytes, kind == 'L' ? random_below(8) : 4u * random_below(2));
    const uint32_t end = out + (by_pixels ? each * channels : channels * step);
    make_tile(tile, 16u * pairs);
    close_world();
    body(at(0, stream), at(0, tile), at(0, out), (int32_t)step, at(0, end));
    twin(at(1, stream), at(1, tile), at(1, out), (int32_t)step, at(1, end));
    check(name);
}

static void compare_expand(const char *name, mbv2_expand_body *body, mbv2_expand_body *twin, uint32_t pixels,
                           uint32_t multiple) {
    const uint32_t channels = multiple * (1u + random_below(9));
    const uint32_t step = channels + multiple * random_below(2), pairs = (channels + 1u) / 2u;
    new_world();
    const uint32_t lead = multiple == 4 ? 4u * random_below(2) : random_below(8);
    const uint32_t x = allocate((pixels - 1u) * step + 2u * pairs, lead);
    const uint32_t tile = allocate(16u * pairs, 0);
    close_world();
    body(at(0, x), (int32_t)step, at(0, tile), at(0, tile + 16u * pairs));
    twin(at(1, x), (int32_t)step, at(1, tile), at(1, tile + 16u * pairs));
    check(name);
}

static void compare_im2col(const char *name, mbv2_im2col_body *body, mbv2_im2col_body *twin, uint32_t pairs,
                           uint32_t bytes, int aligned) {
    uint32_t row[3];
    new_world();
    for (int r = 0; r < 3; r++) {
        row[r] = allocate(bytes, aligned ? 4u * random_below(2) : random_below(8));
    }
    const uint32_t tile = allocate(16u * pairs, 0);
    close_world();
    body(at(0, row[0]), at(0, row[1]), at(0, row[2]), at(0, tile));
    twin(at(1, row[0]), at(1, row[1]), at(1, row[2]), at(1, tile));
    check(name);
}

static void compare_dw_rows(const char *name, mbv2_dw_rows_body *body, mbv2_dw_rows_body *twin, uint32_t stride,
                            uint32_t rest) {
    const uint32_t channels = 1u + random_below(6), groups = 1u + random_below(4);
    const uint32_t read = 4u * stride * groups + (rest ? 4u : 0u), gap = 4u * random_below(3);
    const uint32_t group_bytes = 16u * ((channels + 1u) / 2u) + 16u * random_below(2);
    uint32_t row[3];
    new_world();
    const uint32_t stream = place(words, random_depthwise(words, channels));
    for (int r = 0; r < 3; r++) { /* a byte before the first line, one behind what is read of the last */
        row[r] = allocate(channels * (read + gap) - gap + 2u, 3) + 1u;
    }
    const uint32_t tile = allocate((groups + (rest ? 1u : 0u)) * group_bytes, 0);
    close_world();
    for (unsigned w = 0; w < 2; w++) {
        const mbv2_dw_rows arguments = {at(w, stream), at(w, tile), (int32_t)group_bytes, (int32_t)gap,
                                        at(w, stream + DEPTHWISE_BYTES * channels), (int32_t)(groups * group_bytes)};
        (w ? twin : body)(at(w, row[0]), at(w, row[1]), at(w, row[2]), &arguments);
    }
    check(name);
}

/* `beside`: the byte of the first column that is read, where only one is. */
static void compare_dw_columns(const char *name, mbv2_dw_columns_body *body, mbv2_dw_columns_body *twin, uint32_t beside) {
    const uint32_t channels = 1u + random_below(6);
    uint32_t column[9];
    new_world();
    const uint32_t stream = place(words, random_depthwise(words, channels));
    for (uint32_t k = 0; k < 9u; k++) {
        column[k] = allocate(4u * channels, 0) + (k % 3u == 0 ? beside : 0u);
    }
    const uint32_t tile = allocate(16u * ((channels + 1u) / 2u), 0);
    close_world();
    for (unsigned w = 0; w < 2; w++) {
        const uint8_t *columns[9];
        for (uint32_t k = 0; k < 9u; k++) {
            columns[k] = (const uint8_t *)at(w, column[k]);
        }
        (w ? twin : body)(columns, at(w, tile), at(w, stream + 4u * MBV2_DW_CHANNEL_WORDS * channels), at(w, stream));
    }
    check(name);
}

static void compare_dw_plane(const char *name, mbv2_dw_plane_body *body, mbv2_dw_plane_body *twin, uint32_t plane_bytes,
                             uint32_t groups) {
    const uint32_t channels = 1u + random_below(6), group_bytes = 16u * ((channels + 1u) / 2u);
    new_world();
    const uint32_t stream = place(words, random_depthwise(words, channels));
    const uint32_t planes = allocate(8u + plane_bytes * channels, 0) + 8u;
    const uint32_t tile = allocate(groups * group_bytes, 0);
    close_world();
    for (unsigned w = 0; w < 2; w++) {
        const void *end = at(w, stream + DEPTHWISE_BYTES * channels);
        (w ? twin : body)(at(w, planes), at(w, stream), at(w, tile), (int32_t)group_bytes, end);
    }
    check(name);
}

static void compare_dense(const char *name, dense_body *body, dense_body *twin, uint32_t form) {
    uint32_t x[64], *end = x;
    const uint32_t parts = 1u + random_below(3), outputs = 8u * (1u + random_below(2));
    uint32_t pairs = 0;
    for (uint32_t p = 0; p < parts; p++) {
        const uint32_t count = 4u * (1u + random_below(3)), mask = random_below(2) ? 0x7FFF7FFFu : 0x00FF00FFu;
        for (uint32_t k = 0; k < count; k++) {
            end = put_word(end, random_word() & mask);
        }
        end = put_word(end, p + 1u < parts ? 0xFFFFFFFFu : 0xFFFFFFFEu);
        pairs += count;
    }
    new_world();
    const uint32_t inputs = place(x, end);
    const uint32_t stream = place(words, random_dense(words, outputs, pairs, form));
    const uint32_t out = allocate(4u * outputs, 4u * random_below(2));
    close_world();
    body(at(0, stream), at(0, inputs), at(0, out), at(0, out + 4u * outputs));
    twin(at(1, stream), at(1, inputs), at(1, out), at(1, out + 4u * outputs));
    check(name);
}

static void compare_add(void) {
    const uint32_t count = 4u * (1u + random_below(12));
    const int32_t constants[3] = {(int32_t)random_word() >> random_below(12),
                                  (int32_t)random_word() >> random_below(12),
                                  (int32_t)random_word() >> random_below(6)};
    new_world();
    const uint32_t a = allocate(count, random_below(8)), b = allocate(count, random_below(8));
    close_world();
    mbv2_add_mla_dsp(at(0, a), at(0, b), constants, at(0, a + count));
    twin_add_mla(at(1, a), at(1, b), constants, at(1, a + count));
    check("add_mla");
}

static void compare_requantization(void) {
    const uint32_t count = 1u + random_below(40);
    for (uint32_t k = 0; k < count; k++) {
        words[k] = random_multiplier();
    }
    new_world();
    const uint32_t multipliers = place(words, words + count), shifts = allocate(count, random_below(4));
    const uint32_t acc = allocate(4u * count, 0), out = allocate(count, random_below(8));
    for (uint32_t k = 0; k < count; k++) {
        worlds[0].bytes[shifts + k] = worlds[1].bytes[shifts + k] = (uint8_t)random_below(22);
    }
    const int32_t centre = 2 * ((int32_t)random_below(256) - 128) + 1;
    close_world();
    for (unsigned w = 0; w < 2; w++) {
        const mbv2_requant arguments = {at(w, multipliers), at(w, shifts), centre};
        (w ? twin_requant_s8 : mbv2_requant_s8_dsp)(at(w, acc), &arguments, at(w, out), at(w, out + count));
    }
    check("requant_s8");
}

static void compare_mean(void) {
    const uint32_t count = 2u * (1u + random_below(20));
    const int32_t shift = (int32_t)random_below(22);
    const mbv2_mean_of_sums arguments = {(int32_t)random_multiplier(), (int32_t)random_constant(), shift};
    new_world();
    const uint32_t sums = allocate(4u * count, 4u * random_below(2)), out = allocate(count, random_below(8));
    close_world();
    mbv2_mean_s8_dsp(at(0, sums), &arguments, at(0, out), at(0, out + count));
    twin_mean_s8(at(1, sums), &arguments, at(1, out), at(1, out + count));
    check("mean_s8");
}

static void compare_all(void) {
#define RUN_POINTWISE(name, n, form, kind) compare_pointwise(#name, mbv2_##name##_dsp, twin_##name, n, form, kind);
#define RUN_EXPAND(name, n, multiple) compare_expand(#name, mbv2_##name##_dsp, twin_##name, n, multiple);
#define RUN_IM2COL(name, pairs, bytes, aligned) \
    compare_im2col(#name, mbv2_##name##_dsp, twin_##name, pairs, bytes, aligned);
#define RUN_DW_ROWS(name, stride, rest) compare_dw_rows(#name, mbv2_##name##_dsp, twin_##name, stride, rest);
#define RUN_DW_COLUMNS(name, beside) compare_dw_columns(#name, mbv2_##name##_dsp, twin_##name, beside);
#define RUN_DW_PLANES(name, bytes, groups) compare_dw_plane(#name, mbv2_##name##_dsp, twin_##name, bytes, groups);
    POINTWISE(RUN_POINTWISE)
    EXPAND(RUN_EXPAND)
    IM2COL(RUN_IM2COL)
    DW_ROWS(RUN_DW_ROWS)
    DW_COLUMNS(RUN_DW_COLUMNS)
    DW_PLANES(RUN_DW_PLANES)
    compare_dense("fc8_fold", mbv2_fc8_fold_dsp, twin_fc8_fold, 0);
    compare_dense("fc8_n", mbv2_fc8_n_dsp, twin_fc8_n, FOUR_BITS);
    compare_add();
    compare_requantization();
    compare_mean();
}

static uint32_t number(const char *text) {
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9') {
        value = value * 10u + (uint32_t)(*text++ - '0');
    }
    return value;
}

void count_all(void);

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "count") == 0) {
        count_all();
        return 0;
    }
    if (argc != 4) {
        return 2;
    }
    const int interrupted = strcmp(argv[1], "interrupt") == 0;
    if (interrupted) {
        start_interrupts();
    }
    random_state = number(argv[3]) | 1u;
    for (uint32_t round = number(argv[2]); round != 0; round--) {
        compare_all();
    }
    if (interrupted && interrupts < 500) {
        put_text("too few interrupts\n");
        return 1;
    }
    put_text(failures ? "bodies and twins differ\n" : "bodies and twins agree\n");
    return failures != 0;
}
