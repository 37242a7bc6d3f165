# SPDX-License-Identifier: Apache-2.0
"""Call fields: bodies, tables and figures as a dsp call names them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mbv2gen.dsp.packing import PackedLinear, PackedRelu
from mbv2gen.dsp.streams import General, Stream
from mbv2gen.network import Shape
from mbv2gen.packing.fields import NULL, Fields, StructName, Symbol, TableName, Value
from mbv2gen.packing.tables import Table
from mbv2gen.planning.layouts import Layout, Planes, UInt8Lines
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.planning.work import Work

FEW = "mbv2_few_"
"""Begins the names of bodies that are made of others."""

Structs: TypeAlias = "tuple[tuple[str, str, Fields], ...]"


def symbols(fields: Fields) -> tuple[str, ...]:
    """The bodies that fields name, nested ones too, and those that few bodies are made of."""
    names: set[str] = set()
    for _, value in fields:
        if isinstance(value, Symbol) and value != NULL:
            names.add(value.name)
            if value.name.startswith(FEW):
                names.add(f"mbv2_{made_of(value.name.removeprefix(FEW))}_dsp")
        elif isinstance(value, tuple) and value and isinstance(value[0], tuple):
            names.update(symbols(value))
    return tuple(sorted(names))


@dataclass(frozen=True)
class BodySet:
    """Which inner bodies a program may use: ``few`` different ones, for the least code, or the fastest; ``solver``
    False: none that shares a shift between channels, so that fallback bodies run. ``rests``: forms of depthwise rows
    of which there may be a body for two outputs behind the last group of four."""

    few: bool = False
    solver: bool = True
    rests: frozenset[str] = frozenset()

    def of_group(self, kind: str, suffix: str, width: int) -> list[Value]:
        """Bodies of a group of four pixels and of a row's last one to three."""
        four, rest = 4 if width >= 4 else 0, width % 4
        return [self._body(f"{kind}{pixels}{suffix}") if pixels else NULL for pixels in (four, rest)]

    def of_depthwise_row(self, form: str, width: int) -> tuple[Symbol, int]:
        """The body of a row of ``width`` outputs, and how many it makes behind the last group of four."""
        rest = 2 if leaves_two(width) and form in self.rests and not self.few else 0
        return Symbol(f"mbv2_dw_rows{form}{'_rest2' if rest else ''}_dsp"), rest

    def _body(self, name: str) -> Symbol:
        return Symbol(FEW + name) if self.few and made_of(name) != name else Symbol(f"mbv2_{name}_dsp")


def leaves_two(width: int) -> bool:
    """Whether half of a row's last group of four outputs would be for nothing."""
    return width > 4 and width % 4 in (1, 2)


def made_of(body: str) -> str:
    """The body of four pixels or of one by which mbv2_dsp_few.h does the work of ``body``; itself where there is none.

    To lines words are written whole, and sums are added up from such words; tiles and NHWC are made pixel by pixel.
    """
    kind, pixels, suffix = re.fullmatch(r"(\D+)(\d)(\w*)", body).groups()  # type: ignore[union-attr]  # every body's name has this form
    if kind in ("pw_relu", "pw_gap"):
        return f"pw_relu4{suffix}"
    return body if pixels == "4" else f"{kind}1{suffix}"


FASTEST = BodySet()


def body_suffix(packed: PackedRelu | PackedLinear, own: str = "") -> str:
    """Of the bodies that read a pointwise layer's stream; ``own`` is sh where channels have shifts of their own."""
    letters = ("n" if packed.four_bits else "") + ("x" if packed.unpacked else "") + own
    return f"_{letters}" if letters else ""


def pair_bytes(packed: PackedRelu) -> int:
    """From pair to pair of channels in the stream of the common shift: weights, and of 8 bits four words, of 4 five."""
    return 2 * stream_weights(packed) + 4 * (5 if packed.four_bits else 4)


def stream_weights(packed: PackedRelu | PackedLinear) -> int:
    """Bytes of weights of a channel in a pointwise layer's stream."""
    return len(packed.pairs) * (1 if packed.four_bits else 2)


def named(names: tuple[str, ...], values: list[Value]) -> Fields:
    return tuple(zip(names, values, strict=True))


def table(field: str, stream: Stream) -> Value:
    return TableName(field) if stream.channels else NULL


def general_pointer(general: General) -> Value:
    return StructName("general") if general.positions else NULL


def own_structs(stream: Stream, bodies: list[Value]) -> Structs:
    """The mbv2_own_dsp of a second stream, none where that is empty; ``bodies`` of a group and of the last pixels."""
    if not stream.channels:
        return ()
    fields: Fields = (
        *named(("body", "body_rest"), bodies),
        ("stream", TableName("own_stream")),
        ("channels", stream.channels),
    )
    return (("own", "mbv2_own_dsp", fields),)


def own_pointer(stream: Stream) -> Value:
    return StructName("own") if stream.channels else NULL


def general_structs(general: General, weights: int, form: str, zero_point: int, clamp: tuple[int, int]) -> Structs:
    """The mbv2_general that ``general_pointer`` names; ``form``: which body, ``weights`` bytes a record."""
    if not general.positions:
        return ()
    fields: Fields = (
        ("body", Symbol(f"mbv2_general_{form}_dsp")),
        ("records", TableName("general")),
        ("count", len(general.positions)),
        ("weights", weights),
        ("tile_shift", general.tile_shift),
        ("zero_point", zero_point),
        ("act_min", clamp[0]),
        ("act_max", clamp[1]),
    )
    return (("general", "mbv2_general", fields),)


def tables_of(*parts: tuple[str, Stream | General, int]) -> tuple[Table, ...]:
    """Tables of words; ``weights`` bytes of each channel's words are weights."""
    tables = []
    for field, part, weights in parts:
        if part.data:
            channels = part.channels if isinstance(part, Stream) else len(part.positions)
            tables.append(Table(field, "uint32_t", np.frombuffer(part.data, "<u4"), weights * channels))
    return tuple(tables)


def statistics(statistics: object) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, int(value)) for name, value in vars(statistics).items()))


def grouped(work: Work, inner: str, group: Fields) -> Work:
    """``work`` in columns: its struct with the group's fields behind it."""
    if not group:
        return work
    fields: Fields = ((inner, work.fields), ("group", group))
    return replace(work, struct=work.struct.replace("_dsp", "_columns_dsp"), fields=fields)


def line_of(layout: Layout, shape: Shape) -> tuple[int, int]:
    """Pixels that a unit of a convolution to ``layout`` makes in one go, and bytes from channel to channel."""
    if isinstance(layout, Planes):
        return shape[0] * shape[1], layout.plane_bytes(shape)
    if isinstance(layout, RingColumns4 | WindowColumns4):
        return 4, 4
    return shape[1], layout.line_bytes(shape) if isinstance(layout, UInt8Lines) else 0
