# SPDX-License-Identifier: Apache-2.0
"""Targets: the cores code is generated for."""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.dsp.kernels import DSP
from mbv2gen.errors import Mbv2genError
from mbv2gen.planning.kernels import PLAIN, Contract


@dataclass(frozen=True)
class Target:
    """``family`` are the kernels that run on it; ``board`` is emulated and proves it by default."""

    name: str
    description: str
    family: tuple[Contract, ...]
    board: str | None


TARGETS = (
    Target("host", "this machine", PLAIN, None),
    Target("cortex-m0", "ARMv6-M: no SIMD, no hardware division", PLAIN, "microbit"),
    Target("cortex-m3", "ARMv7-M: no SIMD", PLAIN, "mps2-an385"),
    Target("cortex-m4", "ARMv7E-M with the DSP extension", DSP + PLAIN, "mps2-an386"),
    Target("cortex-m7", "ARMv7E-M with the DSP extension, dual issue", DSP + PLAIN, "mps2-an500"),
    Target("cortex-m33", "ARMv8-M with the DSP extension", DSP + PLAIN, "mps2-an505"),
    Target("cortex-m55", "ARMv8.1-M with the DSP extension; Helium is not used", DSP + PLAIN, "mps3-an547"),
)


def find(name: str) -> Target:
    """The target of that name; raises Mbv2genError with the list of names."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise Mbv2genError(f"--target {name}: no such target; choose one of {', '.join(t.name for t in TARGETS)}")
