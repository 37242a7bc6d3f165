"""Boards: what firmware/boards/NAME/board.toml says about a board."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from mbv2gen.errors import Mbv2genError
from mbv2gen.resources import firmware_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WITHOUT_MPU = frozenset({"cortex-m0"})

Table: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Memory:
    """Addresses [origin, origin + length), bytes."""

    name: str
    origin: int
    length: int


@dataclass(frozen=True)
class Timer:
    """A timer that counts instructions when each of them takes 2**icount_shift ns.

    ``kind`` names firmware/timer_KIND.h. The timer counts at clock / ``divider``, and
    instructions = ticks * numerator / 2**shift exactly; at least two ticks an instruction, so that rounding is exact.
    A second one, ``fine_per_coarse`` times as slow, counts how often the first one wraps.
    """

    kind: str
    base: int
    divider: int
    numerator: int
    shift: int
    fine_per_coarse: int


@dataclass(frozen=True)
class Emulator:
    """QEMU's machine, and the virtual time of one instruction: 2**icount_shift ns."""

    machine: str
    icount_shift: int


@dataclass(frozen=True)
class Board:
    """A board. ``code`` and ``data`` name memories; ``weights`` names them in the order to be tried."""

    name: str
    core: str
    flags: tuple[str, ...]
    clock_hz: int
    stack_bytes: int
    memories: tuple[Memory, ...]
    code: str
    weights: tuple[str, ...]
    data: str
    emulator: Emulator
    timer: Timer | None

    def memory(self, name: str) -> Memory:
        return next(m for m in self.memories if m.name == name)

    @property
    def stack_guard_bytes(self) -> int:
        """Below the stack, for the memory protection unit, where the core has one; a power of two."""
        return 0 if self.core in WITHOUT_MPU else 256

    @property
    def ram_bytes(self) -> int:
        """The memory that holds arena, stack and all variables."""
        return self.memory(self.data).length

    @property
    def flash_bytes(self) -> int:
        """The largest memory that the weights can lie in."""
        return max(self.memory(name).length for name in self.weights)


def _value(table: Table, key: str, kind: type, file: Path) -> Any:
    if key not in table:
        raise Mbv2genError(f"{file}: '{key}' is missing; add it (firmware/boards/mps2-an500 is an example)")
    if not isinstance(table[key], kind) or isinstance(table[key], bool):
        raise Mbv2genError(f"{file}: '{key}' must be a {kind.__name__} (got {table[key]!r})")
    return table[key]


def _timer(table: Table, clock_hz: int, icount_shift: int, file: Path) -> Timer:
    """The ratio of ticks to instructions; icount_shift and the clock decide it, nothing is measured."""
    divider = _value(table, "divider", int, file)
    coarse_hz = _value(table, "coarse_hz", int, file)
    kind = _value(table, "kind", str, file)
    if not (firmware_dir() / f"timer_{kind}.h").is_file():
        raise Mbv2genError(f"{file}: there is no timer '{kind}' (firmware/timer_{kind}.h); leave [timer] out for none")
    if divider < 1 or coarse_hz < 1 or clock_hz % (divider * coarse_hz):
        raise Mbv2genError(f"{file}: clock_hz must be a multiple of divider * coarse_hz of the timer")
    ticks = Fraction(clock_hz, divider) * (1 << icount_shift) / 1_000_000_000
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
        divider=divider,
        numerator=ratio.numerator,
        shift=ratio.denominator.bit_length() - 1,
        fine_per_coarse=clock_hz // divider // coarse_hz,
    )


def _memories(table: Table, file: Path) -> tuple[Memory, ...]:
    return tuple(
        Memory(name, _value(entry, "origin", int, file), _value(entry, "length", int, file))
        for name, entry in ((name, _value(table, name, dict, file)) for name in table)
    )


def read(file: Path) -> Board:
    """The board that a board.toml describes. Mbv2genError where it cannot be read or does not fit together."""
    try:
        table: Table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mbv2genError(f"{file}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Mbv2genError(f"{file}: not a TOML file ({error})") from None
    memories = _memories(_value(table, "memory", dict, file), file)
    place = _value(table, "place", dict, file)
    emulator_table = _value(table, "emulator", dict, file)
    emulator = Emulator(_value(emulator_table, "machine", str, file), _value(emulator_table, "icount_shift", int, file))
    clock_hz = _value(table, "clock_hz", int, file)
    timer = _timer(table["timer"], clock_hz, emulator.icount_shift, file) if "timer" in table else None
    board = Board(
        name=_value(table, "name", str, file),
        core=_value(table, "core", str, file),
        flags=tuple(_value(table, "flags", list, file)),
        clock_hz=clock_hz,
        stack_bytes=_value(table, "stack_bytes", int, file),
        memories=memories,
        code=_value(place, "code", str, file),
        weights=tuple(_value(place, "weights", list, file)),
        data=_value(place, "data", str, file),
        emulator=emulator,
        timer=timer,
    )
    for name in (board.code, *board.weights, board.data):
        if name not in {memory.name for memory in memories}:
            raise Mbv2genError(f"{file}: [place] names '{name}', which [memory] does not have")
    if not board.weights:
        raise Mbv2genError(f"{file}: [place] names no memory for the weights")
    return board


def names() -> tuple[str, ...]:
    """All boards' names, sorted."""
    return tuple(sorted(file.parent.name for file in (firmware_dir() / "boards").glob("*/board.toml")))


def load(name: str) -> Board:
    """The board of that name. Mbv2genError where there is none."""
    known = names()
    if name not in known:
        raise Mbv2genError(f"there is no board '{name}'; choose one of {', '.join(known)}")
    return read(firmware_dir() / "boards" / name / "board.toml")


def all_boards() -> tuple[Board, ...]:
    """Every board, sorted by name."""
    return tuple(load(name) for name in names())
