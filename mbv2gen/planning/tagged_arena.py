# SPDX-License-Identifier: Apache-2.0
"""An arena that knows the owner of every byte: what the checks run a program on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import CheckFailed
from mbv2gen.plan import Buffer


@dataclass
class TaggedArena:
    """``data`` int8 [size]; ``owner`` of each byte: which row of which tensor wrote it last, 0 = nobody."""

    size: int
    data: NDArray[np.int8] = field(init=False)
    owner: NDArray[np.int64] = field(init=False)
    names: dict[str, int] = field(default_factory=dict)
    high_water: int = 0

    def __post_init__(self) -> None:
        self.data = np.full(self.size, 0x5A, np.int8)
        self.owner = np.zeros(self.size, np.int64)

    def row(self, buffer: Buffer, row: int) -> slice:
        """Where a row stands; raises CheckFailed where that is not inside the arena."""
        begin = buffer.offset + row % buffer.rows * buffer.row_bytes
        return self.inside(begin, buffer.row_bytes, f"row {row} of {buffer.tensor}")

    def read_row(self, buffer: Buffer, row: int, who: str) -> NDArray[np.int8]:
        """The bytes of a row, a copy; raises CheckFailed where one of them is not its own."""
        parts = [self.read(*part, who) for part in self._parts(buffer, row)]
        return np.concatenate(parts)

    def write_row(self, buffer: Buffer, row: int, data: NDArray[np.int8] | None) -> None:
        """``data`` None: only the owner changes."""
        size = buffer.row_bytes // buffer.joined
        for i, part in enumerate(self._parts(buffer, row)):
            self.write(*part, None if data is None else data[i * size : (i + 1) * size])

    def _parts(self, buffer: Buffer, row: int) -> list[tuple[slice, str, int]]:
        """(bytes, tensor, place) of what a row joins."""
        where, size = self.row(buffer, row), buffer.row_bytes // buffer.joined
        begins = range(where.start, where.stop, size)
        return [(slice(b, b + size), buffer.tensor, row * buffer.joined + i) for i, b in enumerate(begins)]

    def inside(self, begin: int, size: int, what: str) -> slice:
        if begin < 0 or begin + size > self.size:
            raise CheckFailed(f"arena check: {what} at {begin}..{begin + size} is outside the {self.size} B")
        return slice(begin, begin + size)

    def tag(self, name: str, row: int) -> int:
        return (self.names.setdefault(name, len(self.names) + 1) << 20) + row

    def read(self, where: slice, name: str, row: int, who: str) -> NDArray[np.int8]:
        """The bytes, a copy; raises CheckFailed where any of them is not that row's own."""
        wrong = np.nonzero(self.owner[where] != self.tag(name, row))[0]
        if len(wrong):
            byte = where.start + int(wrong[0])
            raise CheckFailed(
                f"arena check: {who} reads row {row} of {name}, but byte {byte} holds {self.described(byte)}"
            )
        return self.data[where].copy()

    def write(self, where: slice, name: str, row: int, data: NDArray[np.int8] | None) -> None:
        self.owner[where] = self.tag(name, row)
        self.high_water = max(self.high_water, where.stop)
        if data is not None:
            self.data[where] = data

    def described(self, byte: int) -> str:
        tag = int(self.owner[byte])
        if tag == 0:
            return "what was there before"
        name = next(n for n, number in self.names.items() if number == tag >> 20)
        return f"row {tag & 0xFFFFF} of {name}"
