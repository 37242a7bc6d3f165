# SPDX-License-Identifier: Apache-2.0
"""Kinds of packages: a layout of the same C files, and the templates of templates/packages/KIND around them."""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.errors import Mbv2genError


@dataclass(frozen=True)
class Kind:
    """``sources``, ``headers``: folders of the package; ``example``: its example, where NAME is the package's name."""

    name: str
    title: str
    sources: str = "src"
    headers: str = "src"
    example: str = "example.c"
    amalgamates: bool = False


KINDS = (
    Kind("make", "a library by make"),
    Kind("cmake", "a CMake target"),
    Kind("arduino", "an Arduino library", example="examples/NAME/NAME.ino"),
    Kind("platformio", "a PlatformIO library"),
    Kind("zephyr", "a Zephyr module"),
    Kind("cmsis-pack", "a CMSIS-Pack"),
    Kind("stm32cube", "a middleware of STM32Cube projects", sources="Src", headers="Inc"),
    Kind("single-file", "one .h and one .c", amalgamates=True),
)
NAMES = tuple(kind.name for kind in KINDS)


def find(name: str) -> Kind:
    """The kind of that name; raises Mbv2genError with the list of names."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise Mbv2genError(f"{name}: no such kind of package; choose one of {', '.join(NAMES)}")
