# SPDX-License-Identifier: Apache-2.0
"""The ``dsp`` family's bodies for vectors: fully connected layers, residual addition, requantization, mean."""

from __future__ import annotations

from mbv2gen.dsp.assembly import Code, function, groups_loads
from mbv2gen.dsp.shifts import ADD_SHIFT

_SUMS = tuple(f"r{2 + k}" for k in range(8))
_ODD, _EVEN = _SUMS[1::2], _SUMS[::2]
_TURN = 4  # pairs of inputs


def fully_connected(name: str, core: str) -> str:
    """``void name(stream, x, out, out_end)``: eight int32 accumulators a turn, weights packed as pointwise ones.

    x: words of two uint8 in int16, then -1 (fold here and go on) or -2 (fold here: the end). A fold takes
    acc1 = (B - A) >> 8 out of the odd accumulators and adds it to sums on the stack, so that only the part of K between
    two folds has to stay under 2^23. The even accumulators go on; the odd ones start again from them (acc1 = 0).

    r0 stream, r1 x, r2-r9 accumulators, r10 r11 weights, r12 their extension, lr two inputs.
    Stack: 0 out, 4 end of out, 8 x, 12..27 sums of the odd outputs.
    """
    code = ["push {r4-r11, lr}", "sub sp, #28", "strd r2, r3, [sp]", "str r1, [sp, #8]", "1:"]
    code += ["mov r10, #0", "mov r11, #0", "strd r10, r11, [sp, #12]", "strd r10, r11, [sp, #20]"]
    code += ["ldm r0!, {r2-r9}", "2:", "ldr lr, [r1], #4", "3:"]
    for _ in range(_TURN):
        code += [*_eight_outputs(core), "ldr lr, [r1], #4"]
    code += ["cmp lr, #0", "bge 3b"]
    code += [f"sub {odd}, {odd}, {even}" for even, odd in zip(_EVEN, _ODD, strict=True)]
    code += ["ldrd r10, r11, [sp, #12]"]
    code += ["add r3, r10, r3, asr #8", "add r5, r11, r5, asr #8", "ldrd r10, r11, [sp, #20]"]
    code += ["add r7, r10, r7, asr #8", "add r9, r11, r9, asr #8"]
    code += ["cmn lr, #1", "bne 4f", "strd r3, r5, [sp, #12]", "strd r7, r9, [sp, #20]"]
    code += [f"mov {odd}, {even}" for even, odd in zip(_EVEN, _ODD, strict=True)]
    code += ["b 2b", "4:", "ldrd r10, r11, [sp]", "ldr r1, [sp, #8]", "stm r10!, {r2-r9}", "str r10, [sp]"]
    code += ["cmp r10, r11", "bne 1b", "add sp, #28", "pop {r4-r11, pc}"]
    return function(name, "Fully connected: eight int32 accumulators a turn, folded where x says so.", code)


def _eight_outputs(core: str) -> Code:
    """Two inputs times eight outputs: four words of weights."""
    code: Code = []
    for half in range(2):
        a, b, c, d = _SUMS[4 * half : 4 * half + 4]
        first, second = [f"smlad {a}, lr, r12, {a}", f"smlad {b}, lr, r10, {b}"], [
            f"smlad {c}, lr, r12, {c}", f"smlad {d}, lr, r11, {d}"]  # fmt: skip
        code.append("ldrd r10, r11, [r0], #8")
        if groups_loads(core):
            code += ["sxtb16 r12, r10", *first, "sxtb16 r12, r11", *second]
        else:  # the raw word's MAC needs no extension: it goes between load and use
            code += ["sxtb16 r12, r10", first[1], first[0], "sxtb16 r12, r11", second[1], second[0]]
    return code


def fully_connected_four_bits(name: str) -> str:
    """``void name(stream, x, out, out_end)``: as fully_connected, weights of 4 bits (dsp/pointwise_sums.py says how).

    A word holds four outputs times two inputs. Sums start from 0 after every fold, where they are added to the words of
    ``out``, which begin as the biases: an even output's 256 * acc, an odd one's acc1 + acc0 / 16.

    r0 stream, r1 x, r2-r9 accumulators, r10 weights, r11 mask, r12 their halves, lr two inputs.
    Stack: 0 out, 4 end of out, 8 x.
    """
    code = ["push {r4-r11, lr}", "sub sp, #12", "strd r2, r3, [sp]", "str r1, [sp, #8]", "1:"]
    code += ["ldr r12, [sp]", "ldm r0!, {r2-r9}", "stm r12, {r2-r9}", "2:", "mov r11, #0xf000f000"]
    code += [*(f"mov {acc}, #0" for acc in _SUMS), "ldr lr, [r1], #4", "3:"]
    for _ in range(_TURN):
        for a, b, c, d in (_SUMS[:4], _SUMS[4:]):
            code += ["ldr r10, [r0], #4", "sxtb16 r12, r10", f"smlad {b}, lr, r12, {b}"]
            code += ["and r12, r11, r10, lsl #12", f"smlad {a}, lr, r12, {a}"]
            code += ["sxtb16 r12, r10, ror #8", f"smlad {d}, lr, r12, {d}"]
            code += ["and r12, r11, r10, lsl #4", f"smlad {c}, lr, r12, {c}"]
        code.append("ldr lr, [r1], #4")
    code += ["cmp lr, #0", "bge 3b", "ldr r12, [sp]"]
    for even, odd in zip(_EVEN, _ODD, strict=True):
        code += ["ldrd r10, r11, [r12]", f"sub {odd}, {odd}, {even}, asr #12", f"add r10, r10, {even}, asr #8"]
        code += [f"add r11, r11, {odd}", "strd r10, r11, [r12], #8"]
    code += ["cmn lr, #1", "beq 2b", "ldr r10, [sp, #4]", "ldr r1, [sp, #8]", "str r12, [sp]"]
    code += ["cmp r12, r10", "bne 1b", "add sp, #12", "pop {r4-r11, pc}"]
    return function(name, "Fully connected, two weights a byte: eight int32 sums a turn, added where x says.", code)


def add(name: str) -> str:
    """``void name(x0, x1, constants, x0_end)``: q = SSAT8((A * x0 + B * x1 + C) >> 22) into x0, four values a turn.

    Bytes are loaded and stored singly: fewer instructions than unpacking words, and no alignment needed.
    r0 x0, r1 x1, r3 end, r4-r6 A B C, r2 r7 r8 r9 x0 and results, r10 r11 r12 lr x1.
    """
    x, y = ("r2", "r7", "r8", "r9"), ("r10", "r11", "r12", "lr")
    code = ["push {r4-r11, lr}", "ldm r2, {r4, r5, r6}", "1:"]
    code += ["ldrsb r2, [r0]", *[f"ldrsb {x[k]}, [r0, #{k}]" for k in (1, 2, 3)]]
    code += [*[f"ldrsb {y[k]}, [r1, #{k}]" for k in (1, 2, 3)], "ldrsb r10, [r1], #4"]
    code += [f"mla {a}, {a}, r4, r6" for a in x]
    code += [f"mla {a}, {b}, r5, {a}" for a, b in zip(x, y, strict=True)]
    code += [f"ssat {a}, #8, {a}, asr #{ADD_SHIFT}" for a in x]
    code += [*[f"strb {x[k]}, [r0, #{k}]" for k in (1, 2, 3)], "strb r2, [r0], #4", "cmp r0, r3", "bne 1b"]
    return function(name, "Residual addition by two multiplications, in place.", [*code, "pop {r4-r11, pc}"])


def requantization(name: str) -> str:
    """``void name(accumulators, args, out, out_end)``: int32 -> int8 for any zero point, each with its own multiplier.

    As dsp/pointwise.py's linear outputs, C = (2 * zero_point + 1) << (rs - 1); shifting by rs is by rs - 1, then by 1.
    r0 accumulators, r1 multipliers, r4 shifts (rs - 1), r5 2 * zero_point + 1, r2 out, r3 its end.
    """
    code = ["push {r4-r9, lr}", "ldm r1, {r1, r4, r5}", "1:"]
    code += ["ldr r6, [r0], #4", "ldr r7, [r1], #4", "ldrb r8, [r4], #1"]
    code += ["lsl r9, r5, r8", "add r9, r9, r6, asr #31", "lsl r6, r6, #1", "smmlar r6, r6, r7, r9"]
    code += ["asr r6, r6, r8", "ssat r6, #8, r6, asr #1", "strb r6, [r2], #1", "cmp r2, r3", "bne 1b"]
    return function(name, "Requantization of int32 to int8, any zero point.", [*code, "pop {r4-r9, pc}"])


def mean(name: str) -> str:
    """``void name(sums, args, out, out_end)``: int32 sums of a plane -> int8. One multiplier M, constant C and shift rs
    for all; two a turn.

    r0 sums, r4 M, r5 C, r6 rs, r2 out, r3 its end.
    """
    code = ["push {r4-r9, lr}", "ldm r1, {r4, r5, r6}", "1:", "ldrd r7, r8, [r0], #8"]
    for x in ("r7", "r8"):
        code += [f"add r9, r5, {x}, asr #31", f"lsl {x}, {x}, #1", f"smmlar {x}, {x}, r4, r9"]
        code += [f"asr {x}, {x}, r6", f"ssat {x}, #8, {x}"]
    code += ["strb r8, [r2, #1]", "strb r7, [r2], #2", "cmp r2, r3", "bne 1b"]
    return function(name, "Means from sums, int8, two a turn.", [*code, "pop {r4-r9, pc}"])
