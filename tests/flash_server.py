# SPDX-License-Identifier: Apache-2.0
"""A gdb server of a board with flash: QEMU's, before which flash is erased in sectors, and written to where erased.

QEMU's own server lets a debugger write its flash as if it were RAM. This one stands between: it has a memory map, takes
the packets that program flash ("General Query Packets" and "Packets" in the gdb manual: qXfer:memory-map:read,
vFlashErase, vFlashWrite, vFlashDone), refuses to write flash by any other, and passes on everything else.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from serial_boards import connected

from mbv2gen.hardware.board import Memory

SECTOR, MOST = 0x4000, 512  # bytes: what is erased at once, and what a packet to QEMU holds
# As some servers do, it leaves out the devices, which a debugger then takes for inaccessible.
MAP = """<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN"
"http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map><memory type="flash" start="{:#x}" length="{:#x}"><property
name="blocksize">{:#x}</property></memory><memory type="ram" start="0x20000000" length="0x20000000"/></memory-map>"""
ESCAPED = re.compile(rb"}(.)", re.DOTALL)


class Link:
    """Packets over a connection, each acknowledged."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")

    def send(self, packet: bytes) -> None:
        self._stream.write(b"$" + packet + b"#%02x" % (sum(packet) % 256))
        self._stream.flush()

    def receive(self) -> bytes | None:
        """The next packet, escapes and all; None at the end."""
        while (start := self._stream.read(1)) != b"$":
            if not start:
                return None
        packet = bytearray()
        while (value := self._stream.read(1)) != b"#":
            packet += value
        assert int(self._stream.read(2), 16) == sum(packet) % 256
        self._stream.write(b"+")
        self._stream.flush()
        return bytes(packet)


class Flash:
    """What the flash holds while it is programmed; ``written``: how many bytes were."""

    def __init__(self, memory: Memory, board: Link) -> None:
        self._memory, self._board = memory, board
        self._content = bytearray(memory.length)
        self._erased = bytearray(memory.length)
        self.written = 0

    def answer(self, packet: bytes) -> bytes | None:
        """The answer to a packet that concerns flash; None to all others."""
        if packet.startswith(b"qSupported"):
            return b"PacketSize=1000;qXfer:memory-map:read+"
        if packet.startswith(b"qXfer:memory-map:read::"):
            offset, length = (int(number, 16) for number in packet.rpartition(b":")[2].split(b","))
            text = MAP.format(self._memory.origin, self._memory.length, SECTOR).encode()
            return (b"m" if offset + length < len(text) else b"l") + text[offset : offset + length]
        if packet.startswith(b"vFlashErase:"):
            start, length = (int(number, 16) for number in packet.partition(b":")[2].split(b","))
            return self._erase(start - self._memory.origin, length)
        if packet.startswith(b"vFlashWrite:"):
            _, start, data = packet.split(b":", 2)
            return self._write(int(start, 16) - self._memory.origin, ESCAPED.sub(unescaped, data))
        if packet == b"vFlashDone":
            return self._program()
        if packet[:1] in (b"M", b"X") and 0 <= int(packet[1:].partition(b",")[0], 16) - self._memory.origin < (
            self._memory.length
        ):
            return b"E01"
        return None

    def _erase(self, start: int, length: int) -> bytes:
        if start % SECTOR or length % SECTOR or not 0 <= start <= start + length <= self._memory.length:
            return b"E02"
        self._content[start : start + length] = b"\xff" * length
        self._erased[start : start + length] = b"\1" * length
        return b"OK"

    def _write(self, start: int, data: bytes) -> bytes:
        if self._erased[start : start + len(data)] != b"\1" * len(data):
            return b"E.memtype"
        self._content[start : start + len(data)] = data
        self._erased[start : start + len(data)] = bytes(len(data))
        self.written += len(data)
        return b"OK"

    def _program(self) -> bytes:
        """Into QEMU's, to the last byte that was written."""
        for at in range(0, len(self._content.rstrip(b"\xff\0")) + MOST, MOST):
            part = self._content[at : at + MOST]
            self._board.send(f"M{self._memory.origin + at:x},{len(part):x}:{part.hex()}".encode())
            assert self._board.receive() == b"OK"
        return b"OK"


def unescaped(found: re.Match[bytes]) -> bytes:
    return bytes((found[1][0] ^ 0x20,))


@contextmanager
def flash_server(qemu: str, memory: Memory) -> Iterator[tuple[str, Flash]]:
    """``qemu``: HOST:PORT of QEMU's server -> HOST:PORT of the one before it, for one connection."""
    port = int(qemu.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as server, connected(port) as connection:
        connection.settimeout(None)
        board = Link(connection)
        flash = Flash(memory, board)
        thread = Thread(target=_serve, args=(server, board, flash), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", flash
        thread.join(10)
        assert not thread.is_alive()


def _serve(server: socket.socket, board: Link, flash: Flash) -> None:
    connection, _ = server.accept()
    with connection:
        debugger = Link(connection)
        while (packet := debugger.receive()) is not None:
            answer = flash.answer(packet)
            if answer is None:
                board.send(packet)
                answer = board.receive() or b""
            debugger.send(answer)
