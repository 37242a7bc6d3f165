# SPDX-License-Identifier: Apache-2.0
"""Board: a microcontroller on its board, as firmware/boards/NAME/board.toml describes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mbv2gen.errors import Mbv2genError

WITHOUT_MPU = frozenset({"cortex-m0"})


@dataclass(frozen=True)
class Memory:
    """Addresses [origin, origin + length), bytes. ``volatile``: what lies there must be copied there at the start."""

    name: str
    origin: int
    length: int
    volatile: bool


@dataclass(frozen=True)
class Timer:
    """A timer that counts instructions when each of them takes 2**icount_shift ns, or one that counts cycles.

    ``kind`` names firmware/timer_KIND.h. In an emulator the timer counts at ``clock_hz`` / ``divider``, and
    instructions = ticks * numerator / 2**shift exactly; at least two ticks an instruction, so that rounding is exact.
    A second one, ``fine_per_coarse`` times as slow, counts how often the first one wraps; 0: there is none.
    """

    kind: str
    base: int
    clock_hz: int
    divider: int
    numerator: int
    shift: int
    fine_per_coarse: int


@dataclass(frozen=True)
class Emulator:
    """QEMU's machine, the virtual time of one instruction, 2**icount_shift ns, and which of its serial lines the
    console is."""

    machine: str
    icount_shift: int
    serial: int


@dataclass(frozen=True)
class Console:
    """A serial line, 8N1; ``kind`` names firmware/uart_KIND.h, ``clock_hz`` is what it divides, ``pin`` and ``rx_pin``
    its transmitting and its receiving pin, where the driver itself sets them up."""

    kind: str
    base: int
    clock_hz: int
    baud: int
    pin: int
    rx_pin: int


@dataclass(frozen=True)
class Placement:
    """Which memory holds what. ``boot``: what the core starts from, and the image of all that is copied at the start;
    ``code``: the network's code; ``weights``: its constants, in the order to be tried; ``data``: variables and stack;
    ``arena``: the arena."""

    boot: str
    code: str
    weights: tuple[str, ...]
    data: str
    arena: str

    @property
    def memories(self) -> tuple[str, ...]:
        return (self.boot, self.code, *self.weights, self.data, self.arena)


@dataclass(frozen=True)
class Board:
    """A board. ``emulator`` None: QEMU has no such machine; ``console`` None: it can speak through a debugger alone.

    ``soc`` names firmware/soc_SOC.c, which sets up clocks, caches and pins with ``settings``, its macros SOC_NAME;
    None: there is nothing to set up. ``pyocd``: the target's name in pyOCD, which programs its flash.
    """

    name: str
    core: str
    flags: tuple[str, ...]
    clock_hz: int
    stack_bytes: int
    memories: tuple[Memory, ...]
    place: Placement
    emulator: Emulator | None
    timer: Timer | None
    console: Console | None
    soc: str | None
    settings: tuple[tuple[str, int], ...]
    pyocd: str | None

    def require_emulator(self) -> Emulator:
        """The emulator; Mbv2genError where QEMU has no such machine."""
        if self.emulator is None:
            raise Mbv2genError(
                f"--board {self.name}: QEMU has no such machine; 'mbv2gen firmware' builds an image for the board "
                "itself, and 'mbv2gen boards' lists those that are emulated"
            )
        return self.emulator

    def memory(self, name: str) -> Memory:
        return next(m for m in self.memories if m.name == name)

    @property
    def stack_guard_bytes(self) -> int:
        """Below the stack, for the memory protection unit, where the core has one; a power of two."""
        return 0 if self.core in WITHOUT_MPU else 256

    @property
    def ram_bytes(self) -> int:
        """The memory that holds the arena; where nothing else is said, stack and all variables too."""
        return self.memory(self.place.arena).length

    @property
    def flash_bytes(self) -> int:
        """The largest memory that the weights can lie in."""
        return max(self.memory(name).length for name in self.place.weights)

    def is_copied(self, memory: str) -> bool:
        """Whether what lies there is copied from the boot memory at the start."""
        return memory != self.place.boot and self.memory(memory).volatile


def check_placement(board: Board, said_by: str) -> Board:
    """The board itself; Mbv2genError where its placement names a memory that it does not have."""
    known = [memory.name for memory in board.memories]
    for name in board.place.memories:
        if name not in known:
            raise Mbv2genError(
                f"{said_by} names '{name}', which [memory] does not have; choose one of {', '.join(known)}"
            )
    return board


def placed(board: Board, wishes: str) -> Board:
    """The board with what ``--place`` says, "arena=dtcm,weights=axi,code=itcm"; Mbv2genError where it cannot be so."""
    place = board.place
    for wish in wishes.split(","):
        what, _, memory = wish.strip().partition("=")
        if what == "weights":
            place = replace(place, weights=(memory,))
        elif what == "code":
            place = replace(place, code=memory)
        elif what == "data":
            place = replace(place, data=memory)
        elif what == "arena":
            place = replace(place, arena=memory)
        else:
            raise Mbv2genError(
                f"--place {wish}: is not arena, weights, code or data and a memory; for example arena=ram"
            )
    return check_placement(replace(board, place=place), f"--place {wishes}:")
