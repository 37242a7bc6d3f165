# SPDX-License-Identifier: Apache-2.0
"""Depthwise 3x3 convolutions of the ``dsp`` family over rows of any width, or over columns of four pixels: four
outputs a turn, channel after channel.

Pixels stand in words of four bytes, p0 p2 p1 p3, so that UXTB16 yields the neighbours (p0, p1) and UXTB16 ROR #8
(p2, p3). Weights are int16 pairs (w0, w1) and (w1, w2): one SMLAD and one SMLABB/BT/TB an output and row, where the
three pixels stand as two in a register and one half of another.

The stream holds a weight a byte, w0 w1 w1 w2 for each row: AND with 0xff00ff00 makes 256 * (w1, w2) of it, once a
channel and call, on the stack; columns use it but once a call, from registers. So y = 256 * acc + bias, the bias with
eight bits below an accumulator's unit, and USAT8(SMMUL(y, M) >> 9) serves all channels of right shifts from 2 on:
dsp/requantization.py finds M and bias.

Registers: r5-r8 accumulators, r9 r10 weights, r11 r12 lr pixels. Rows: r0-r2 rows, r3 bias, r4 tile; stack: 0 end of
the channel's tile, 4 bytes between groups, 8 M, 12 weights, 36 tile, 40 step between lines, 44 stream, 48 its end, 52
span. Columns: r0 table of nine pointers, r1 tile, r2 end of stream, r3 stream, r4 4 * channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mbv2gen.dsp.assembly import Code, common_requantization, function
from mbv2gen.dsp.shifts import DEPTHWISE_SHIFT

_Y = ("r5", "r6", "r7", "r8")
CHANNEL_BYTES = 20
"""A channel of the stream: bias, M, three rows of the bytes w0 w1 w1 w2."""

_MULTIPLIER, _WEIGHTS = 8, 12  # on the stack


@dataclass(frozen=True)
class _Operands:
    """How a row's weights come into r9 and r10, and the pixels of its window into a register: the byte before the first
    word, the words, the byte behind the last one."""

    weights: Callable[[int], Code]
    before: Callable[[str, int], Code]
    word: Callable[[str, int, int], Code]
    behind: Callable[[str, int], Code]


_ROWS = _Operands(
    lambda row: [f"ldrd r9, r10, [sp, #{_WEIGHTS + 8 * row}]"],
    lambda to, row: [f"ldrb {to}, [r{row}, #-1]"],
    lambda to, row, _: [f"ldr {to}, [r{row}], #4"],
    lambda to, row: [f"ldrb {to}, [r{row}]"],
)


def _columns(first_word: int) -> _Operands:
    """Of three columns, from ``first_word`` on words, the others a byte."""
    return _Operands(
        lambda row: ["ldr r9, [r3], #4", "and r10, r9, #0xff00ff00", "lsl r9, r9, #8", "and r9, r9, #0xff00ff00"],
        lambda to, row: _from_column("ldrb", to, row, 0),
        lambda to, row, k: _from_column("ldr", to, row, first_word + k),
        lambda to, row: _from_column("ldrb", to, row, 2),
    )


def _from_column(load: str, to: str, row: int, column: int) -> Code:
    """In the order of columns 0, 1, 2; from the first to the second r12 holds the second's pointer."""
    if column == 1:
        return [f"{load} {to}, [r12, r4]"]
    at = f"[r0, #{12 * row + 4 * column}]"
    return [f"ldr {to}, {at}" if column else f"ldrd {to}, r12, {at}", f"{load} {to}, [{to}, r4]"]


def _stride_1(given: _Operands, row: int, y: list[str]) -> Code:
    """Outputs 4g..4g+3 read pixels 4g-1..4g+4: the byte before the word and the byte behind it."""
    return [
        *given.before("lr", row),
        *given.weights(row),
        *given.word("r11", row, 0),
        f"smlabb r5, lr, r9, {y[0]}",
        *given.behind("lr", row),
        "uxtb16 r12, r11, ror #8",
        "uxtb16 r11, r11",
        "smlad r5, r11, r10, r5",
        f"smlad r6, r11, r9, {y[1]}",
        "smlabt r6, r12, r10, r6",
        f"smlatb r7, r11, r9, {y[2]}",
        "smlad r7, r12, r10, r7",
        f"smlad r8, r12, r9, {y[3]}",
        "smlabt r8, lr, r10, r8",
    ]


def _stride_2(given: _Operands, row: int, y: list[str]) -> Code:
    """Padding on the left: output k reads pixels 2k-1, 2k, 2k+1; the byte before the line and two words."""
    return [
        *given.before("lr", row),
        *given.weights(row),
        *given.word("r11", row, 0),
        f"smlabb r5, lr, r9, {y[0]}",
        *given.word("lr", row, 1),
        "uxtb16 r12, r11, ror #8",
        "uxtb16 r11, r11",
        "smlad r5, r11, r10, r5",
        f"smlatb r6, r11, r9, {y[1]}",
        "uxtb16 r11, lr",
        "smlad r6, r12, r10, r6",
        f"smlatb r7, r12, r9, {y[2]}",
        "uxtb16 lr, lr, ror #8",
        "smlad r7, r11, r10, r7",
        f"smlatb r8, r11, r9, {y[3]}",
        "smlad r8, lr, r10, r8",
    ]


def _stride_2_same(given: _Operands, row: int, y: list[str]) -> Code:
    """Padding on the right (TensorFlow's SAME): output k reads pixels 2k, 2k+1, 2k+2; two words and the byte behind."""
    return [
        *given.word("r11", row, 0),
        *given.weights(row),
        *given.word("lr", row, 1),
        "uxtb16 r12, r11, ror #8",
        "uxtb16 r11, r11",
        f"smlad r5, r11, r9, {y[0]}",
        f"smlad r6, r12, r9, {y[1]}",
        "smlabt r5, r12, r10, r5",
        "uxtb16 r11, lr",
        "uxtb16 r12, lr, ror #8",
        f"smlad r7, r11, r9, {y[2]}",
        *given.behind("lr", row),
        "smlabt r6, r11, r10, r6",
        f"smlad r8, r12, r9, {y[3]}",
        "smlabt r7, r12, r10, r7",
        "smlabt r8, lr, r10, r8",
    ]


def _rest_stride_1(given: _Operands, row: int, y: list[str]) -> Code:
    """Two outputs: pixels -1..2 of the word."""
    return [
        *_rest_left(given, row, y),
        f"smlad r6, r11, r9, {y[1]}",
        "smlabt r6, r12, r10, r6",
    ]


def _rest_stride_2(given: _Operands, row: int, y: list[str]) -> Code:
    """Two outputs: pixels -1..3 of the word."""
    return [
        *_rest_left(given, row, y),
        f"smlatb r6, r11, r9, {y[1]}",
        "smlad r6, r12, r10, r6",
    ]


def _rest_left(given: _Operands, row: int, y: list[str]) -> Code:
    """The first output of two, from the byte before the word: the same at both strides."""
    return [
        *given.before("lr", row),
        *given.weights(row),
        *given.word("r11", row, 0),
        f"smlabb r5, lr, r9, {y[0]}",
        "uxtb16 r12, r11, ror #8",
        "uxtb16 r11, r11",
        "smlad r5, r11, r10, r5",
    ]


def _rest_stride_2_same(given: _Operands, row: int, y: list[str]) -> Code:
    """Two outputs: pixels 0..3 of the word and the byte behind it."""
    return [
        *given.word("r11", row, 0),
        *given.weights(row),
        *given.behind("lr", row),
        "uxtb16 r12, r11, ror #8",
        "uxtb16 r11, r11",
        f"smlad r5, r11, r9, {y[0]}",
        "smlabt r5, r12, r10, r5",
        f"smlad r6, r12, r9, {y[1]}",
        "smlabt r6, lr, r10, r6",
    ]


_PADDING = {"1": "1, padding left and right", "2": "2, padding left", "2_same": "2, padding right"}
_FOUR = {"1": _stride_1, "2": _stride_2, "2_same": _stride_2_same}
_TWO = {"1": _rest_stride_1, "2": _rest_stride_2, "2_same": _rest_stride_2_same}


def requantized(accumulators: Sequence[str], multiplier: str) -> Code:
    """y -> uint8, in place."""
    return common_requantization(accumulators, multiplier, DEPTHWISE_SHIFT)


def channel_parameters(
    stream: str, place: int, *, with_bias: bool, mask: str = "lr", before: Sequence[str] = ()
) -> Code:
    """The next channel's bias to r3; multiplier and weights as int16 pairs to the stack at ``place``, where
    ``with_bias`` behind the bias. ``stream`` moves on; r5-r12 and ``mask`` are overwritten, r11 after ``before``."""
    registers = "r3, r5-r10, r12" if with_bias else "r5-r10, r12"
    return [
        f"ldm {stream}!, {{r3, r5, r6, r8, r10}}",
        f"mov {mask}, #0xff00ff00",
        *before,
        f"add r11, sp, #{place}",
        *(
            instruction
            for word, upper in (("r6", "r7"), ("r8", "r9"), ("r10", "r12"))
            for instruction in (f"and {upper}, {word}, {mask}", f"and {word}, {mask}, {word}, lsl #8")
        ),
        f"stm r11, {{{registers}}}",
    ]


def next_channel(register: str) -> Code:
    """Moves a tile pointer, 8-byte aligned at channel 0: 2 bytes to the odd channel of a pair, 14 to the next pair."""
    return [f"add {register}, {register}, #2", f"tst {register}, #4", "it ne", f"addne {register}, {register}, #12"]


def depthwise_rows(name: str, stride: str, rest: bool) -> str:
    """``void name(row0, row1, row2, args)``: one output row, or a part of it, of all channels.

    ``stride``: 1, 2 (padding on the left) or 2_same (on the right); ``rest``: two outputs more behind the last four.
    """
    code = ["push {r4-r11, lr}", "sub sp, #56", "ldm r3, {r3-r8}", "mov r11, r3"]
    code += ["strd r4, r6, [sp, #36]", "strd r3, r7, [sp, #44]", "str r8, [sp, #52]", "add r8, r8, r4"]
    code += ["strd r8, r5, [sp]", "1:"]
    code += channel_parameters("r11", _MULTIPLIER, with_bias=False, before=["str r11, [sp, #44]"])
    code.append("2:")
    for row in range(3):
        code += _FOUR[stride](_ROWS, row, ["r3"] * 4 if row == 0 else list(_Y))
    code += ["ldm sp, {r9, r10, r11}", *requantized(_Y, "r11")]
    code += ["strh r6, [r4, #4]", "strh r7, [r4, #8]", "strh r8, [r4, #12]", "strh r5, [r4]"]
    code += ["add r4, r4, r10", "cmp r4, r9", "bne 2b", *(_two_more(stride) if rest else [])]
    code += ["ldrd r4, r5, [sp, #36]", "ldrd r11, r6, [sp, #44]", "ldr r7, [sp, #52]"]
    code += ["add r0, r0, r5", "add r1, r1, r5", "add r2, r2, r5"]
    code += [*next_channel("r4"), "str r4, [sp, #36]", "add r7, r7, r4", "str r7, [sp]", "cmp r11, r6", "bne 1b"]
    code += ["add sp, #56", "pop {r4-r11, pc}"]
    more = ", then two" if rest else ""
    what = f"Depthwise 3x3, stride {_PADDING[stride]}: a row of every channel, four outputs a turn{more}."
    return function(name, what, code)


def _two_more(stride: str) -> Code:
    """The last two outputs of a channel, into the group r4 has come to."""
    code: Code = []
    for row in range(3):
        code += _TWO[stride](_ROWS, row, ["r3"] * 2 if row == 0 else list(_Y))
    code += [f"ldr r11, [sp, #{_MULTIPLIER}]", *requantized(_Y[:2], "r11")]
    return [*code, "strh r5, [r4]", "strh r6, [r4, #4]"]


def depthwise_columns(name: str, stride: str) -> str:
    """``void name(columns, tile, stream_end, stream)``: four outputs of all channels, from three columns of three rows.

    ``stride`` as above. Of the columns one is its own, between its neighbours, at stride 1; at stride 2 two are its
    own, the third stands on the side of the padding.
    """
    given = _columns(first_word=0 if stride == "2_same" else 1)
    code = ["push {r4-r11, lr}", "mov r4, #0", "1:", "ldr r8, [r3], #8"]
    for row in range(3):
        code += _FOUR[stride](given, row, ["r8"] * 4 if row == 0 else list(_Y))
    code += [f"ldr r11, [r3, #{4 - CHANNEL_BYTES}]", "add r4, r4, #4", *requantized(_Y, "r11")]
    code += ["strh r6, [r1, #4]", "strh r7, [r1, #8]", "strh r8, [r1, #12]", "strh r5, [r1]", *next_channel("r1")]
    code += ["cmp r3, r2", "bne 1b", "pop {r4-r11, pc}"]
    what = f"Depthwise 3x3, stride {_PADDING[stride]}: four outputs of every channel, from columns."
    return function(name, what, code)
