# SPDX-License-Identifier: Apache-2.0
"""Runner: inputs through a program of hardware/firmware.py, here, in QEMU or on a serial line, and what comes back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.failure import reason
from mbv2gen.hardware.run_results import RunRecord, RunResults, read_results
from mbv2gen.hardware.serial_line import SerialLine
from mbv2gen.hardware.serial_session import Files, greet, serve
from mbv2gen.tap_crcs import TapCrc, read_crcs
from mbv2gen.taps import read_taps

Int8Array: TypeAlias = NDArray[np.int8]
Progress: TypeAlias = Callable[[int, int], None]  # (inferences done, of how many)

INPUTS, OUTPUTS, RESULTS, TAPS = "in", "out", "results", "taps"
_POLL_SECONDS = 0.05
_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=0:exitcode=1",
}


@dataclass(frozen=True)
class RunResult:
    """What a batch of n inferences gave. None where the machine or the build cannot tell.

    ``outputs`` is [n][output bytes]. ``instructions`` has one number an inference, of NAME_run alone.
    ``layer_instructions``: a row of numbers an inference, one a layer; ``row_instructions``: one a row of the input.
    ``stack_bytes``: the deepest use of NAME_run below its caller; ``whole_stack_bytes``: that of the whole program,
    main included. ``touched_arena_bytes``: the arena up to the last byte that any inference changed. ``taps``: for each
    inference {layer: its output, int8 [row][values of a row]}. ``crcs``: for each inference the CRCs of all rows.
    """

    outputs: Int8Array
    arena_bytes: int
    instructions: tuple[int, ...] | None
    layer_instructions: tuple[tuple[int, ...], ...] | None
    stack_bytes: int | None
    taps: tuple[dict[int, Int8Array], ...] | None
    whole_stack_bytes: int | None = None
    touched_arena_bytes: int = 0
    row_instructions: tuple[tuple[int, ...], ...] | None = None
    cycles: tuple[int, ...] | None = None
    crcs: tuple[tuple[TapCrc, ...], ...] | None = None


@dataclass(frozen=True)
class Taps:
    """What a program built with taps writes: all values, or with ``crcs`` CRCs, and the values of one (layer, row)."""

    crcs: bool = False
    values_of: tuple[int, int] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments by which main.c is told."""
        return (TAPS, *(str(number) for number in self.values_of or ()))


def run(
    program: Path,
    inputs: Int8Array,
    *,
    board: Board | None = None,
    title: str = "",
    taps: Taps | None = None,
    timeout_seconds: float = 120.0,
    progress: Progress | None = None,
    emulator_words: tuple[str, ...] = (),
) -> RunResult:
    """Run a program of build_host (``board`` None) or build_board on ``inputs``, int8 [n][...], n >= 1.

    ``title`` stands in messages for what runs where ("flowers on mps2-an500"); ``taps`` belongs to programs built
    with taps and holds all of them in memory. ``timeout_seconds`` is the time without any new output after which
    the program counts as hanging; ``emulator_words`` stand in QEMU's command line. Raises CheckFailed for a fault, a
    sanitizer's finding, a hang, a changed guard byte or a status that is not 0, and Mbv2genError where QEMU is missing
    or the inputs have the wrong size.
    """
    title = title or program.parent.name.rpartition("-")[0] or program.name

    def execute(work: Path) -> _Outcome:
        command = _command(program, board, taps)
        return _execute((*command, *emulator_words), work, len(inputs), timeout_seconds, progress)

    return _collect(execute, inputs, program, title, taps)


def run_on_line(
    line: SerialLine,
    inputs: Int8Array,
    *,
    title: str,
    taps: Taps | None = None,
    timeout_seconds: float = 120.0,
    progress: Progress | None = None,
) -> RunResult:
    """The same on a board at the end of a serial line, whose program is one of build_serial."""

    def execute(work: Path) -> _Outcome:
        greet(line, (INPUTS, OUTPUTS, RESULTS, *(taps.words if taps else ())))
        files = Files(np.ascontiguousarray(inputs).tobytes())

        def tell(state: Files) -> None:
            if progress is not None:
                progress(len(inputs) * state.read // len(state.inputs), len(inputs))

        code = serve(line, files, timeout_seconds, tell)
        for name in (OUTPUTS, RESULTS, TAPS):
            (work / name).write_bytes(files.written.get(name[0], b""))
        return _Outcome(code or 0, files.text("m"), timeout_seconds if code is None else 0.0)

    return _collect(execute, inputs, None, title, taps)


def _collect(
    execute: Callable[[Path], _Outcome], inputs: Int8Array, program: Path | None, title: str, taps: Taps | None
) -> RunResult:
    """What a program has left in the folder it is executed in, checked."""
    if inputs.dtype != np.int8 or inputs.ndim < 2 or not inputs.size:
        raise Mbv2genError(f"{title}: inputs must be int8 [n][...], n >= 1 (got {inputs.dtype} {list(inputs.shape)})")
    with tempfile.TemporaryDirectory(prefix="mbv2gen-") as name:
        work = Path(name)
        (work / INPUTS).write_bytes(np.ascontiguousarray(inputs).tobytes())
        outcome = execute(work)
        results = read_results(work / RESULTS)
        _check(outcome, results, inputs, program, title)
        outputs = np.fromfile(work / OUTPUTS, dtype=np.int8).reshape(len(inputs), results.output_bytes)
        rows = tuple(read_taps(work / TAPS, title)) if taps and not taps.crcs else None
        crcs = tuple(read_crcs(work / TAPS, title, taps.values_of)) if taps and taps.crcs else None
    return replace(_result(results, outputs), taps=rows, crcs=crcs)


def _result(results: RunResults, outputs: Int8Array) -> RunResult:
    runs = results.runs
    stacks = [r.stack_bytes for r in runs if r.stack_bytes is not None]
    instructions = [r.instructions for r in runs if r.instructions is not None]
    layers = [r.layer_instructions[: results.layers] for r in runs if r.layer_instructions]
    return RunResult(
        outputs=outputs,
        arena_bytes=results.arena_bytes,
        instructions=tuple(instructions) or None,
        layer_instructions=tuple(layers) or None,
        stack_bytes=max(stacks, default=None),
        taps=None,
        whole_stack_bytes=results.whole_stack_bytes,
        touched_arena_bytes=max((r.touched_arena_bytes for r in runs), default=0),
        row_instructions=tuple(r.row_instructions for r in runs if r.row_instructions) or None,
        cycles=tuple(r.cycles for r in runs if r.cycles is not None) or None,
    )


def _command(program: Path, board: Board | None, taps: Taps | None) -> tuple[str, ...]:
    files = (INPUTS, OUTPUTS, RESULTS, *(taps.words if taps else ()))
    path = str(program.resolve())
    if board is None:
        return path, *files
    emulator = board.require_emulator()
    arguments = ",".join(f"arg={word}" for word in ("program", *files))
    return (
        str(toolchain.require_qemu()), "-machine", emulator.machine,
        "-icount", f"shift={emulator.icount_shift}", "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", f"enable=on,target=native,{arguments}", "-kernel", path,
    )  # fmt: skip


@dataclass(frozen=True)
class _Outcome:
    """How a process ended. ``silent_seconds`` is not 0 where it was ended, because nothing came for so long."""

    returncode: int
    stderr: str
    silent_seconds: float


def _execute(
    command: tuple[str, ...], work: Path, count: int, timeout_seconds: float, progress: Progress | None
) -> _Outcome:
    """Run it in ``work`` to its end, or until it hangs."""
    with (work / "stderr").open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command, cwd=work, env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
        except OSError as error:
            raise Mbv2genError(f"{command[0]}: cannot be run ({error.strerror})") from None
        try:
            timed_out = _watch(process, work, count, timeout_seconds, progress)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    text = (work / "stderr").read_text(encoding="utf-8", errors="replace")
    return _Outcome(process.returncode, text, timeout_seconds if timed_out else 0.0)


def _watch(
    process: subprocess.Popen[bytes], work: Path, count: int, timeout_seconds: float, progress: Progress | None
) -> bool:
    """Wait for the end; the growth of the output files is the progress. Whether it hangs."""
    done, written, changed = 0, 0, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
        sizes = [file.stat().st_size if file.exists() else 0 for file in (work / OUTPUTS, work / TAPS)]
        if sum(sizes) != written:
            written, changed = sum(sizes), time.monotonic()
        output_bytes = read_results(work / RESULTS, head_only=True).output_bytes
        now_done = min(sizes[0] // output_bytes, count) if output_bytes else 0
        if progress is not None and now_done != done:
            progress(now_done, count)
        done = now_done
        if process.returncode is not None:
            return False
        if time.monotonic() - changed > timeout_seconds:
            return True


def _check(outcome: _Outcome, results: RunResults, inputs: Int8Array, program: Path | None, title: str) -> None:
    """Raise for whatever went wrong, the cause before its consequences."""
    if results.input_bytes and inputs[0].size != results.input_bytes:
        raise Mbv2genError(f"{title}: an input has {results.input_bytes:,} bytes (got {inputs[0].size:,})")
    where = f"{title}: inference {len(results.runs)} of {len(inputs)}"
    if outcome.silent_seconds:
        raise CheckFailed(f"{where}: hangs: no output for {outcome.silent_seconds:g} s")
    if outcome.returncode:
        raise CheckFailed(f"{where}: {reason(outcome.stderr, outcome.returncode, program)}")
    for index, record in enumerate(results.runs):
        complaint = _complaint(record)
        if complaint:
            raise CheckFailed(f"{title}: inference {index} of {len(inputs)}: {complaint}")
    if not results.complete or len(results.runs) != len(inputs):
        raise CheckFailed(f"{where}: the program ends early, without a message")


def _complaint(record: RunRecord) -> str:
    if record.stack_full:
        return "the board's stack is too small: it was used to its end"
    if record.changed_guard_bytes:
        return f"writes outside its arena ({record.changed_guard_bytes} of the bytes around it have changed)"
    if record.status:
        return f"NAME_run returns {record.status}"
    return ""
