"""Depthwise 3x3 convolutions of the ``dsp`` family over whole small planes: 6x6 and 3x3 pixels, padding 1.

A plane is a channel's pixels in linear order in words p0 p2 p1 p3. 6x6: 36 bytes and 8 zero bytes in front of the
first and behind every plane, so a plane begins 44 bytes after the one before; rows 2q and 2q+1 are three words, row 2q
the first one and a half. The side padding is left out of the sums instead of stored. 3x3: a word a row, p0 p2 p1 0.

Stream and arithmetic are those of dsp_depthwise. Signature: ``void name(planes, stream, tile, group, stream_end)``,
``group`` bytes between groups of pixels in the tile.
"""

from __future__ import annotations

from mbv2gen.dsp_assembly import Code, common_requantization, function
from mbv2gen.dsp_depthwise import CHANNEL_BYTES, next_channel

PLANE6_BYTES = 44
"""From one 6x6 plane to the next."""


def _six_pixels(offset: int, odd: bool, row: int, weights: tuple[str, str]) -> Code:
    """One row -> r9, r10, r11 = pixels (0,1), (2,3), (4,5), and the row's weights. Odd rows start in the middle of a word."""
    code = [f"ldrd r9, r11, [r0, #{offset}]", f"ldrd {weights[0]}, {weights[1]}, [r1, #{8 * row}]"]
    if odd:
        return [*code, "uxtb16 r9, r9, ror #8", "uxtb16 r10, r11", "uxtb16 r11, r11, ror #8"]
    return [*code, "uxtb16 r10, r9, ror #8", "uxtb16 r9, r9", "uxtb16 r11, r11"]


_OFFSETS = {-1: -8, 0: 0, 1: 4, 2: 12, 3: 16}
"""Of the two words that hold row k, from the row pair's first word (row k odd: its first two pixels end a word)."""


def _six_outputs(y: list[str], w01: str, w12: str, start: list[str]) -> Code:
    """One input row of weights into the six outputs of a row; the first lacks its left pixel, the last its right one."""
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

    r3-r8 accumulators, r9-r11 pixels, r12 lr weights, r2 tile. Stack: 0 end of stream, 4 tile, 8 group.
    """
    y = ["r3", "r4", "r5", "r6", "r7", "r8"]
    code = ["ldr r12, [sp]", "push {r4-r11, lr}", "sub sp, #12", "str r12, [sp]", "strd r2, r3, [sp, #4]", "1:"]
    for odd in (0, 1):
        code.append("ldr r8, [r1, #32]")
        for row in range(3):
            k = odd + row - 1
            code += _six_pixels(_OFFSETS[k], k % 2 == 1, row, ("r12", "lr"))
            code += _six_outputs(y, "r12", "lr", ["r8"] * 6 if row == 0 else y)
        code += ["ldrd r9, r10, [r1, #24]", "ldr r11, [sp, #8]", *common_requantization(y, "r9", "r10")]
        if odd:
            code += ["strh r3, [r2, #8]", "strh r4, [r2, #12]", "add r2, r2, r11"]
            code += [f"strh {y[2 + k]}, [r2, #{4 * k}]" for k in range(4)]
        else:
            code += [f"strh {y[k]}, [r2, #{4 * k}]" for k in range(4)]
            code += ["add r2, r2, r11", "strh r7, [r2]", "strh r8, [r2, #4]"]
    code += ["ldrd r12, r2, [sp]", f"add r0, r0, #{PLANE6_BYTES}", f"add r1, r1, #{CHANNEL_BYTES}", *next_channel("r2")]
    code += ["str r2, [sp, #4]", "cmp r1, r12", "bne 1b", "add sp, #12", "pop {r4-r11, pc}"]
    return function(name, "Depthwise 3x3 on 6x6 planes, stride 1: two output rows of every channel.", code)


def depthwise_plane6_stride2(name: str, same: bool) -> str:
    """6x6 -> 3x3, all of every channel; an output row is a group of three pixels. r3-r5 accumulators, else as plane6.

    Output row q reads rows 2q-1..2q+1 (padding left and above) or 2q..2q+2 (``same``: right and below).
    Stack: 0 end of stream, 4 tile, 8 group, 12 end of the plane.
    """
    rows = ((0, 0), (4, 1), (12, 0)) if same else ((-8, 1), (0, 0), (4, 1))
    code = ["ldr r12, [sp]", "push {r4-r11, lr}", "sub sp, #16", "str r12, [sp]", "strd r2, r3, [sp, #4]"]
    code += ["1:", "add r12, r0, #36", "str r12, [sp, #12]", "2:", "ldr r5, [r1, #32]"]
    for row, (offset, odd) in enumerate(rows):
        y = ["r5"] * 3 if row == 0 else ["r3", "r4", "r5"]
        code += _six_pixels(offset, bool(odd), row, ("r12", "lr"))
        if same:
            code += [f"smlad r3, r9, r12, {y[0]}", f"smlad r4, r10, r12, {y[1]}", "smlabt r3, r10, lr, r3"]
            code += ["smlabt r4, r11, lr, r4", f"smlad r5, r11, r12, {y[2]}"]
        else:
            code += [f"smlad r3, r9, lr, {y[0]}", f"smlatb r4, r9, r12, {y[1]}", "smlad r4, r10, lr, r4"]
            code += [f"smlatb r5, r10, r12, {y[2]}", "smlad r5, r11, lr, r5"]
    code += ["ldrd r9, r10, [r1, #24]", "ldr r11, [sp, #8]", *common_requantization(("r3", "r4", "r5"), "r9", "r10")]
    code += ["strh r3, [r2]", "strh r4, [r2, #4]", "strh r5, [r2, #8]", "add r2, r2, r11"]
    code += ["ldr r12, [sp, #12]", "add r0, r0, #12", "cmp r0, r12", "bne 2b"]
    code += ["ldrd r12, r2, [sp]", "add r0, r0, #8", f"add r1, r1, #{CHANNEL_BYTES}", *next_channel("r2")]
    code += ["str r2, [sp, #4]", "cmp r1, r12", "bne 1b", "add sp, #16", "pop {r4-r11, pc}"]
    side = "right and below" if same else "left and above"
    return function(name, f"Depthwise 3x3 on 6x6 planes, stride 2, padding {side}: 3x3 outputs of every channel.", code)


def depthwise_plane3(name: str) -> str:
    """3x3 planes, stride 1: all nine outputs of every channel, three groups of three pixels.

    r2-r7 the plane: pixels (0,1) of the rows in r2 r4 r6, pixel 2 in r3 r5 r7; r8-r10 accumulators, r11 r12 weights,
    lr tile. Stack: 0 end of stream, 4 tile, 8 group.
    """
    left, right, y = ("r2", "r4", "r6"), ("r3", "r5", "r7"), ("r8", "r9", "r10")
    code = ["ldr r12, [sp]", "push {r4-r11, lr}", "sub sp, #12", "mov lr, r2", "str r12, [sp]", "strd r2, r3, [sp, #4]"]
    code += ["1:", "ldm r0!, {r2, r4, r6}"]
    for low, high in zip(left, right, strict=True):
        code += [f"uxtb16 {high}, {low}, ror #8", f"uxtb16 {low}, {low}"]
    for out_row in range(3):
        code.append("ldr r10, [r1, #32]")
        rows = [row for row in range(3) if 0 <= out_row + row - 1 < 3]
        for row in rows:
            start = ("r10",) * 3 if row == rows[0] else y
            low, high = left[out_row + row - 1], right[out_row + row - 1]
            code += [f"ldrd r11, r12, [r1, #{8 * row}]", f"smlad r8, {low}, r12, {start[0]}"]
            code += [f"smlad r9, {low}, r11, {start[1]}", f"smlabt r9, {high}, r12, r9"]
            code += [f"smlatb r10, {low}, r11, {start[2]}", f"smlabt r10, {high}, r11, r10"]
        code += ["ldrd r11, r12, [r1, #24]", *common_requantization(y, "r11", "r12")]
        code += ["strh r8, [lr]", "strh r9, [lr, #4]", "strh r10, [lr, #8]"]
        code += ["ldr r11, [sp, #8]", "add lr, lr, r11"] if out_row < 2 else []
    code += ["ldrd r12, lr, [sp]", f"add r1, r1, #{CHANNEL_BYTES}", *next_channel("lr")]
    code += ["str lr, [sp, #4]", "cmp r1, r12", "bne 1b", "add sp, #12", "pop {r4-r11, pc}"]
    return function(name, "Depthwise 3x3 on 3x3 planes, stride 1: nine outputs of every channel.", code)
