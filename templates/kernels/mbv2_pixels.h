/* SPDX-License-Identifier: 0BSD
 *
 * mbv2_pixels.h - a camera's picture in the network's size and colours, in integers: every byte is what --resize area and
 * bilinear, and both with crop-, made of the pictures on the desk.
 */
#ifndef MBV2_PIXELS_H
#define MBV2_PIXELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RGB565: red in the upper five bits of a word, stored with its lower byte first, or (swapped) its upper one. */
typedef enum mbv2_pixel_format {
    MBV2_PIXELS_RGB888,
    MBV2_PIXELS_BGR888,
    MBV2_PIXELS_RGB565,
    MBV2_PIXELS_RGB565_SWAPPED,
    MBV2_PIXELS_GREY
} mbv2_pixel_format;

/* At most 4096 x 4096 pixels; `row_bytes` from one row to the next. */
typedef struct mbv2_picture {
    const uint8_t *bytes;
    uint32_t h, w, row_bytes;
    mbv2_pixel_format format;
} mbv2_picture;

typedef struct mbv2_part {
    uint32_t top, left, h, w;
} mbv2_part;

/* All of it (--resize area, bilinear), and the largest part in the middle with the proportions of h x w (crop-area,
 * crop-bilinear). */
mbv2_part mbv2_whole(const mbv2_picture *picture);
mbv2_part mbv2_centre(const mbv2_picture *picture, uint32_t h, uint32_t w);

/* Row y of that part in the size h x w, each value the mean of the area it covers, rounded: w pixels of red, green and
 * blue (c = 3) or of grey (c = 1), which NAME_pixels takes. A network that was trained on BGR gets them by naming the
 * formats the other way round. h, w at most 4096; the part is not empty. */
void mbv2_area_row(uint8_t *to, const mbv2_picture *picture, const mbv2_part *part, uint32_t y, uint32_t h, uint32_t w,
                   uint32_t c);

/* The same, but each value between the four pixels around its middle: four reads a value, however large the part is, and
 * what lies between is skipped where it has more than twice the size. h * w at most 2^22, as of 2048 x 2048. */
void mbv2_bilinear_row(uint8_t *to, const mbv2_picture *picture, const mbv2_part *part, uint32_t y, uint32_t h,
                       uint32_t w, uint32_t c);

#ifdef __cplusplus
}
#endif

#endif
