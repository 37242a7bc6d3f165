# SPDX-License-Identifier: Apache-2.0
"""Compiles the C of output folders: strictly, and as a library that Python calls."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbv2gen.hardware import toolchain
from mbv2gen.quantized_network import QuantizedNetwork

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
CONTEXT_BYTES = 1024  # more than any NAME_ctx of the tests


def compile_strictly(folder: Path, work: Path, compiler: str, *flags: str) -> str:
    """Compiles every source to an object in ``work``; what the compiler complained about."""
    sources = [str(path.resolve()) for path in sorted(folder.glob("*.c"))]
    assert sources
    command = [compiler, *flags, *STRICT, "-c", *sources]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False).stderr


def library(folders: Iterable[Path], work: Path, *flags: str) -> ctypes.CDLL:
    """All sources of several output folders in one image; files of one name must be equal and count once."""
    files: dict[str, bytes] = {}
    for folder in folders:
        for path in (*folder.glob("*.c"), *folder.glob("*.h")):
            assert files.setdefault(path.name, path.read_bytes()) == path.read_bytes()
    for name, data in files.items():
        (work / name).write_bytes(data)
    compiler = str(toolchain.require_host_compiler())
    sources = sorted(name for name in files if name.endswith(".c"))
    options = (*flags, "-std=c11", "-O1", "-shared", "-fPIC", "-o", "library.so")
    subprocess.run([compiler, *options, *sources], cwd=work, check=True, capture_output=True)
    return ctypes.CDLL(str(work / "library.so"))


def network_is_fed(library: ctypes.CDLL, network: QuantizedNetwork) -> bool:
    """Whether the caller pushes rows."""
    return hasattr(library, f"{network.name}_push_rows")


class Inference:
    """One NAME_ctx with an arena of its own, driven from Python."""

    def __init__(self, library: ctypes.CDLL, network: QuantizedNetwork, arena_bytes: int, align: int = 16) -> None:
        self.library, self.network = library, network
        self.context = ctypes.create_string_buffer(CONTEXT_BYTES)
        self.memory = np.full(arena_bytes + align, 0x55, np.uint8)
        self.arena = self.memory[-self.memory.ctypes.data % align :][:arena_bytes]
        self.shapes = network.shape(network.inputs[0]), network.shape(network.outputs[0])
        for name in ("output",) if network_is_fed(library, network) else ("input", "output"):
            self._function(name).restype = ctypes.POINTER(ctypes.c_int8)

    def init(self, offset: int = 0, missing_bytes: int = 0) -> int:
        address = ctypes.c_void_p(self.arena.ctypes.data + offset)
        return int(self._function("init")(self.context, address, ctypes.c_size_t(self.arena.size - missing_bytes)))

    def input(self) -> ctypes._Pointer[ctypes.c_int8]:
        return self._function("input")(self.context)  # type: ignore[no-any-return]  # as below

    def fill(self, values: NDArray[np.int8]) -> None:
        np.ctypeslib.as_array(self.input(), (values.size,))[:] = values.reshape(-1)

    def run(self) -> int:
        return int(self._function("run")(self.context))

    def step(self) -> int:
        return int(self._function("step")(self.context))

    def output(self) -> NDArray[np.int8]:
        shape = self.shapes[1]
        return np.ctypeslib.as_array(self._function("output")(self.context), shape).copy()

    def _function(self, name: str) -> ctypes._NamedFuncPointer:
        return getattr(self.library, f"{self.network.name}_{name}")  # type: ignore[no-any-return]  # ctypes finds functions by name
