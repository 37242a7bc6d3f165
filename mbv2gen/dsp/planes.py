# SPDX-License-Identifier: Apache-2.0
"""Depthwise 3x3 convolutions of the ``dsp`` family over whole small planes: 6x6 and 3x3 pixels, padding 1.

A plane is a channel's pixels in linear order in words p0 p2 p1 p3. 6x6: 36 bytes and 8 zero bytes in front of the
first and behind every plane, so a plane begins 44 bytes after the one before; rows 2q and 2q+1 are three words, row 2q
the first one and a half. The side padding is left out of the sums instead of stored. 3x3: nine bytes and three more.
Outputs go to the tile in linear order too, in groups of four.

Stream and arithmetic are those of dsp_depthwise. Signature: ``void name(planes, stream, tile, group, stream_end)``,
``group`` bytes between groups of pixels in the tile. Stack: 0 end of the stream, 4 tile, 8 group, 12 bias, 16 M,
20 weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from mbv2gen.dsp.assembly import Code, function
from mbv2gen.dsp.depthwise import channel_parameters, next_channel, requantized

PLANE6_BYTES = 44
"""From one 6x6 plane to the next."""

_BIAS, _MULTIPLIER, _WEIGHTS = 12, 16, 20  # on the stack


def _weights(w01: str, w12: str, row: int) -> str:
    return f"ldrd {w01}, {w12}, [sp, #{_WEIGHTS + 8 * row}]"


def _entry(tile: Code) -> Code:
    """``tile``: its first place to its register."""
    return ["ldr r12, [sp]", "push {r4-r11, lr}", "sub sp, #48", *tile, "str r12, [sp]", "strd r2, r3, [sp, #4]", "1:"]


def _next_plane(tile: str, plane: Code) -> Code:
    """The tile's and the plane's place of the next channel, until the stream's end."""
    code = [f"ldrd r12, {tile}, [sp]", *plane, *next_channel(tile)]
    return [*code, f"str {tile}, [sp, #4]", "cmp r1, r12", "bne 1b", "add sp, #48", "pop {r4-r11, pc}"]


def _six_pixels(offset: int, odd: bool, row: int, weights: tuple[str, str]) -> Code:
    """One row -> r9, r10, r11 = pixels (0,1), (2,3), (4,5), and its weights. Odd rows start in the middle of a word."""
    code = [f"ldrd r9, r11, [r0, #{offset}]", _weights(*weights, row)]
    if odd:
        return [*code, "uxtb16 r9, r9, ror #8", "uxtb16 r10, r11", "uxtb16 r11, r11, ror #8"]
    return [*code, "uxtb16 r10, r9, ror #8", "uxtb16 r9, r9", "uxtb16 r11, r11"]


_OFFSETS = {-1: -8, 0: 0, 1: 4, 2: 12}
"""Of the two words that hold row k, from the first word of row 0 (k odd: its first two pixels end a word)."""


def _six_outputs(y: list[str], w01: str, w12: str, start: list[str]) -> Code:
    """One input row into the six outputs of a row; the first lacks its left pixel, the last its right one."""
    return [
        f"smlad {y[0]}, r9, {w12}, {start[0]}",
        f"smlad {y[1]}, r9, {w01}, {start[1]}",
        f"smlabt {y[1]}, r10, {w12}, {y[1]}",
        f"smlatb {y[2]}, r9, {w01}, {start[2]}",
        f"smlad {y[2]}, r10, {w12}, {y[2]}",
        f"smlad {y[3]}, r10, {w01}, {start[3]}",
        f"smlabt {y[3]}, r11, {w12}, {y[3]}",
        f"smlatb {y[4]}, r10, {w01}, {start[4]}",
        f"smlad {y[4]}, r11, {w12}, {y[4]}",
        f"smlad {y[5]}, r11, {w01}, {start[5]}",
    ]


def depthwise_plane6(name: str) -> str:
    """Two output rows (2q, 2q+1: r0 = plane + 12 q) of every channel: 12 pixels, three groups of the tile.

    r3-r8 accumulators, r9-r11 pixels, r12 lr weights, r2 tile.
    """
    y = ["r3", "r4", "r5", "r6", "r7", "r8"]
    code = [*_entry([]), *channel_parameters("r1", _BIAS, with_bias=True)]
    for odd in (0, 1):
        code.append(f"ldr r8, [sp, #{_BIAS}]")
        for row in range(3):
            k = odd + row - 1
            code += _six_pixels(_OFFSETS[k], k % 2 == 1, row, ("r12", "lr"))
            code += _six_outputs(y, "r12", "lr", ["r8"] * 6 if row == 0 else y)
        code += [f"ldr r9, [sp, #{_MULTIPLIER}]", *requantized(y, "r9"), *_stored(y, 6 * odd, "r2", "r11")]
    code += _next_plane("r2", [f"add r0, r0, #{PLANE6_BYTES}"])
    return function(name, "Depthwise 3x3 on 6x6 planes, stride 1: two output rows of every channel.", code)


def _stored(y: Sequence[str], first: int, tile: str, step: str) -> Code:
    """Outputs ``first``.. of a channel in linear order to groups of four; ``tile`` moves on where a group begins.
    ``step``: a free register."""
    code: Code = []
    for pixel, register in enumerate(y, first):
        offset = 4 * (pixel % 4)
        code += [f"ldr {step}, [sp, #8]", f"add {tile}, {tile}, {step}"] if pixel and not offset else []
        code.append(f"strh {register}, [{tile}" + (f", #{offset}]" if offset else "]"))
    return code


def depthwise_plane6_stride2(name: str, same: bool) -> str:
    """6x6 -> 3x3, all of every channel: nine outputs, groups of four, four and one. Registers and stack as plane6,
    r3-r5 accumulators.

    Output row q reads rows 2q-1..2q+1 (padding left and above) or 2q..2q+2 (``same``: right and below).
    """
    y = ("r3", "r4", "r5")
    code = [*_entry([]), *channel_parameters("r1", _BIAS, with_bias=True)]
    for out_row in range(3):
        code.append(f"ldr r5, [sp, #{_BIAS}]")
        for row in range(3):
            k = row if same else row - 1
            code += _six_pixels(12 * out_row + _OFFSETS[k], k % 2 == 1, row, ("r12", "lr"))
            code += _three_outputs(same, ("r5",) * 3 if row == 0 else y)
        code += [f"ldr r9, [sp, #{_MULTIPLIER}]", *requantized(y, "r9"), *_stored(y, 3 * out_row, "r2", "r11")]
    code += _next_plane("r2", [f"add r0, r0, #{PLANE6_BYTES}"])
    side = "right and below" if same else "left and above"
    return function(name, f"Depthwise 3x3 on 6x6 planes, stride 2, padding {side}: 3x3 outputs of every channel.", code)


def _three_outputs(same: bool, start: Sequence[str]) -> Code:
    """One input row of six pixels into three outputs at stride 2; the pixel on the padded side is left out."""
    if same:
        return [
            f"smlad r3, r9, r12, {start[0]}",
            f"smlad r4, r10, r12, {start[1]}",
            "smlabt r3, r10, lr, r3",
            "smlabt r4, r11, lr, r4",
            f"smlad r5, r11, r12, {start[2]}",
        ]
    return [
        f"smlad r3, r9, lr, {start[0]}",
        f"smlatb r4, r9, r12, {start[1]}",
        "smlad r4, r10, lr, r4",
        f"smlatb r5, r10, r12, {start[2]}",
        "smlad r5, r11, lr, r5",
    ]


_PLANE3_ROWS = (("r2", "r3", True), ("r4", "r3", False), ("r5", "r6", True))
"""A row of a 3x3 plane: the register of its pair of pixels, that of its single one, whether the pair comes first.
r2 = pixels (0,1), r3 = (2,3), r4 = (4,5), r5 = (6,7), r6 = (8, 0): row 1 is the top of r3, then r4."""


def _plane3_row(out: Sequence[str], start: Sequence[str], row: int) -> Code:
    """Input row ``row`` times weights (w0, w1) in r11, (w1, w2) in r12, into the three outputs of a row."""
    pair, single, pair_first = _PLANE3_ROWS[row]
    if pair_first:
        return [
            f"smlad {out[0]}, {pair}, r12, {start[0]}",
            f"smlad {out[1]}, {pair}, r11, {start[1]}",
            f"smlabt {out[1]}, {single}, r12, {out[1]}",
            f"smlatb {out[2]}, {pair}, r11, {start[2]}",
            f"smlabt {out[2]}, {single}, r11, {out[2]}",
        ]
    return [
        f"smlatb {out[0]}, {single}, r12, {start[0]}",
        f"smlabt {out[0]}, {pair}, r12, {out[0]}",
        f"smlatb {out[1]}, {single}, r11, {start[1]}",
        f"smlad {out[1]}, {pair}, r12, {out[1]}",
        f"smlad {out[2]}, {pair}, r11, {start[2]}",
    ]


def depthwise_plane3(name: str) -> str:
    """3x3 planes, stride 1: all nine outputs of every channel, groups of four, four and one.

    r2-r6 the plane, r8-r10 accumulators, r11 r12 weights, lr tile.
    """
    y = ("r8", "r9", "r10")
    code = [*_entry(["mov lr, r2"]), *channel_parameters("r1", _BIAS, with_bias=True, mask="r2")]
    code += ["ldm r0!, {r2, r4, r6}", "uxtb16 r3, r2, ror #8", "uxtb16 r2, r2", "uxtb16 r5, r4, ror #8"]
    code += ["uxtb16 r4, r4", "uxtb r6, r6"]
    for out_row in range(3):
        code.append(f"ldr r10, [sp, #{_BIAS}]")
        rows = [row for row in range(3) if 0 <= out_row + row - 1 < 3]
        for row in rows:
            code.append(_weights("r11", "r12", row))
            code += _plane3_row(y, ("r10",) * 3 if row == rows[0] else y, out_row + row - 1)
        code += [f"ldr r11, [sp, #{_MULTIPLIER}]", *requantized(y, "r11"), *_stored(y, 3 * out_row, "lr", "r11")]
    code += _next_plane("lr", [])
    return function(name, "Depthwise 3x3 on 3x3 planes, stride 1: nine outputs of every channel.", code)
