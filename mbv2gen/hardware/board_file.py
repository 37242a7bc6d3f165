# SPDX-License-Identifier: Apache-2.0
"""BoardFile: a board.toml, read and checked."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware.board import Board, Console, Emulator, Memory, Placement, Timer, check_placement
from mbv2gen.resources import firmware_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table: TypeAlias = dict[str, Any]


def _value(table: Table, key: str, kind: type, file: Path) -> Any:
    if key not in table:
        raise Mbv2genError(f"{file}: '{key}' is missing; add it (firmware/boards/mps2-an500 is an example)")
    if not isinstance(table[key], kind) or isinstance(table[key], bool):
        raise Mbv2genError(f"{file}: '{key}' must be a {kind.__name__} (got {table[key]!r})")
    return table[key]


def _flag(table: Table, key: str, file: Path) -> bool:
    if not isinstance(table.get(key, False), bool):
        raise Mbv2genError(f"{file}: '{key}' must be true or false (got {table[key]!r})")
    return bool(table.get(key, False))


def _kind(table: Table, part: str, prefix: str, file: Path) -> str:
    """A kind that firmware/PREFIX_KIND.h implements."""
    kind = _value(table, "kind", str, file)
    if not (firmware_dir() / f"{prefix}_{kind}.h").is_file():
        raise Mbv2genError(
            f"{file}: there is no {part} '{kind}' (firmware/{prefix}_{kind}.h); leave [{part}] out for none"
        )
    return str(kind)


def _timer(table: Table, clock_hz: int, emulator: Emulator | None, file: Path) -> Timer:
    """The ratio of ticks to instructions; icount_shift and the timer's clock decide it, nothing is measured. Without an
    emulator the timer counts the core's cycles."""
    kind = _kind(table, "timer", "timer", file)
    if emulator is None:
        return Timer(kind, base=0, clock_hz=clock_hz, divider=1, numerator=1, shift=0, fine_per_coarse=0)
    divider = _value(table, "divider", int, file)
    coarse_hz = _value(table, "coarse_hz", int, file)
    clock_hz = _value({"clock_hz": clock_hz, **table}, "clock_hz", int, file)
    if divider < 1 or coarse_hz < 1 or clock_hz % (divider * coarse_hz):
        raise Mbv2genError(f"{file}: clock_hz must be a multiple of divider * coarse_hz of the timer")
    ticks = Fraction(clock_hz, divider) * (1 << emulator.icount_shift) / 1_000_000_000
    if ticks < 2:
        raise Mbv2genError(
            f"{file}: {float(ticks):.2f} ticks an instruction are too few (2 are needed); lower 'divider'"
        )
    ratio = 1 / ticks
    if ratio.denominator & (ratio.denominator - 1) or ratio.numerator >= 1 << 16:
        raise Mbv2genError(f"{file}: instructions are not ticks * n / 2**s ({ratio} a tick); choose another 'divider'")
    return Timer(
        kind=kind,
        base=_value(table, "base", int, file),
        clock_hz=clock_hz,
        divider=divider,
        numerator=ratio.numerator,
        shift=ratio.denominator.bit_length() - 1,
        fine_per_coarse=clock_hz // divider // coarse_hz,
    )


def _memories(table: Table, file: Path) -> tuple[Memory, ...]:
    return tuple(
        Memory(
            name, _value(entry, "origin", int, file), _value(entry, "length", int, file), _flag(entry, "volatile", file)
        )
        for name, entry in ((name, _value(table, name, dict, file)) for name in table)
    )


def _emulator(table: Table, file: Path) -> Emulator:
    serial = _value({"serial": 0, **table}, "serial", int, file)
    return Emulator(_value(table, "machine", str, file), _value(table, "icount_shift", int, file), serial)


def _console(table: Table, file: Path) -> Console:
    base, clock_hz = _value(table, "base", int, file), _value(table, "clock_hz", int, file)
    baud = _value({"baud": 115_200, **table}, "baud", int, file)
    pins = (_value({name: 0, **table}, name, int, file) for name in ("pin", "rx_pin"))
    return Console(_kind(table, "console", "uart", file), base, clock_hz, baud, *pins)


def _placement(table: Table, file: Path) -> Placement:
    code, data = _value(table, "code", str, file), _value(table, "data", str, file)
    boot = _value({"boot": code, **table}, "boot", str, file)
    arena = _value({"arena": data, **table}, "arena", str, file)
    return Placement(boot, code, tuple(_value(table, "weights", list, file)), data, arena)


def read(file: Path) -> Board:
    """The board that a board.toml describes. Mbv2genError where it cannot be read or does not fit together."""
    try:
        table: Table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mbv2genError(f"{file}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Mbv2genError(f"{file}: not a TOML file ({error})") from None
    emulator = _emulator(_value(table, "emulator", dict, file), file) if "emulator" in table else None
    clock_hz = _value(table, "clock_hz", int, file)
    settings = _value({"soc": {}, **table}, "soc", dict, file)
    board = Board(
        name=_value(table, "name", str, file),
        core=_value(table, "core", str, file),
        flags=tuple(_value(table, "flags", list, file)),
        clock_hz=clock_hz,
        stack_bytes=_value(table, "stack_bytes", int, file),
        memories=_memories(_value(table, "memory", dict, file), file),
        place=_placement(_value(table, "place", dict, file), file),
        emulator=emulator,
        timer=_timer(table["timer"], clock_hz, emulator, file) if "timer" in table else None,
        console=_console(table["console"], file) if "console" in table else None,
        soc=_value(settings, "name", str, file) if settings else None,
        settings=tuple((key, _value(settings, key, int, file)) for key in settings if key != "name"),
        pyocd=_value(table, "pyocd", str, file) if "pyocd" in table else None,
    )
    if not board.place.weights:
        raise Mbv2genError(f"{file}: [place] names no memory for the weights")
    if board.soc is not None and not (firmware_dir() / f"soc_{board.soc}.c").is_file():
        raise Mbv2genError(
            f"{file}: there is no soc '{board.soc}' (firmware/soc_{board.soc}.c); leave [soc] out for none"
        )
    return check_placement(board, f"{file}: [place]")
