/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pixels.c - a camera's picture in the network's size and colours.
 */
#include "mbv2_pixels.h"

/* The upper bits repeated in the lower: 31 and 63 become 255. */
static void fetch_565(uint32_t word, uint32_t *rgb) {
    const uint32_t red = word >> 11, green = word >> 5 & 63u, blue = word & 31u;
    rgb[0] = red << 3 | red >> 2;
    rgb[1] = green << 2 | green >> 4;
    rgb[2] = blue << 3 | blue >> 2;
}

static void fetch(const mbv2_picture *picture, uint32_t y, uint32_t x, uint32_t *rgb) {
    const uint8_t *row = picture->bytes + y * picture->row_bytes;
    switch (picture->format) {
    case MBV2_PIXELS_RGB565: fetch_565((uint32_t)row[2 * x + 1] << 8 | row[2 * x], rgb); break;
    case MBV2_PIXELS_RGB565_SWAPPED: fetch_565((uint32_t)row[2 * x] << 8 | row[2 * x + 1], rgb); break;
    case MBV2_PIXELS_GREY: rgb[0] = rgb[1] = rgb[2] = row[x]; break;
    default: {
        const uint32_t first = picture->format == MBV2_PIXELS_BGR888 ? 2 : 0;
        rgb[0] = row[3 * x + first];
        rgb[1] = row[3 * x + 1];
        rgb[2] = row[3 * x + 2 - first];
    }
    }
}

/* ITU-R BT.601's luma in 1/65536, rounded. Bounds: 65536 * 255 + 32768 < 2^32. */
static uint32_t luma(const uint32_t *rgb) { return (rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 32768u) >> 16; }

mbv2_part mbv2_whole(const mbv2_picture *picture) {
    const mbv2_part part = {0, 0, picture->h, picture->w};
    return part;
}

mbv2_part mbv2_centre(const mbv2_picture *picture, uint32_t h, uint32_t w) {
    mbv2_part part = mbv2_whole(picture);
    if (picture->w * h > picture->h * w) {
        part.w = picture->h * w / h;
    } else {
        part.h = picture->w * h / w;
    }
    part.w += part.w == 0;
    part.h += part.h == 0;
    part.top = (picture->h - part.h) / 2;
    part.left = (picture->w - part.w) / 2;
    return part;
}

/* How much of [at * size, (at + 1) * size) lies in [from, end). */
static uint32_t overlap(uint32_t at, uint32_t size, uint32_t from, uint32_t end) {
    const uint32_t low = at * size > from ? at * size : from, high = (at + 1) * size < end ? (at + 1) * size : end;
    return high - low;
}

/* Pixel i of the part covers [i * h, (i + 1) * h) and pixel y of the result [y * part->h, (y + 1) * part->h). Bounds: with
 * no side above 4096, the products are at most 2^24, and the sums at most 255 * 2^24 + 2^23 < 2^32. */
void mbv2_area_row(uint8_t *to, const mbv2_picture *picture, const mbv2_part *part, uint32_t y, uint32_t h, uint32_t w,
                   uint32_t c) {
    const uint32_t top = y * part->h, bottom = top + part->h, area = part->h * part->w;
    for (uint32_t x = 0; x < w; x++) {
        const uint32_t left = x * part->w, right = left + part->w;
        uint32_t sums[3] = {area / 2, area / 2, area / 2};
        for (uint32_t i = top / h; i * h < bottom; i++) {
            const uint32_t rows = overlap(i, h, top, bottom);
            for (uint32_t k = left / w; k * w < right; k++) {
                const uint32_t weight = rows * overlap(k, w, left, right);
                uint32_t rgb[3];
                fetch(picture, part->top + i, part->left + k, rgb);
                if (c == 1) rgb[0] = luma(rgb);
                for (uint32_t channel = 0; channel < c; channel++) sums[channel] += weight * rgb[channel];
            }
        }
        for (uint32_t channel = 0; channel < c; channel++) *to++ = (uint8_t)(sums[channel] / area);
    }
}

/* Two pixels of a line and the weight of each, of 2 * target both together. */
typedef struct mbv2_between {
    uint32_t pixels[2], weights[2];
} mbv2_between;

/* Around the middle of place `at` of `target`, which lies at ((2 * at + 1) * source - target) / (2 * target), while those
 * of pixels lie at whole numbers. Before pixel 0 stands pixel 0, behind the last the last; the middle lies before
 * `source`. Bounds: with no side above 4096, the products are at most 2^25. */
static mbv2_between between(uint32_t at, uint32_t source, uint32_t target) {
    const uint32_t place = (2 * at + 1) * source;
    mbv2_between found = {{0, 0}, {2 * target, 0}};
    if (place >= target) {
        const uint32_t middle = place - target, first = middle / (2 * target);
        found.pixels[0] = first;
        found.pixels[1] = first + 1 < source ? first + 1 : first;
        found.weights[1] = middle % (2 * target);
        found.weights[0] = 2 * target - found.weights[1];
    }
    return found;
}

/* Bounds: the four weights sum to 4 * h * w, at most 2^24, and the sums to at most 255 * 2^24 + 2^23 < 2^32. */
void mbv2_bilinear_row(uint8_t *to, const mbv2_picture *picture, const mbv2_part *part, uint32_t y, uint32_t h,
                       uint32_t w, uint32_t c) {
    const mbv2_between rows = between(y, part->h, h);
    for (uint32_t x = 0; x < w; x++) {
        const mbv2_between columns = between(x, part->w, w);
        uint32_t sums[3] = {2 * h * w, 2 * h * w, 2 * h * w};
        for (uint32_t corner = 0; corner < 4; corner++) {
            const uint32_t i = corner / 2, k = corner % 2, weight = rows.weights[i] * columns.weights[k];
            uint32_t rgb[3];
            fetch(picture, part->top + rows.pixels[i], part->left + columns.pixels[k], rgb);
            if (c == 1) rgb[0] = luma(rgb);
            for (uint32_t channel = 0; channel < c; channel++) sums[channel] += weight * rgb[channel];
        }
        for (uint32_t channel = 0; channel < c; channel++) *to++ = (uint8_t)(sums[channel] / (4 * h * w));
    }
}
