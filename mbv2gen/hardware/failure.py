# SPDX-License-Identifier: Apache-2.0
"""Failure: why a program of hardware/firmware.py ended, in one line."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from mbv2gen.hardware.image_sizes import function_at, variable_at

# Armv7-M and Armv8-M Architecture Reference Manuals, CFSR (Configurable Fault Status Register).
_CFSR = {
    0: "instruction access violation",
    1: "data access violation",
    3: "memory fault on leaving an exception",
    4: "memory fault on entering an exception: the stack ran over",
    8: "instruction fetch from nowhere",
    9: "access to an address where nothing is",
    10: "write to an address where nothing is",
    11: "bus fault on leaving an exception",
    12: "bus fault on entering an exception: the stack ran over",
    16: "undefined instruction",
    17: "invalid state",
    18: "invalid return address",
    19: "no coprocessor",
    20: "the stack ran over its limit",
    24: "unaligned access",
    25: "division by zero",
}
_MMFAR_VALID, _BFAR_VALID = 7, 15


def reason(stderr: str, returncode: int, program: Path | None) -> str:
    """One line: a board's fault, a sanitizer's finding, main.c's own message, a signal, or QEMU's last words.

    ``program`` None: not at hand, and faults are told without names of functions."""
    fault = re.search(r"^FAULT (.*)$", stderr, re.MULTILINE)
    if fault:
        return _fault(fault.group(1), program)
    for pattern in (r"(\S+: runtime error: .*)$", r"SUMMARY: (AddressSanitizer: .*)$", r"^MBV2 (.*)$"):
        found = re.search(pattern, stderr, re.MULTILINE)
        if found:
            return re.sub(r"(?:[^\s:(]*/)([^\s/:]+)", r"\1", found.group(1))
    lockup = re.search(r"Lockup: (.*)$", stderr, re.MULTILINE)
    if lockup:
        return f"the core locks up: {lockup.group(1)}"
    if returncode < 0:
        return f"ended by {signal.Signals(-returncode).name}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"ended with exit code {returncode}" + (f": {lines[-1]}" if lines else "")


def _fault(registers: str, program: Path | None) -> str:
    """From what firmware/startup.c prints: the cause in words, the function, then the registers as they are."""
    values = {name: int(value, 16) for name, value in re.findall(r"(\w+)=([0-9a-f]+)", registers)}
    cfsr = values.get("cfsr", 0)
    causes = [text for bit, text in _CFSR.items() if cfsr >> bit & 1]
    if "pc" not in values:  # the exception's frame is not within the stack
        causes = ["the stack ran over"]
    address = ""
    if cfsr >> _BFAR_VALID & 1:
        address = f" 0x{values['bfar']:08x}"
    elif cfsr >> _MMFAR_VALID & 1:
        address = f" 0x{values['mmfar']:08x}"
        if (
            program is not None and variable_at(program, values["mmfar"]) == "memory"
        ):  # main.c's, of which the guards alone are protected
            address += ", outside the arena,"
    function = function_at(program, values["pc"]) if program is not None and "pc" in values else None
    return (
        f"fault: {', '.join(causes) or 'hard fault'}{address}"
        + (f" in {function}" if function else "")
        + f" ({registers.strip()})"
    )
