# SPDX-License-Identifier: Apache-2.0
"""The hand-written network of tests/toy, as NumPy, and inputs that make it misbehave."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mbv2gen.hardware import toolchain

TOY = Path(__file__).parent / "toy"

BEHAVES = 0
READS_BEHIND_ARENA = 1
WRITES_BEHIND_ARENA = 2
WRITES_BEFORE_ARENA = 3
HANGS = 4
READS_NOWHERE = 5
READS_UNALIGNED = 6
DIVIDES_BY_ZERO = 7
OVERFLOWS_STACK = 8
FAILS = 9
OVERFLOWS_INT = 10
LOOPS = 11
USES_STACK = 12
LEAVES_NOISE = 13

needs_host_compiler = pytest.mark.skipif(toolchain.find_host_compiler() is None, reason=toolchain.HOST_HELP)
needs_arm_compiler = pytest.mark.skipif(toolchain.find_arm_compiler() is None, reason=toolchain.ARM_HELP)
needs_qemu = pytest.mark.skipif(toolchain.find_qemu() is None, reason=toolchain.QEMU_HELP)


def toy_inputs(count: int, kind: int = BEHAVES, argument: int = 0) -> NDArray[np.int8]:
    """int8 [count][8][8]; the first value of each is what the toy is to do, the next three its argument."""
    inputs = np.random.default_rng(7).integers(-128, 128, (count, 8, 8)).astype(np.int8)
    inputs[:, 0, 0] = kind
    inputs[:, 0, 1:4] = np.frombuffer(argument.to_bytes(3, "little"), np.int8)
    return inputs


def toy_layers(inputs: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """What toy.c computes: layer 0, int8 [n][8][8], and layer 1 (the output), int8 [n][4]."""
    first = np.clip(inputs.astype(np.int32) + np.arange(64).reshape(8, 8), -128, 127)
    sums = first.reshape(-1, 2, 4, 8).sum(axis=(1, 3)) + np.array([1, 2, 3, 4])
    return first.astype(np.int8), sums.astype(np.int8)


def changed_toy(to: Path, file: str, old: str, new: str) -> Path:
    """A copy of the toy's folder with one change in one file."""
    shutil.copytree(TOY, to)
    text = (to / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (to / file).write_text(text.replace(old, new), encoding="utf-8")
    return to
