# SPDX-License-Identifier: Apache-2.0
"""SerialSession: a run of the program on a board at the end of a serial line; its files are here.

firmware/port_serial.c has the protocol: the board asks, this side answers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mbv2gen.errors import CheckFailed
from mbv2gen.hardware.serial_line import ANSWER, END, HELLO, MOST_PAYLOAD, READ, SESSION, WRITE, Frame, SerialLine

GREETING_SECONDS = 10.0  # a board that computes does not listen
_REPEAT_SECONDS = 0.4


@dataclass(frozen=True)
class Hello:
    """What a board says it is: the network, its compile, the board, and the kind of build (firmware.SERIAL_BUILDS)."""

    network: str
    compile: str
    board: str
    build: str


@dataclass
class Files:
    """What the program reads, and what it has written: {first letter of the file's name: bytes}."""

    inputs: bytes
    read: int = 0
    written: dict[str, bytearray] = field(default_factory=dict)

    def text(self, file: str) -> str:
        return bytes(self.written.get(file, b"")).decode("utf-8", "replace")


def greet(line: SerialLine, words: tuple[str, ...] = (), seconds: float = GREETING_SECONDS) -> Hello:
    """Begin a session, in which the program runs with ``words`` as arguments. CheckFailed where nobody answers."""
    frame = Frame(SESSION, 0, " ".join((secrets.token_hex(4), *words)).encode("ascii"))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line.send(frame)
        while (heard := line.receive(_REPEAT_SECONDS)) is not None:
            if heard.kind == HELLO and heard.payload[:4] == frame.crc.to_bytes(4, "little"):
                said = heard.payload[4:].decode("ascii", "replace").split()
                return Hello(*(said + ["?"] * 4)[:4])
    raise CheckFailed(
        f"no board answers within {seconds:g} s; put an image of 'mbv2gen firmware OUT --board B --serial plain' on "
        "it, and look whether receiving and transmitting lines are crossed"
    )


def serve(line: SerialLine, files: Files, silence_seconds: float, tell: Callable[[Files], None]) -> int | None:
    """Answer the board's questions until the program ends -> its exit code; None where it falls silent for so long."""
    number, answer = -1, Frame(ANSWER, 0, b"")
    while True:
        question = line.receive(silence_seconds)
        if question is None:
            return None
        if question.kind not in (READ, WRITE, END):
            continue
        if question.number != number:  # else the answer was lost
            number = question.number
            answer = Frame(ANSWER, number, _handle(question, files))
            tell(files)
        line.send(answer)
        if question.kind == END:
            return question.payload[0] if question.payload else 0


def _handle(question: Frame, files: Files) -> bytes:
    """The answer's payload."""
    if question.kind == READ:
        wanted = min(int.from_bytes(question.payload[1:3], "little"), MOST_PAYLOAD)
        some = files.inputs[files.read : files.read + wanted]
        files.read += len(some)
        return some
    if question.kind == WRITE:
        files.written.setdefault(chr(question.payload[0]), bytearray()).extend(question.payload[1:])
    return b""
