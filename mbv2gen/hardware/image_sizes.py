# SPDX-License-Identifier: Apache-2.0
"""ImageSizes: where the bytes of a board's program go, from the linker's map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware.firmware import LINK_MAP
from mbv2gen.hardware.program_build import NETWORK_PREFIX

_PLACED = re.compile(r"^ (\.[\w.$]+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class PlacedSection:
    """One input section in the image: ``section`` is named .text.FUNCTION, .rodata.TABLE, .data.X or .bss.X."""

    object_file: str
    section: str
    address: int
    size_bytes: int

    @property
    def kind(self) -> str:
        """text, rodata, data or bss."""
        return "bss" if self.section == "COMMON" else self.section.split(".")[1]


@dataclass(frozen=True)
class ImageSizes:
    """Bytes of the network's part of an image; the firmware's own (startup, main, arena, stack) are not in it.

    ``weights_bytes``: the tables NAME_weights_* of NAME_weights.c. ``parameters_bytes``: all other constants of
    the network. ``code_bytes``: its functions. ``static_bytes``: its variables, which must be 0.
    """

    weights_bytes: int
    parameters_bytes: int
    code_bytes: int
    static_bytes: int
    sections: tuple[PlacedSection, ...]

    @property
    def flash_bytes(self) -> int:
        return self.weights_bytes + self.parameters_bytes + self.code_bytes


def image_sizes(elf: Path, name: str) -> ImageSizes:
    """Sizes of network ``name`` in a program of build_board. Mbv2genError where its map is missing."""
    sections = tuple(s for s in _placed(elf) if s.object_file.startswith(NETWORK_PREFIX))

    def total(*kinds: str) -> int:
        return sum(s.size_bytes for s in sections if s.kind in kinds)

    weights = sum(
        s.size_bytes
        for s in sections
        if s.object_file.startswith(f"{NETWORK_PREFIX}{name}_weights.")
        and s.section.startswith(f".rodata.{name}_weights_")
    )
    return ImageSizes(
        weights_bytes=weights,
        parameters_bytes=total("rodata") - weights,
        code_bytes=total("text"),
        static_bytes=total("data", "bss"),
        sections=sections,
    )


def function_at(elf: Path, address: int) -> str | None:
    """The function that an address of the image lies in, where it has a section of its own."""
    return _symbol_at(elf, address, "text")


def variable_at(elf: Path, address: int) -> str | None:
    """The variable without initial value that an address of the image lies in."""
    return _symbol_at(elf, address, "bss")


def _symbol_at(elf: Path, address: int, kind: str) -> str | None:
    for section in _placed(elf):
        if section.kind == kind and 0 <= address - section.address < section.size_bytes:
            return section.section.removeprefix(f".{kind}").lstrip(".") or None
    return None


def _placed(elf: Path) -> Iterator[PlacedSection]:
    """The sections that GNU ld's map says were placed; a long name stands on a line of its own there."""
    file = elf.parent / LINK_MAP
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Mbv2genError(f"{file}: cannot be read ({error.strerror}); build the program again") from None
    linked = text.partition("\nLinker script and memory map\n")[2]
    joined = re.sub(r"^( \.\S+)\n\s+0x", r"\1 0x", linked, flags=re.MULTILINE)
    for section, address, size, object_file in _PLACED.findall(joined):
        kind = section.split(".")[1] if section.startswith(".") else "bss"
        if int(size, 16) and kind in ("text", "rodata", "data", "bss"):
            yield PlacedSection(object_file, section, int(address, 16), int(size, 16))
