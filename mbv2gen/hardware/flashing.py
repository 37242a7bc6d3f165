# SPDX-License-Identifier: Apache-2.0
"""Flashing: an image into a board's flash, by pyOCD and a debug probe (CMSIS-DAP, ST-LINK, J-Link)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware.board import Board


@dataclass(frozen=True)
class Probe:
    """A debug probe that is plugged in."""

    unique_id: str
    description: str


def probes() -> tuple[Probe, ...]:
    """All that are plugged in; Mbv2genError where pyOCD is not installed."""
    found = _pyocd().get_all_connected_probes(blocking=False, print_wait_message=False)
    return tuple(Probe(str(probe.unique_id), str(probe.description)) for probe in found)


def choose_probe(unique_id: str | None) -> Probe:
    """The probe of that number, or the only one there is; Mbv2genError where there is none, or no telling which."""
    found = probes()
    if not found:
        raise Mbv2genError("no debug probe found; plug the board in, or look for missing rights on its USB device")
    if unique_id is None and len(found) > 1:
        listed = ", ".join(f"{probe.unique_id} ({probe.description})" for probe in found)
        raise Mbv2genError(f"there are {len(found)} debug probes: {listed}; choose one with --probe")
    chosen = [probe for probe in found if unique_id in (None, probe.unique_id)]
    if not chosen:
        raise Mbv2genError(f"--probe {unique_id}: is not plugged in; there is {found[0].unique_id}")
    return chosen[0]


def flash(elf: Path, board: Board, probe: Probe) -> None:
    """Program the board's flash and start it; Mbv2genError where the probe or pyOCD does not manage."""
    from pyocd.core.exceptions import Error, TargetSupportError  # noqa: PLC0415  (an extra, not always installed)
    from pyocd.flash.file_programmer import FileProgrammer  # noqa: PLC0415 - as above

    name = target_name(board)
    options = {"target_override": name, "connect_mode": "under-reset"}
    try:
        with _pyocd().session_with_chosen_probe(
            blocking=False, return_first=True, unique_id=probe.unique_id, options=options
        ) as session:
            FileProgrammer(session).program(str(elf))
            session.target.reset()
    except TargetSupportError:
        raise Mbv2genError(f"pyOCD does not know '{name}' yet; 'pyocd pack install {name}' teaches it") from None
    except (Error, OSError) as error:
        raise Mbv2genError(f"{board.name}: cannot be programmed ({error}); check cable and power") from None


def target_name(board: Board) -> str:
    """The board's target in pyOCD; Mbv2genError where its board.toml names none."""
    if board.pyocd is None:
        raise Mbv2genError(f"--board {board.name}: its board.toml names no pyOCD target; --gdb loads it without one")
    return board.pyocd


def _pyocd() -> Any:
    """pyOCD's ConnectHelper; quiet, for its messages are not ours."""
    try:
        from pyocd.core.helpers import ConnectHelper  # noqa: PLC0415 - as above
    except ImportError:
        raise Mbv2genError("pyOCD is not installed; pip install 'mbv2gen[flash]'") from None
    logging.getLogger("pyocd").setLevel(logging.CRITICAL)
    return ConnectHelper
