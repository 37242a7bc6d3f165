# SPDX-License-Identifier: Apache-2.0
"""Tiles of the ``dsp`` family: int8 NHWC pixels -> int16 pairs of channels, as SMLAD multiplies them.

A tile is [pair of channels][4 pixels][2] int16, 16 bytes a pair; a group of fewer than four pixels uses the first ones
and leaves the others. Which two channels stand in a pair is the order the weight streams follow: ``expand_pairs``,
``byte_pairs``, STEM3_PAIRS, STEM1_PAIRS.
"""

from __future__ import annotations

from mbv2gen.dsp.assembly import Code, function

Pairs = tuple[tuple[int, int], ...]

NOTHING = -1
"""A half of a pair that holds no channel: its weight is 0, its value is anything."""

STEM3_PAIRS: Pairs = (
    *((9 * row + k, 9 * row + k + 2) for row in range(3) for k in (0, 1, 4, 5)),
    (8, 17),
    (26, NOTHING),
)
"""im2col3: 3x3x3 window values (row * 9 + column * 3 + channel), 14 pairs."""

STEM1_PAIRS: Pairs = tuple(pair for row in range(3) for pair in ((3 * row, 3 * row + 2), (3 * row + 1, NOTHING)))
"""im2col1: 3x3x1 window values (row * 3 + column), 6 pairs."""


def expand_pairs(channels: int) -> Pairs:
    """expand_tile and expand_tile_s: (c, c+2), (c+1, c+3), as SXTB16 takes them; ``channels`` a multiple of 4."""
    return tuple(pair for c in range(0, channels, 4) for pair in ((c, c + 2), (c + 1, c + 3)))


def byte_pairs(channels: int) -> Pairs:
    """expand_bytes and the depthwise tile: neighbours; an odd last channel stands with NOTHING."""
    return tuple((c, c + 1 if c + 1 < channels else NOTHING) for c in range(0, channels, 2))


_POINTERS = ("r0", "r4", "r5", "r6")
_WORDS = ("r7", "r8", "r9", "r10")


def _pixel_pointers(pixels: int) -> Code:
    return [f"add {_POINTERS[p]}, {_POINTERS[p - 1]}, r1" for p in range(1, pixels)]


def _store_pair(values: tuple[str, ...]) -> Code:
    """One pair of channels of all pixels, r2 to the next pair."""
    if len(values) == 1:
        return [f"str {values[0]}, [r2], #16"]
    if len(values) == 2:
        return [f"strd {values[0]}, {values[1]}, [r2], #16"]
    rest = f"strd {values[2]}, {values[3]}, [r2], #8" if len(values) == 4 else f"str {values[2]}, [r2], #8"
    return [f"strd {values[0]}, {values[1]}, [r2], #8", rest]


def _loop(body: Code) -> Code:
    return ["1:", *body, "cmp r2, r3", "bne 1b", "pop {r4-r11, pc}"]


def expand_tile(name: str, pixels: int) -> str:
    """Values -128..127, four channels a turn. r0 pixels, r1 bytes between them, r2 tile, r3 its end."""
    words = _WORDS[:pixels]
    turn = [f"ldr {w}, [{p}], #4" for p, w in zip(_POINTERS, words, strict=False)]
    for k in range(0, pixels, 2):  # the even channels through r11 and r12: the words are still needed
        two = words[k : k + 2]
        turn += [f"sxtb16 {t}, {w}" for t, w in zip(("r11", "r12"), two, strict=False)]
        advance = 8 if pixels > 2 else 16
        turn.append(f"strd r11, r12, [r2], #{advance}" if len(two) == 2 else f"str r11, [r2], #{advance}")
    turn += [f"sxtb16 {w}, {w}, ror #8" for w in words] + _store_pair(words)
    code = ["push {r4-r11, lr}", *_pixel_pointers(pixels), *_loop(turn)]
    return function(name, f"int8 NHWC -> int16 tile, {pixels} pixels, 4 channels a turn.", code)


def expand_tile_scaled(name: str, pixels: int) -> str:
    """Values (x + 128) << 7 (0..32640), for unpacked weights. Registers as above; r1 sign bits, r12 mask, r11 lr."""
    words = _WORDS[:pixels]
    turn = [f"ldr {w}, [{p}], #4" for p, w in zip(_POINTERS, words, strict=False)]
    turn += [f"eor {w}, {w}, r1" for w in words]
    for k in range(0, pixels, 2):
        two = words[k : k + 2]
        turn += [f"and {t}, r12, {w}, lsl #7" for t, w in zip(("r11", "lr"), two, strict=False)]
        advance = 8 if pixels > 2 else 16
        turn.append(f"strd r11, lr, [r2], #{advance}" if len(two) == 2 else f"str r11, [r2], #{advance}")
    turn += [f"and {w}, r12, {w}, lsr #1" for w in words] + _store_pair(words)
    constants = ["mov r1, #0x80808080", "mov r12, #0x7f80", "movt r12, #0x7f80"]
    code = ["push {r4-r11, lr}", *_pixel_pointers(pixels), *constants, *_loop(turn)]
    return function(name, f"int8 NHWC -> int16 tile of (x + 128) << 7, {pixels} pixels, 4 channels a turn.", code)


def expand_bytes(name: str, pixels: int) -> str:
    """Any number of channels at any address, two a turn: bytes are loaded singly."""
    turn: Code = []
    values = ("r7", "r8", "r9", "r10")[:pixels]
    for pointer, value in zip(_POINTERS, values, strict=False):
        turn += [f"ldrsb r11, [{pointer}, #1]", f"ldrsb {value}, [{pointer}], #2"]
        turn.append(f"pkhbt {value}, {value}, r11, lsl #16")
    code = ["push {r4-r11, lr}", *_pixel_pointers(pixels), *_loop(turn + _store_pair(values))]
    return function(name, f"int8 NHWC -> int16 tile, {pixels} pixels, any number of channels, any alignment.", code)


_COLUMNS = ("r4", "r5", "r6", "r7", "r8", "r9", "r10")  # words of a row


def _rotated(register: str, word: str, byte: int) -> str:
    """int16 halves: byte ``byte`` of the word and the byte two further (modulo 4)."""
    turn = 8 * (byte % 4)
    return f"sxtb16 {register}, {word}" + (f", ror #{turn}" if turn else "")


def _byte(register: str, word: str, byte: int) -> str:
    return f"sxtb {register}, {word}" + (f", ror #{8 * byte}" if byte else "")


def _pair_of_bytes(at: int, offset: int) -> Code:
    """The pair (byte at, byte at + 2) of a row held in words -> tile offset. Where they stand in two words, both are
    brought to the bottom halves and packed."""
    word, byte = divmod(at, 4)
    if byte < 2:
        return [_rotated("r11", _COLUMNS[word], byte), f"str r11, [r3, #{offset}]"]
    return [
        _rotated("r11", _COLUMNS[word], byte),
        _rotated("r12", _COLUMNS[word + 1], byte - 2),
        "pkhbt r11, r11, r12, lsl #16",
        f"str r11, [r3, #{offset}]",
    ]


def _two_pairs_of_bytes(at: int, offset: int, next_offset: int) -> Code:
    """Pairs (at, at + 2) and (at + 4, at + 6); the word in the middle is extended once for both."""
    word, byte = divmod(at, 4)
    if byte < 2:
        return _pair_of_bytes(at, offset) + _pair_of_bytes(at + 4, next_offset)
    return [
        *_pair_of_bytes(at, offset),
        _rotated("r11", _COLUMNS[word + 2], byte),
        "pkhtb r11, r11, r12, asr #16",
        f"str r11, [r3, #{next_offset}]",
    ]


def im2col3(name: str, lead: int) -> str:
    """Four 3x3x3 windows at stride 2 (6 bytes) whose first byte is ``lead`` (0 or 1) bytes behind a word.

    r0-r2: the words of the three rows; r3: tile of STEM3_PAIRS. Each row is loaded whole, seven words. Rows take turns:
    the next one comes to r0, and 0 behind the last; lr is where their last bytes go.
    """
    code = ["push {r4-r11, lr}", "add lr, r3, #192", "1:", "ldm r0, {r4-r10}"]
    for window in range(4):
        at, to = lead + 6 * window, 4 * window
        code += _two_pairs_of_bytes(at, to, to + 32) + _two_pairs_of_bytes(at + 1, to + 16, to + 48)
        word, byte = divmod(at + 8, 4)
        code += [_byte("r11", _COLUMNS[word], byte), f"strh r11, [lr, #{4 * window}]"]
    code += ["adds r3, #64", "add lr, lr, #2", "movs r0, r1", "mov r1, r2", "mov r2, #0", "beq 2f"]
    code += ["cmp r1, #0", "it eq", "addeq lr, lr, #12", "b 1b", "2:", "pop {r4-r11, pc}"]
    return function(name, f"Four 3x3x3 windows at stride 2 -> tile; rows start {lead} bytes behind a word.", code)


def im2col1(name: str, lead: int) -> str:
    """Four 3x3x1 windows at stride 2 whose first byte is ``lead`` (0..3) bytes behind a word; as im2col3, 6 pairs."""
    code = ["push {r4-r11, lr}"]
    for row in range(3):
        code.append(f"ldm r{row}, {{r4-r6}}")
        for window in range(4):
            at, to = lead + 2 * window, 32 * row + 4 * window
            word, byte = divmod(at + 1, 4)
            code += _pair_of_bytes(at, to)
            code += [_byte("r11", _COLUMNS[word], byte), f"str r11, [r3, #{to + 16}]"]
    return function(name, f"Four 3x3x1 windows at stride 2 -> tile; rows start {lead} bytes behind a word.",
                    [*code, "pop {r4-r11, pc}"])  # fmt: skip


def im2col3_bytes(name: str) -> str:
    """im2col3 for rows at any address: r0-r2 the first bytes. One window a turn, lr the tile's fourth window."""
    code = ["push {r4-r11, lr}", "add lr, r3, #16", "1:"]
    for row in range(3):
        code += [f"ldrsb r{4 + k}, [r{row}, #{k + 1}]" for k in range(8)]
        code.append(f"ldrsb r12, [r{row}], #6")
        code += [f"pkhbt {a}, {a}, {b}, lsl #16" for a, b in (("r12", "r5"), ("r4", "r6"), ("r7", "r9"), ("r8", "r10"))]
        code += [f"str {a}, [r3, #{64 * row + 16 * k}]" for k, a in enumerate(("r12", "r4", "r7", "r8"))]
        code.append(f"strh r11, [r3, #{(192, 194, 208)[row]}]")
    code += ["adds r3, #4", "cmp r3, lr", "bne 1b", "pop {r4-r11, pc}"]
    return function(name, "Four 3x3x3 windows at stride 2 -> tile; rows at any address.", code)


def im2col1_bytes(name: str) -> str:
    """im2col1 for rows at any address."""
    code = ["push {r4-r6, lr}", "add lr, r3, #16", "1:"]
    for row in range(3):
        code += [f"ldrsb r5, [r{row}, #1]", f"ldrsb r6, [r{row}, #2]", f"ldrsb r4, [r{row}], #2"]
        code += ["pkhbt r4, r4, r6, lsl #16", f"str r4, [r3, #{32 * row}]", f"str r5, [r3, #{32 * row + 16}]"]
    code += ["adds r3, #4", "cmp r3, lr", "bne 1b", "pop {r4-r6, pc}"]
    return function(name, "Four 3x3x1 windows at stride 2 -> tile; rows at any address.", code)
