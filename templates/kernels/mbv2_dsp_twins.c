/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_dsp_twins.c - the bodies of mbv2_dsp_bodies.h in portable C: same streams, same bytes. They make the same sums
 * modulo 2^32 as the instructions do, so they agree even where a bound is broken. Compiled to nothing on a core that
 * has the DSP extension.
 */
#include "mbv2_dsp_bodies.h"

#if !defined(__ARM_FEATURE_DSP)

#include "mbv2_dsp_twins.h"

enum { DW_CHANNEL_BYTES = 20, PLANE6_BYTES = 44, PLANE3_BYTES = 12 };

/* ---- pointwise ------------------------------------------------------------------------------------------------- */

enum { PACKED = 0, UNPACKED = 1, OWN_SHIFTS = 2, LINEAR = 4 };

static void add_inputs(mbv2_pair *pair, uint32_t word, bytes_in tile, uint32_t pixels, uint32_t form) {
    const int32_t a0 = signed_byte(word), a1 = signed_byte(word >> 16);
    const int32_t b0 = form & UNPACKED ? signed_byte(word >> 8) : signed_half(word);
    const int32_t b1 = form & UNPACKED ? signed_byte(word >> 24) : signed_half(word >> 16);
    for (uint32_t p = 0; p < pixels; p++) {
        pair->acc[0][p] = multiply_add(pair->acc[0][p], tile + PIXEL_BYTES * p, a0, a1);
        pair->acc[1][p] = multiply_add(pair->acc[1][p], tile + PIXEL_BYTES * p, b0, b1);
    }
}

/* Packed: acc[1] comes out as 256 * acc1. With the common shift (PACKED alone) acc[0] has no bias yet. */
static mbv2_pair accumulate(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t form) {
    mbv2_pair pair;
    const uint32_t first = form == PACKED ? 0 : word_at(stream);
    stream += form == PACKED ? 0 : 4;
    for (uint32_t p = 0; p < 4; p++) {
        pair.acc[0][p] = first;
        pair.acc[1][p] = word_at(stream);
    }
    stream += 4;
    while ((word_at(stream) & 0xFF800000u) != 0x80000000u) {
        add_inputs(&pair, word_at(stream), tile, pixels, form);
        stream += 4;
        tile += PAIR_BYTES;
    }
    pair.end = word_at(stream);
    pair.stream = stream + 4;
    for (uint32_t p = 0; p < 4 && !(form & UNPACKED); p++) {
        pair.acc[1][p] -= pair.acc[0][p];
    }
    return pair;
}

/* The bias in the end word: 23 bits with a sign, of a coarser unit than y. */
static uint32_t end_bias(uint32_t end) {
    return (((end & 0x7FFFFFu) ^ 0x400000u) - 0x400000u) << MBV2_DSP_END_BIAS_SHIFT;
}

static bytes_in relu_pair(bytes_in stream, bytes_in tile, uint32_t pixels, uint32_t form, uint8_t q[2][4]) {
    const uint32_t common = form & UNPACKED ? (uint32_t)MBV2_DSP_UNPACKED_SHIFT : (uint32_t)MBV2_DSP_PACKED_SHIFT;
    mbv2_pair pair = accumulate(stream, tile, pixels, form);
    for (uint32_t c = 0; c < 2; c++) {
        const uint32_t multiplier = word_at(pair.stream);
        const uint32_t constant = form & OWN_SHIFTS ? word_at(pair.stream + 4) : 0;
        const uint32_t shift = form & OWN_SHIFTS ? pair.end >> (8 * c) & 0xFFu : common;
        for (uint32_t p = 0; p < 4; p++) {
            uint32_t y = form & UNPACKED || c ? pair.acc[c][p] : pair.acc[c][p] << 8;
            if (form == PACKED && c == 0) y += end_bias(pair.end);
            q[c][p] = saturated_uint8(high_product(y, multiplier) + constant, shift);
        }
        pair.stream += form & OWN_SHIFTS ? 8 : 4;
    }
    return pair.stream;
}

#define RELU(n)                                                                                 \
    POINTWISE(pw_relu##n, to_lines(relu_pair, stream, tile, out, step, end, n, PACKED))                     \
    POINTWISE(pw_relu##n##_sh, to_lines(relu_pair, stream, tile, out, step, end, n, OWN_SHIFTS))            \
    POINTWISE(pw_relu##n##_x, to_lines(relu_pair, stream, tile, out, step, end, n, UNPACKED))               \
    POINTWISE(pw_stem##n, to_lines(relu_pair, stream, tile, out, step, end, n, PACKED))                     \
    POINTWISE(pw_stem##n##_sh, to_lines(relu_pair, stream, tile, out, step, end, n, OWN_SHIFTS))
FOUR_SIZES(RELU)

#define GAP(n)                                                                                 \
    POINTWISE(pw_gap##n, (void)step; to_sums(relu_pair, stream, tile, out, end, n, PACKED))                \
    POINTWISE(pw_gap##n##_sh, (void)step; to_sums(relu_pair, stream, tile, out, end, n, OWN_SHIFTS))
FOUR_SIZES(GAP)

#define LINEAR(n)                                                                               \
    POINTWISE(pw_lin##n, to_nhwc(accumulate, stream, tile, out, step, end, n, LINEAR, 1))                       \
    POINTWISE(pw_lin##n##_x, to_nhwc(accumulate, stream, tile, out, step, end, n, (uint32_t)LINEAR | UNPACKED, 2))
FOUR_SIZES(LINEAR)

#define PART(n) POINTWISE(pw_part##n, to_accumulators(accumulate, stream, tile, out, step, end, n, LINEAR))
FOUR_SIZES(PART)

/* ---- tiles ----------------------------------------------------------------------------------------------------- */

static int32_t plain_value(uint8_t byte) { return signed_byte(byte); }

static int32_t scaled_value(uint8_t byte) { return (byte ^ 0x80) << 7; }

/* Pairs are (c, c + apart): apart = 2 takes the channels in fours, apart = 1 in twos. */
static void expand(const void *pixels, int32_t step, void *tile, const void *tile_end, int32_t count, int32_t apart,
                   int32_t (*value)(uint8_t)) {
    bytes_in x = (bytes_in)pixels;
    bytes_out t = (bytes_out)tile;
    for (; t != tile_end; x += 2 * apart) {
        for (int32_t k = 0; k < apart; k++, t += PAIR_BYTES) {
            for (int32_t p = 0; p < count; p++) {
                put_int16(t + PIXEL_BYTES * p, value(x[p * step + k]));
                put_int16(t + PIXEL_BYTES * p + 2, value(x[p * step + k + apart]));
            }
        }
    }
}

#define EXPAND_BODY(name, n, apart, value)                                                        \
    void MBV2_TWIN(name##n)(const void *pixels, int32_t step, void *tile, const void *tile_end) { \
        expand(pixels, step, tile, tile_end, n, apart, value);                                    \
    }
#define EXPAND(n)                                 \
    EXPAND_BODY(expand_tile, n, 2, plain_value)   \
    EXPAND_BODY(expand_tile_s, n, 2, scaled_value) \
    EXPAND_BODY(expand_bytes, n, 1, plain_value)
FOUR_SIZES(EXPAND)

/* Byte `low` and byte `high` of a window's row; high < 0: the sign of `low`. */
static void put_pair(bytes_out p, bytes_in row, int32_t low, int32_t high) {
    const int32_t value = signed_byte(row[low]);
    put_int16(p, value);
    put_int16(p + 2, high < 0 ? value >> 8 : signed_byte(row[high]));
}

static void im2col3(const void *row0, const void *row1, const void *row2, void *tile, int32_t lead) {
    const bytes_in rows[3] = {(bytes_in)row0 + lead, (bytes_in)row1 + lead, (bytes_in)row2 + lead};
    for (int32_t window = 0; window < 4; window++) {
        const bytes_out t = (bytes_out)tile + PIXEL_BYTES * window;
        for (int32_t r = 0; r < 3; r++) {
            static const int32_t low[4] = {0, 1, 4, 5};
            for (int32_t k = 0; k < 4; k++) {
                put_pair(t + PAIR_BYTES * (4 * r + k), rows[r] + 6 * window, low[k], low[k] + 2);
            }
        }
        put_int16(t + PAIR_BYTES * 12, signed_byte(rows[0][6 * window + 8]));
        put_int16(t + PAIR_BYTES * 12 + 2, signed_byte(rows[1][6 * window + 8]));
        put_int16(t + PAIR_BYTES * 13, signed_byte(rows[2][6 * window + 8]));
    }
}

static void im2col1(const void *row0, const void *row1, const void *row2, void *tile, int32_t lead) {
    const bytes_in rows[3] = {(bytes_in)row0 + lead, (bytes_in)row1 + lead, (bytes_in)row2 + lead};
    for (int32_t window = 0; window < 4; window++) {
        const bytes_out t = (bytes_out)tile + PIXEL_BYTES * window;
        for (int32_t r = 0; r < 3; r++) {
            put_pair(t + PAIR_BYTES * (2 * r), rows[r] + 2 * window, 0, 2);
            put_pair(t + PAIR_BYTES * (2 * r + 1), rows[r] + 2 * window, 1, -1);
        }
    }
}

#define IM2COL(name, function, lead)                                                                  \
    void MBV2_TWIN(name)(const void *row0, const void *row1, const void *row2, void *tile) {          \
        function(row0, row1, row2, tile, lead);                                                       \
    }
IM2COL(im2col3_lead0, im2col3, 0)
IM2COL(im2col3_lead1, im2col3, 1)
IM2COL(im2col3_bytes, im2col3, 0)
IM2COL(im2col1_lead0, im2col1, 0)
IM2COL(im2col1_lead1, im2col1, 1)
IM2COL(im2col1_lead2, im2col1, 2)
IM2COL(im2col1_lead3, im2col1, 3)
IM2COL(im2col1_bytes, im2col1, 0)

/* ---- depthwise ------------------------------------------------------------------------------------------------- */

/* Pixel x of a line or plane; x may be negative by 1. */
static int32_t pixel_at(bytes_in line, int32_t x) {
    static const int32_t place[4] = {0, 2, 1, 3};
    const int32_t in_word = x & 3;
    return line[x - in_word + place[in_word]];
}

/* Window weight (r, k), k = 0..2, times 256, from the bytes w0 w1 w1 w2 of a row. */
static int32_t dw_weight(bytes_in channel, int32_t r, int32_t k) {
    return 256 * signed_byte(channel[8 + 4 * r + (k == 2 ? 3 : k)]);
}

static void dw_store(bytes_in channel, uint32_t acc, bytes_out to) {
    put_int16(to, saturated_uint8(high_product(acc, word_at(channel + 4)), MBV2_DSP_DEPTHWISE_SHIFT));
}

/* Place of channel c in a group of the tile. */
static int32_t tile_place(int32_t c) { return c / 2 * PAIR_BYTES + c % 2 * 2; }

static void dw_rows(const void *row0, const void *row1, const void *row2, const mbv2_dw_rows *arguments,
                    int32_t stride, int32_t left, int32_t rest) {
    bytes_in rows[3] = {(bytes_in)row0, (bytes_in)row1, (bytes_in)row2};
    bytes_in channel = (bytes_in)arguments->stream;
    const int32_t outputs = 4 * (arguments->span / arguments->group_bytes) + rest;
    for (int32_t c = 0; channel != arguments->stream_end; c++, channel += DW_CHANNEL_BYTES) {
        for (int32_t x = 0; x < outputs; x++) {
            uint32_t acc = word_at(channel);
            for (int32_t r = 0; r < 3; r++) {
                for (int32_t k = 0; k < 3; k++) {
                    acc += (uint32_t)(pixel_at(rows[r], x * stride - left + k) * dw_weight(channel, r, k));
                }
            }
            dw_store(channel, acc, (bytes_out)arguments->tile + x / 4 * arguments->group_bytes + tile_place(c) +
                                       x % 4 * PIXEL_BYTES);
        }
        for (int32_t r = 0; r < 3; r++) {
            rows[r] += (outputs * stride + 3) / 4 * 4 + arguments->line_step;
        }
    }
}

#define DW_ROWS(name, stride, left, rest)                                                              \
    void MBV2_TWIN(name)(const void *row0, const void *row1, const void *row2,                         \
                         const mbv2_dw_rows *arguments) {                                              \
        dw_rows(row0, row1, row2, arguments, stride, left, rest);                                      \
    }
DW_ROWS(dw_rows1, 1, 1, 0)
DW_ROWS(dw_rows2, 2, 1, 0)
DW_ROWS(dw_rows2_same, 2, 0, 0)
DW_ROWS(dw_rows1_rest2, 1, 1, 2)
DW_ROWS(dw_rows2_rest2, 2, 1, 2)
DW_ROWS(dw_rows2_same_rest2, 2, 0, 2)

/* Pixel x, from 0 on, that a window reads of three columns: `before` (0 or 1) single bytes, words, a byte behind them. */
static int32_t column_pixel(const uint8_t *const *columns, int32_t before, int32_t words, int32_t x, int32_t c) {
    const int32_t at = x - before;
    if (at < 0) return columns[0][4 * c];
    return at / 4 < words ? pixel_at(columns[before + at / 4] + 4 * c, at % 4) : columns[2][4 * c];
}

static void dw_columns(const uint8_t *const *columns, bytes_out tile, bytes_in stream_end, bytes_in channel,
                       int32_t stride, int32_t before) {
    for (int32_t c = 0; channel != stream_end; c++, channel += DW_CHANNEL_BYTES) {
        for (int32_t x = 0; x < 4; x++) {
            uint32_t acc = word_at(channel);
            for (int32_t r = 0; r < 3; r++) {
                for (int32_t k = 0; k < 3; k++) {
                    const int32_t pixel = column_pixel(columns + 3 * r, before, stride, x * stride + k, c);
                    acc += (uint32_t)(pixel * dw_weight(channel, r, k));
                }
            }
            dw_store(channel, acc, tile + tile_place(c) + x * PIXEL_BYTES);
        }
    }
}

#define DW_COLUMNS(name, stride, before)                                                                         \
    void MBV2_TWIN(name)(const uint8_t *const columns[9], void *tile, const void *stream_end, const void *stream) { \
        dw_columns(columns, (bytes_out)tile, (bytes_in)stream_end, (bytes_in)stream, stride, before);            \
    }
DW_COLUMNS(dw_columns1, 1, 1)
DW_COLUMNS(dw_columns2, 2, 1)
DW_COLUMNS(dw_columns2_same, 2, 0)

/* Output (y, x) of a plane of `size` pixels a side. Rows first_row..last_row exist: the 6x6 bodies read zeros above and
 * below, so theirs are more than six. */
typedef struct mbv2_plane {
    int32_t size, stride, pad, first_row, last_row;
} mbv2_plane;

static uint32_t plane_sum(bytes_in plane, bytes_in channel, const mbv2_plane *shape, int32_t y, int32_t x) {
    uint32_t acc = word_at(channel);
    for (int32_t r = 0; r < 3; r++) {
        const int32_t row = y * shape->stride - shape->pad + r;
        for (int32_t k = 0; k < 3; k++) {
            const int32_t column = x * shape->stride - shape->pad + k;
            if (row >= shape->first_row && row <= shape->last_row && column >= 0 && column < shape->size) {
                acc += (uint32_t)(pixel_at(plane, row * shape->size + column) * dw_weight(channel, r, k));
            }
        }
    }
    return acc;
}

/* `rows` output rows of `columns`; output i is pixel i % 4 of group i / 4. */
static void dw_planes(const void *planes, const void *stream, void *tile, int32_t group_bytes, const void *stream_end,
                      const mbv2_plane *shape, int32_t rows, int32_t columns) {
    const int32_t plane_bytes = shape->size == 6 ? (int32_t)PLANE6_BYTES : (int32_t)PLANE3_BYTES;
    bytes_in plane = (bytes_in)planes;
    bytes_in channel = (bytes_in)stream;
    for (int32_t c = 0; channel != stream_end; c++, channel += DW_CHANNEL_BYTES, plane += plane_bytes) {
        for (int32_t i = 0; i < rows * columns; i++) {
            dw_store(channel, plane_sum(plane, channel, shape, i / columns, i % columns),
                     (bytes_out)tile + i / 4 * group_bytes + tile_place(c) + i % 4 * PIXEL_BYTES);
        }
    }
}

#define DW_PLANE(name, shape, rows, columns)                                                           \
    void MBV2_TWIN(name)(const void *planes, const void *stream, void *tile, int32_t group_bytes,      \
                         const void *stream_end) {                                                     \
        static const mbv2_plane plane = shape;                                                         \
        dw_planes(planes, stream, tile, group_bytes, stream_end, &plane, rows, columns);               \
    }
#define PLANE(...) {__VA_ARGS__}
DW_PLANE(dw_plane6, PLANE(6, 1, 1, -1, 2), 2, 6)
DW_PLANE(dw_plane6s2, PLANE(6, 2, 1, -1, 5), 3, 3)
DW_PLANE(dw_plane6s2_same, PLANE(6, 2, 0, 0, 6), 3, 3)
DW_PLANE(dw_plane3, PLANE(3, 1, 1, 0, 2), 3, 3)

/* ---- vectors --------------------------------------------------------------------------------------------------- */

/* One part of the inputs, up to a fold; *x and *stream move behind it. The mark is -1 or -2. */
static int32_t fc_part(bytes_in *stream, bytes_in *x, uint32_t acc[8]) {
    for (;; *x += 4) {
        const int32_t mark = int32_at(*x);
        if (mark < 0) {
            *x += 4;
            return mark;
        }
        for (uint32_t k = 0; k < 8; k += 2, *stream += 4) {
            const uint32_t word = word_at(*stream);
            acc[k] = multiply_add(acc[k], *x, signed_byte(word), signed_byte(word >> 16));
            acc[k + 1] = multiply_add(acc[k + 1], *x, signed_half(word), signed_half(word >> 16));
        }
    }
}

void MBV2_TWIN(fc8_fold)(const void *stream, const void *x, void *out, const void *out_end) {
    bytes_in s = (bytes_in)stream;
    for (bytes_out o = (bytes_out)out; o != out_end; o += 32) {
        uint32_t acc[8], odd[4] = {0, 0, 0, 0};
        int32_t mark;
        for (uint32_t k = 0; k < 8; k++, s += 4) {
            acc[k] = word_at(s);
        }
        bytes_in p = (bytes_in)x;
        do {
            mark = fc_part(&s, &p, acc);
            for (uint32_t k = 0; k < 4; k++) {
                odd[k] += (uint32_t)(signed_word(acc[2 * k + 1] - acc[2 * k]) >> 8);
                acc[2 * k + 1] = acc[2 * k];
            }
        } while (mark == -1);
        for (uint32_t k = 0; k < 4; k++) {
            put_uint32(o + 8 * k, acc[2 * k]);
            put_uint32(o + 8 * k + 4, odd[k]);
        }
    }
}

void MBV2_TWIN(add_mla)(void *x0, const void *x1, const int32_t *constants, const void *x0_end) {
    bytes_in b = (bytes_in)x1;
    for (bytes_out a = (bytes_out)x0; a != x0_end; a++, b++) {
        const uint32_t sum = (uint32_t)constants[0] * (uint32_t)signed_byte(*a) +
                             (uint32_t)constants[1] * (uint32_t)signed_byte(*b) + (uint32_t)constants[2];
        *a = (uint8_t)saturated_int8(sum, MBV2_DSP_ADD_SHIFT);
    }
}

void MBV2_TWIN(requant_s8)(const void *accumulators, const mbv2_requant *arguments, void *out, const void *out_end) {
    bytes_out o = (bytes_out)out;
    bytes_in in = (bytes_in)accumulators;
    for (uint32_t i = 0; o + i != out_end; i++, in += 4) {
        const uint32_t acc = (uint32_t)int32_at(in), shift = arguments->shifts[i];
        const uint32_t constant = ((uint32_t)arguments->centre << shift) - (acc >> 31);
        const uint32_t v = high_product_rounded(acc << 1, (uint32_t)arguments->multipliers[i], constant);
        o[i] = (uint8_t)saturated_int8(v, shift + 1);
    }
}

void MBV2_TWIN(mean_s8)(const void *sums, const mbv2_mean_of_sums *arguments, void *out, const void *out_end) {
    bytes_in in = (bytes_in)sums;
    for (bytes_out o = (bytes_out)out; o != out_end; o++, in += 4) {
        const uint32_t sum = (uint32_t)int32_at(in), constant = (uint32_t)arguments->constant - (sum >> 31);
        const uint32_t v = high_product_rounded(sum << 1, (uint32_t)arguments->multiplier, constant);
        *o = (uint8_t)saturated_int8(v, (uint32_t)arguments->shift);
    }
}

#endif
