/* SPDX-License-Identifier: Apache-2.0 */
/* crc32.h - CRC-32 as zlib and Ethernet have it (ISO 3309; polynomial 0xEDB88320, reflected), four bits at a time. */
#ifndef MBV2_FIRMWARE_CRC32_H
#define MBV2_FIRMWARE_CRC32_H

#include <stddef.h>
#include <stdint.h>

#define CRC32_START 0xFFFFFFFFu

/* The register after `bytes` more; its complement is the CRC. */
static inline uint32_t crc32_add(uint32_t state, const void *from, size_t bytes) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    const uint8_t *at = from;
    for (size_t i = 0; i < bytes; i++) {
        state ^= at[i];
        state = state >> 4 ^ table[state & 15u];
        state = state >> 4 ^ table[state & 15u];
    }
    return state;
}

#endif
