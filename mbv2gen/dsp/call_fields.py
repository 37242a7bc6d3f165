"""Call fields: bodies, tables and figures as a dsp call names them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from mbv2gen.dsp.streams import General, Stream
from mbv2gen.packing.fields import NULL, Fields, StructName, Symbol, TableName, Value
from mbv2gen.packing.tables import Table

Structs: TypeAlias = "tuple[tuple[str, str, Fields], ...]"


def symbols(fields: Fields) -> tuple[str, ...]:
    """The bodies that fields name, nested ones too."""
    names: set[str] = set()
    for _, value in fields:
        if isinstance(value, Symbol) and value != NULL:
            names.add(value.name)
        elif isinstance(value, tuple) and value and isinstance(value[0], tuple):
            names.update(symbols(value))
    return tuple(sorted(names))


def group_bodies(kind: str, suffix: str, width: int) -> list[Value]:
    """Bodies of a group of four pixels and of a row's last one to three."""
    four: Value = Symbol(f"mbv2_{kind}4{suffix}_dsp") if width >= 4 else NULL
    rest: Value = Symbol(f"mbv2_{kind}{width % 4}{suffix}_dsp") if width % 4 else NULL
    return [four, rest]


def named(names: tuple[str, ...], values: list[Value]) -> Fields:
    return tuple(zip(names, values, strict=True))


def table(field: str, stream: Stream) -> Value:
    return TableName(field) if stream.channels else NULL


def general_pointer(general: General) -> Value:
    return StructName("general") if general.positions else NULL


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
