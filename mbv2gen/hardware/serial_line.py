# SPDX-License-Identifier: Apache-2.0
"""SerialLine: frames to and from a board at the end of a serial line (firmware/port_serial.c has the protocol)."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mbv2gen.errors import Mbv2genError

SESSION, HELLO, READ, WRITE, END, ANSWER = b"SHRWEA"
MOST_PAYLOAD = 240  # bytes; with kind, number and CRC a frame needs one block of COBS
BAUD = 115_200
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Frame:
    kind: int
    number: int
    payload: bytes

    @property
    def crc(self) -> int:
        return zlib.crc32(bytes((self.kind, self.number)) + self.payload)


def encode(frame: Frame) -> bytes:
    """The frame as it goes over the line, its last byte 0."""
    if len(frame.payload) > MOST_PAYLOAD:
        raise ValueError(f"a payload has at most {MOST_PAYLOAD} bytes")
    data = bytes((frame.kind, frame.number)) + frame.payload + struct.pack("<I", frame.crc)
    return b"".join(bytes((len(part) + 1,)) + part for part in data.split(b"\0")) + b"\0"


def decode(coded: bytes) -> Frame | None:
    """What stood before a byte 0; None where that is no frame, or a damaged one."""
    parts, at = [], 0
    while at < len(coded):
        parts.append(coded[at + 1 : at + coded[at]])
        at += coded[at]
    data = b"\0".join(parts)
    if at != len(coded) or not 6 <= len(data) <= 6 + MOST_PAYLOAD:
        return None
    frame = Frame(data[0], data[1], data[2:-4])
    return frame if data[-4:] == struct.pack("<I", frame.crc) else None


class SerialLine:
    """A line that is open; ``stream`` is pyserial's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._heard = b""

    def send(self, frame: Frame) -> None:
        self._stream.write(encode(frame))

    def receive(self, seconds: float) -> Frame | None:
        """The next frame that arrives whole; None where none does for so long."""
        deadline = time.monotonic() + seconds
        while True:
            while b"\0" in self._heard:
                coded, _, self._heard = self._heard.partition(b"\0")
                frame = decode(coded)
                if frame is not None:
                    return frame
            if time.monotonic() > deadline:
                return None
            more = self._stream.read(max(1, self._stream.in_waiting))
            self._heard += more
            if more:
                deadline = time.monotonic() + seconds


@contextmanager
def open_line(port: str) -> Iterator[SerialLine]:
    """The line of a device (/dev/ttyACM0, COM3) or of one of pyserial's URLs (socket://localhost:5000).

    Mbv2genError where there is none, where it breaks, or where pyserial is not installed.
    """
    try:
        import serial  # noqa: PLC0415  (an extra, not always installed)
    except ImportError:
        raise Mbv2genError("pyserial is not installed; pip install 'mbv2gen[serial]'") from None
    try:
        with serial.serial_for_url(port, baudrate=BAUD, timeout=_POLL_SECONDS, write_timeout=5) as stream:
            stream.reset_input_buffer()
            yield SerialLine(stream)
    except (serial.SerialException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mbv2genError(
            f"serial:{port}: {reason}; look at the cable, the port's name and who else has it open"
        ) from None
