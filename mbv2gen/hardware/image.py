# SPDX-License-Identifier: Apache-2.0
"""Image: a compiled network on a board of its own, as ELF, binary and Intel HEX, and how it fills the memories."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mbv2gen import int8_reference
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import firmware, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.firmware import Sample
from mbv2gen.hardware.program_build import first_error, run_tool
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs

_SECTION = re.compile(r"^ +\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]{8}) +([0-9a-f]{8}) .*\n +(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """``address`` while it is used, ``load_address`` where the image has it; ``is_loaded``: the image has it at all."""

    name: str
    size_bytes: int
    address: int
    load_address: int
    is_loaded: bool


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of a board's memory that an image takes, copies that it only loads from there included."""

    memory: str
    used_bytes: int
    length: int


@dataclass(frozen=True)
class Image:
    elf: Path
    binary: Path
    hex: Path
    memories: tuple[MemoryUse, ...]


def build(folder: OutputFolder, board: Board, serial: str | None = None) -> Path:
    """The ELF that runs one made-up input on the board and compares what comes of it with NumPy's output.

    ``serial``, one of firmware.SERIAL_BUILDS: the one that waits at the serial line to be asked."""
    if serial is not None:
        return firmware.build_serial(folder.path, folder.name, board, folder.builds, serial)
    network = folder.network()
    inputs = network_inputs.synthetic(network, 1)
    output = int8_reference.run_outputs(network, inputs)
    sample = Sample(tuple(inputs.reshape(-1).tolist()), tuple(output.reshape(-1).tolist()))
    return firmware.build_image(folder.path, folder.name, board, folder.builds, sample)


def write(folder: OutputFolder, board: Board, to: Path, serial: str | None = None) -> Image:
    """NAME-BOARD.elf, .bin and .hex into the folder ``to``; Mbv2genError where something does not fit or cannot be."""
    elf = build(folder, board, serial)
    stem = f"{folder.name}-{board.name}"
    image = Image(to / f"{stem}.elf", to / f"{stem}.bin", to / f"{stem}.hex", memory_use(elf, board))
    try:
        to.mkdir(parents=True, exist_ok=True)
        image.elf.write_bytes(elf.read_bytes())
    except OSError as error:
        raise Mbv2genError(f"{to}: cannot be written ({error.strerror}); choose another folder with -o") from None
    for form, file in (("binary", image.binary), ("ihex", image.hex)):
        _binutils("objcopy", "-O", form, str(image.elf), str(file))
    return image


def memory_use(elf: Path, board: Board) -> tuple[MemoryUse, ...]:
    """What of each memory of the board an ELF takes."""
    used: Counter[str] = Counter()
    for section in sections(elf):
        addresses = {section.address, *((section.load_address,) if section.is_loaded else ())}
        for memory in board.memories:
            used[memory.name] += section.size_bytes * sum(
                memory.origin <= address < memory.origin + memory.length for address in addresses
            )
    return tuple(MemoryUse(memory.name, used[memory.name], memory.length) for memory in board.memories)


def sections(elf: Path) -> tuple[Section, ...]:
    """The sections that take memory, as binutils' objdump lists them."""
    return tuple(
        Section(name, int(size, 16), int(vma, 16), int(lma, 16), "LOAD" in flags.split(", "))
        for name, size, vma, lma, flags in _SECTION.findall(_binutils("objdump", "-h", str(elf)))
        if "ALLOC" in flags.split(", ") and int(size, 16)
    )


def _binutils(tool: str, *arguments: str) -> str:
    program = toolchain.require_arm_compiler().with_name(f"arm-none-eabi-{tool}")
    done = run_tool((str(program), *arguments), Path.cwd())
    if done.returncode:
        raise CheckFailed(f"{program.name}: {first_error(done.stderr)}")
    return done.stdout
