# SPDX-License-Identifier: Apache-2.0
"""Sums of the pointwise bodies: the loop over the input channels, for two output channels times one to four pixels.

Packed weights. A halfword holds two weights, h = 256 * w1 + w0 (w0, w1 in -127..127). SMLAD on a word of two halfwords
gives B = 256 * acc1 + acc0, SMLAD on its SXTB16 (the low bytes of h, sign-extended: w0) gives A = acc0, so
B - A = 256 * acc1 modulo 2^32: exact where |acc1| < 2^23. One extension serves 16 multiplications.

Unpacked weights: a word of bytes w0[k], w1[k], w0[k+1], w1[k+1]; SXTB16 gives w0's pair, SXTB16 ROR #8 w1's.

Weights of 4 bits: a word of bytes e = 16 * w1 + w0, of which 0 and 2 go with one pair of inputs, 1 and 3 with the next.
SXTB16 (ROR #8) gives e, whose sum is B = 16 * acc1 + acc0; the low halves shifted to the top of halfwords and masked
are 4096 * w0, whose sum is A = 4096 * acc0, so that acc1 = (B - (A >> 12)) / 16. Canonical weights are sixteen times as
large (quantized_network.py): A is then y0 = 256 * acc0, and B - (A >> 12) is acc1. Unpacked, for acc0 that are too wide
for that, the low halves are masked in bytes and extended: A is acc0, and B - (A >> 4) is acc1.

Four pixels leave two registers to weights of 4 bits, so that their word is loaded once a pair. Fewer leave more: r10 is
the word, r9 the mask, and one register (r11, of three pixels lr) holds what is multiplied, first for B, then for A;
three pixels are r5, r11 and r12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbv2gen.dsp.assembly import Code, groups_loads
from mbv2gen.dsp.shifts import PACKED_SHIFT, UNPACKED_SHIFT

_FIRST = ("r2", "r3", "r4", "r5")
_SECOND = ("r6", "r7", "r8", "r9")
_TURN = 4  # pairs of input channels a turn of the loop
_TILE_PAIR_BYTES = 16
_MASK = "r9"


@dataclass(frozen=True)
class Pointwise:
    """One body. ``output``: lines (ReLU, uint8 words of four pixels), sums (ReLU, added to int32), nhwc (linear, int8),
    accumulators (what comes before an output, added to int32).

    ``own_shifts``: each channel shifts by its own amount from the end word (packed ReLU; linear bodies always do).
    ``head``: pairs of input channels in the peeled first turn: there are 4 n of them, or 4 n + 2 where head is 2.
    """

    output: str
    pixels: int
    packed: bool = True
    own_shifts: bool = False
    head: int = _TURN
    four_bits: bool = False

    @property
    def first(self) -> tuple[str, ...]:
        return _FIRST[: self.pixels]

    @property
    def second(self) -> tuple[str, ...]:
        return _SECOND[: self.pixels]

    @property
    def bias_in_end(self) -> bool:
        """Whether the first channel's bias stands in the END word."""
        return self.packed and not self.four_bits and not self.own_shifts and self.output in ("lines", "sums")

    @property
    def keeps_mask(self) -> bool:
        """Whether a register is left for the mask that takes weights of 4 bits out of a word."""
        return self.four_bits and self.pixels < 4

    @property
    def halves_mask(self) -> str:
        """What takes the low halves of bytes, shifted up, out of a word of weights of 4 bits."""
        return "#0xf000f000" if self.packed else "#0xf0f0f0f0"

    @property
    def common_shift(self) -> int:
        return PACKED_SHIFT if self.packed else UNPACKED_SHIFT


def mask(body: Pointwise) -> Code:
    """What comes before the first turn."""
    return [f"mov {_MASK}, {body.halves_mask}"] if body.keeps_mask else []


def accumulation(core: str, body: Pointwise) -> Code:
    """All input channels of a channel pair. The first turn starts the accumulators from the bias, which waits in the
    last accumulator of each channel because that one is written last; from 0 where the bias comes at the end."""
    if body.bias_in_end:
        code = [f"ldrd {body.second[-1]}, r10, [r0], #8"]
    else:
        code = [f"ldrd {body.first[-1]}, {body.second[-1]}, [r0], #8", "ldr r10, [r0], #4"]
    for k in range(body.head):
        code += _pair(core, body, odd=k % 2 == 1, start=k == 0)
    code += ["cmn r10, #0x7f800000", "blt 3f", "2:"]
    for k in range(_TURN):
        code += _pair(core, body, odd=k % 2 == 1, start=False)
    return [*code, "cmn r10, #0x7f800000", "bge 2b", "3:"]


@dataclass(frozen=True)
class _Weights:
    """Registers that the MACs of both channels read, how they are made, and what loads the next words."""

    first: str
    second: str
    extend: tuple[str, ...]
    load_next: str


def _pair(core: str, body: Pointwise, odd: bool, start: bool) -> Code:
    """Two input channels: 4 MACs a pixel. Packed: the raw word and its extension change registers from pair to pair, so
    that the next word can be loaded as soon as the extension has been used."""
    if body.keeps_mask:
        return _pair_of_few_pixels(body, odd, start)
    if body.four_bits:
        bytes_ = ", ror #8" if odd else ""
        halves = (f"lsl r10, r10, #{_up(body, odd)}", f"and r10, r10, {body.halves_mask}")
        extend = (f"sxtb16 r11, r10{bytes_}", *halves, *(() if body.packed else (f"sxtb16 r10, r10{bytes_}",)))
        return _blocks(core, body, _Weights("r10", "r11", extend, f"ldr r10, [r0{'], #4' if odd else ', #-4]'}"), start)
    if body.packed:
        raw, low = ("r11", "r10") if odd else ("r10", "r11")
        return _blocks(core, body, _Weights(low, raw, (f"sxtb16 {low}, {raw}",), f"ldr {low}, [r0], #4"), start)
    both = ("sxtb16 r11, r10", "sxtb16 r10, r10, ror #8")
    return _blocks(core, body, _Weights("r11", "r10", both, "ldr r10, [r0], #4"), start)


def _up(body: Pointwise, odd: bool) -> int:
    """By how much the low halves of a word's bytes are shifted up, before the mask."""
    return 12 if body.packed and not odd else 4


def _blocks(core: str, body: Pointwise, weights: _Weights, start: bool) -> Code:
    """A pair, as many pixels at a time as two registers hold."""
    code: Code = []
    done = 0
    for load, registers in _pixel_loads(body.pixels):
        pixels = range(done, done + len(registers))
        block = _Block(
            load=load,
            extend=() if done else weights.extend,
            first=_first(body, pixels, registers, weights.first, start),
            second=_second(body, pixels, registers, weights.second, start),
            load_next=(weights.load_next,) if pixels.stop == body.pixels else (),
        )
        done = pixels.stop
        code += _scheduled(core, body.packed or body.four_bits, block)
    return code


_FEW_PIXELS: dict[int, tuple[str, tuple[str, ...], str]] = {  # load, pixels, weights
    3: ("ldm r1!, {r5, r11, r12, lr}", ("r5", "r11", "r12"), "lr"),
    2: (f"ldrd r12, lr, [r1], #{_TILE_PAIR_BYTES}", ("r12", "lr"), "r11"),
    1: (f"ldr r12, [r1], #{_TILE_PAIR_BYTES}", ("r12",), "r11"),
}


def _pair_of_few_pixels(body: Pointwise, odd: bool, start: bool) -> Code:
    """Weights of 4 bits, one to three pixels: first B, then A. Of the four words that three pixels load the last is
    none of theirs."""
    load, registers, weights = _FEW_PIXELS[body.pixels]
    bytes_ = ", ror #8" if odd else ""
    pixels = range(body.pixels)
    code = [load, f"sxtb16 {weights}, r10{bytes_}", *_second(body, pixels, registers, weights, start)]
    code.append(f"and {weights}, {_MASK}, r10, lsl #{_up(body, odd)}")
    code += [
        *([] if body.packed else [f"sxtb16 {weights}, {weights}{bytes_}"]),
        *(["ldr r10, [r0], #4"] if odd else []),
    ]
    return [*code, *_first(body, pixels, registers, weights, start)]


def _first(body: Pointwise, pixels: range, registers: Sequence[str], weights: str, start: bool) -> tuple[str, ...]:
    """The first channel's MACs, ``start`` from the bias."""
    sums = [(body.first[p], x) for p, x in zip(pixels, registers, strict=True)]
    if start and body.bias_in_end:
        return tuple(f"smuad {a}, {x}, {weights}" for a, x in sums)
    return tuple(f"smlad {a}, {x}, {weights}, {body.first[-1] if start else a}" for a, x in sums)


def _second(body: Pointwise, pixels: range, registers: Sequence[str], weights: str, start: bool) -> tuple[str, ...]:
    sums = [(body.second[p], x) for p, x in zip(pixels, registers, strict=True)]
    return tuple(f"smlad {b}, {x}, {weights}, {body.second[-1] if start else b}" for b, x in sums)


def _pixel_loads(pixels: int) -> list[tuple[str, tuple[str, ...]]]:
    """The tile's words of one pair of input channels: [4 pixels][2] int16, one word a pixel."""
    if pixels == 1:
        return [(f"ldr r12, [r1], #{_TILE_PAIR_BYTES}", ("r12",))]
    if pixels == 2:
        return [(f"ldrd r12, lr, [r1], #{_TILE_PAIR_BYTES}", ("r12", "lr"))]
    two = ("ldrd r12, lr, [r1], #8", ("r12", "lr"))
    return [two, two] if pixels == 4 else [two, ("ldr r12, [r1], #8", ("r12",))]


@dataclass(frozen=True)
class _Block:
    """One load of pixels and its MACs, in the order they may stand: ``extend`` and ``load_next`` may be empty."""

    load: str
    extend: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]
    load_next: tuple[str, ...]


def _scheduled(core: str, first_before: bool, block: _Block) -> Code:
    """The next weights go to a register that the first channel's MACs (packed, 4 bits) or the second's (unpacked) read:
    they come before it."""
    if groups_loads(core):
        return [block.load, *block.extend, *block.first, *block.second, *block.load_next]
    if not block.load_next:
        pairs = zip(block.second, block.first, strict=True)  # packed, the second channel's need no extension
        return [block.load, *block.extend, *(mac for pair in pairs for mac in pair)]
    before, after = (block.first, block.second) if first_before else (block.second, block.first)
    return [block.load, *block.extend, *before, *block.load_next, *after]
