# SPDX-License-Identifier: Apache-2.0
"""Toolchain: the compilers, debugger and emulator of this machine, and what to install where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mbv2gen.errors import Mbv2genError
from mbv2gen.resources import writable_cache

HOST_COMPILERS = ("cc", "gcc", "clang")
ARM_COMPILER = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
CCACHE = "ccache"
GDBS = ("arm-none-eabi-gdb", "gdb-multiarch")  # a gdb of the host's own seldom knows Arm

HOST_HELP = "no C compiler (cc, gcc or clang) found; install one (Debian: apt-get install gcc) or set CC to it"
ARM_HELP = f"{ARM_COMPILER} not found; install it (Debian: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi)"
QEMU_HELP = f"{QEMU} not found; install it (Debian: apt-get install qemu-system-arm)"
GDB_HELP = f"neither {GDBS[0]} nor {GDBS[1]} found; install one (Debian: apt-get install gdb-multiarch)"


def _which(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def find_host_compiler() -> Path | None:
    """$CC where it is set (one program, without options), else the first of cc, gcc and clang."""
    chosen = os.environ.get("CC", "").strip()
    if chosen:
        found = _which(chosen)
        if found is None:
            raise Mbv2genError(f"CC={chosen}: no such program; set CC to one program without options, or unset it")
        return found
    return next((found for found in map(_which, HOST_COMPILERS) if found), None)


def find_arm_compiler() -> Path | None:
    return _which(ARM_COMPILER)


def find_qemu() -> Path | None:
    return _which(QEMU)


@dataclass(frozen=True)
class CompilerCache:
    """``words`` go before a compiler's, with ``variables`` in the environment: then what was compiled before, for this
    network or another, comes from the user's cache folder."""

    words: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def compiler_cache() -> CompilerCache:
    """ccache; nothing where there is none, or the cache folder cannot be written."""
    found, folder = _which(CCACHE), writable_cache("objects")
    if found is None or folder is None:
        return CompilerCache()
    # NOHASHDIR: each build has a folder of its own
    return CompilerCache((str(found),), {"CCACHE_DIR": str(folder), "CCACHE_MAXSIZE": "500M", "CCACHE_NOHASHDIR": "1"})


def find_gdb() -> Path | None:
    return next((found for found in map(_which, GDBS) if found), None)


def require_host_compiler() -> Path:
    """find_host_compiler(), or an error that says what to install."""
    found = find_host_compiler()
    if found is None:
        raise Mbv2genError(HOST_HELP)
    return found


def require_arm_compiler() -> Path:
    """find_arm_compiler(), or an error that says what to install."""
    found = find_arm_compiler()
    if found is None:
        raise Mbv2genError(ARM_HELP)
    return found


def require_qemu() -> Path:
    """find_qemu(), or an error that says what to install."""
    found = find_qemu()
    if found is None:
        raise Mbv2genError(QEMU_HELP)
    return found


def require_gdb() -> Path:
    """find_gdb(), or an error that says what to install."""
    found = find_gdb()
    if found is None:
        raise Mbv2genError(GDB_HELP)
    return found
