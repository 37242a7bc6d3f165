# SPDX-License-Identifier: Apache-2.0
"""1x1 convolutions of the ``dsp`` family: two output channels times one to four pixels, rolled over the input channels.

pointwise_sums.py says how weights are stored and multiplied.

The end of a weight list is a word of its own, 0x80 in the top byte and bit 23 clear: no weight word is below 0x8081
(packed) or 0x8100 (unpacked) in its top half, as weights are at least -127. The loop needs no counter: the word after
the last weights is loaded as the next weights anyway. Its low 23 bits carry shifts, or a bias: where a packed ReLU body
has the common shift, y0 = 256 * A + bias takes it with the shift that makes y0 anyway. So biases have a resolution
of 1/128 (the first channel's) and 1/256, and no channel needs an addend.

Registers: r0 stream, r1 tile, r2-r5 and r6-r9 accumulators of the first and second channel (one a pixel), r10 r11
weights, r12 lr pixels; of weights of 4 bits and fewer pixels as pointwise_sums.py says. Stack: 0 tile, 4 end of output,
8 output, 12 step, 16 (linear) 2 * zero point + 1.
"""

from __future__ import annotations

from mbv2gen.dsp.assembly import Code, common_requantization, function
from mbv2gen.dsp.pointwise_sums import Pointwise, accumulation, mask
from mbv2gen.dsp.shifts import END_BIAS_SHIFT


def pointwise(name: str, core: str, body: Pointwise) -> str:
    """The function ``void name(stream, tile, out, step, end)``."""
    frame = 24 if body.output == "nhwc" else 16
    code = [
        "ldr r12, [sp]",
        "push {r4-r11, lr}",
        f"sub sp, #{frame}",
        "strd r1, r12, [sp]",
        "strd r2, r3, [sp, #8]",
        *(["ldr r4, [r0], #4", "str r4, [sp, #16]"] if body.output == "nhwc" else []),
        *mask(body),
        "1:",
        *accumulation(core, body),
        *_epilogue(body),
        "ldrd r1, r12, [sp]",
        "str r10, [sp, #8]",
        "cmp r10, r12",
        "bne 1b",
        f"add sp, #{frame}",
        "pop {r4-r11, pc}",
    ]
    kinds = {"lines": "ReLU to lines", "sums": "ReLU to pool sums", "nhwc": "linear to NHWC"}
    kind = kinds.get(body.output, "added to accumulators")
    weights = "two weights a byte" if body.four_bits else "two weights a halfword" if body.packed else "a weight a byte"
    return function(name, f"1x1 convolution, {kind}: 2 channels x {body.pixels} pixels a turn, {weights}.", code)


def _epilogue(body: Pointwise) -> Code:
    """What is made of the sums of two channels; r10 is where those of the next go."""
    if body.output == "accumulators":
        return _add_to_accumulators(body)
    return _linear_epilogue(body) if body.output == "nhwc" else _relu_epilogue(body)


def _relu_epilogue(body: Pointwise) -> Code:
    """y -> uint8; y = acc << 8 packed, << 7 unpacked (the tile is scaled by 128), and what its bias adds.

    Common shift: USAT8(SMMUL(y, M) >> 11), unpacked >> 9. Parameters: M0, M1. Own shifts: USAT8(SMMLA(y, M, C) >> s),
    s = rs + 7, C = 2^(s-1) + 2^(s-1-rs): the double rounding of TFLite as one floor, exact for every y. Parameters: M0,
    C0, M1, C1.
    """
    code: Code = []
    if body.four_bits:
        code += _second_accumulators(body)
        code += [] if body.own_shifts else ["uxtb r10, r10"]
        code += [f"lsl {b}, {b}, #8" if body.own_shifts else f"add {b}, r10, {b}, lsl #8" for b in body.second]
    elif body.packed:
        code += [f"sub {b}, {b}, {a}" for a, b in zip(body.first, body.second, strict=True)]
    if body.bias_in_end:
        code += [
            "lsl r10, r10, #9",
            f"asr r10, r10, #{9 - END_BIAS_SHIFT}",
            *[f"add {a}, r10, {a}, lsl #8" for a in body.first],
        ]
    elif body.packed and not body.four_bits:
        code += [f"lsl {a}, {a}, #8" for a in body.first]
    code += _own_requantization(body) if body.own_shifts else _common_requantization(body)
    return code + (_store_lines(body) if body.output == "lines" else _store_sums(body))


def _second_accumulators(body: Pointwise) -> Code:
    """Of weights of 4 bits: acc1 = B - (A >> 12), unpacked B - (A >> 4)."""
    return [f"sub {b}, {b}, {a}, asr #{12 if body.packed else 4}" for a, b in zip(body.first, body.second, strict=True)]


def _common_requantization(body: Pointwise) -> Code:
    return [
        "ldrd r11, r12, [r0], #8",
        *common_requantization(body.first, "r11", body.common_shift),
        *common_requantization(body.second, "r12", body.common_shift),
    ]


def _own_requantization(body: Pointwise) -> Code:
    code = ["mov r1, r10", "ldm r0!, {r10, r11, r12, lr}"]
    for y in body.first:
        code += [f"smmla {y}, {y}, r10, r11", f"asr {y}, {y}, r1", f"usat {y}, #8, {y}"]
    code.append("lsr r1, r1, #8")
    for y in body.second:
        code += [f"smmla {y}, {y}, r12, lr", f"asr {y}, {y}, r1", f"usat {y}, #8, {y}"]
    return code


def _store_lines(body: Pointwise) -> Code:
    """A word a channel: bytes p0 p2 p1 p3; pixels the body has not are 0, which is the padding."""
    code = ["ldrd r10, r11, [sp, #8]"]
    for p in (body.first, body.second):
        if body.pixels > 1:
            code.append(f"orr {p[0]}, {p[0]}, {p[1]}, lsl #16")
        if body.pixels == 4:
            code.append(f"orr {p[2]}, {p[2]}, {p[3]}, lsl #16")
        if body.pixels > 2:
            code.append(f"orr {p[0]}, {p[0]}, {p[2]}, lsl #8")
    return [*code, "str r2, [r10]", "str r6, [r10, r11]", "add r10, r10, r11, lsl #1"]


def _store_sums(body: Pointwise) -> Code:
    """Adds the pixels to one int32 a channel."""
    code = ["ldr r10, [sp, #8]"]
    for p in (body.first, body.second):
        code += [f"add {p[0]}, {p[0]}, {q}" for q in p[1:]]
    return [*code, "ldrd r11, r12, [r10]", "add r11, r11, r2", "add r12, r12, r6", "strd r11, r12, [r10], #8"]


def _add_to_accumulators(body: Pointwise) -> Code:
    """acc is added to int32 [pixel][channel], ``step`` bytes from pixel to pixel."""
    code = [f"sub {b}, {b}, {a}" for a, b in zip(body.first, body.second, strict=True)]
    code += ["ldrd r1, r12, [sp, #8]"]
    for a, b in zip(body.first, body.second, strict=True):
        code += ["ldrd r10, r11, [r1]", f"add r10, r10, {a}", f"add r11, r11, {b}, asr #8", "strd r10, r11, [r1]"]
        code += ["add r1, r1, r12"] if a != body.first[-1] else []
    return [*code, "ldr r10, [sp, #8]", "add r10, r10, #8"]


def _linear_epilogue(body: Pointwise) -> Code:
    """acc -> int8, exact for any zero point: t = C + (acc < 0 ? -1 : 0), SSAT8(SMMLAR(2 * acc, M, t) >> rs),
    C = (2 * zero_point + 1) << (rs - 1). Parameters: M0, M1; the end word's low bytes are rs0 - 1 and rs1 - 1, the last
    bit of the shift is SSAT's.

    Single bytes are stored: as many instructions as packing two of them and storing halfwords, and no alignment needed.
    """
    code: Code = ["ldr r1, [sp, #16]"]
    if body.four_bits:
        code += _second_accumulators(body)
    elif body.packed:
        code += [f"sub {b}, {b}, {a}" for a, b in zip(body.first, body.second, strict=True)]
    for half in (body.first, body.second):
        code += ["ldr r11, [r0], #4", *(["lsr r10, r10, #8"] if half == body.second else []), "lsl r12, r1, r10"]
        is_256_fold = body.packed and (half == body.first if body.four_bits else half == body.second)
        double = "asr {0}, {0}, #7" if is_256_fold else "lsl {0}, {0}, #1"
        for y in half:
            code += [f"add lr, r12, {y}, asr #31", double.format(y), f"smmlar {y}, {y}, r11, lr"]
            code += [f"asr {y}, {y}, r10", f"ssat {y}, #8, {y}, asr #1"]
    code.append("ldrd r10, r11, [sp, #8]")
    if body.pixels == 4:
        code.append("add r12, r11, r11, lsl #1")
    places = ("", ", r11", ", r11, lsl #1", ", r12")
    for half in (body.first, body.second):
        code += [f"strb {half[p]}, [r10{places[p]}]" for p in range(1, body.pixels)]
        code.append(f"strb {half[0]}, [r10], #1")
    return code
