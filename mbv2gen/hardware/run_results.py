# SPDX-License-Identifier: Apache-2.0
"""RunResults: the text file in which a program tells of its runs (firmware/main.c says how it is written)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunRecord:
    """One inference. None where the build cannot tell; ``layer_instructions`` has one more for what is in no layer.

    ``cycles`` are counted in place of ``instructions`` where there is no emulator, by layer too.
    ``touched_arena_bytes``: the arena up to the last byte that changed, which is 1/256 likely to be one less.
    """

    status: int
    changed_guard_bytes: int
    stack_full: bool
    stack_bytes: int | None
    instructions: int | None
    layer_instructions: tuple[int, ...]
    touched_arena_bytes: int = 0
    row_instructions: tuple[int, ...] = ()
    cycles: int | None = None


@dataclass(frozen=True)
class RunResults:
    """All of them, as far as they were written; sizes are 0 where not even the head was. ``complete``: to the end.

    ``whole_stack_bytes``: the stack that the program has used, main included; None where it cannot tell.
    """

    arena_bytes: int
    input_bytes: int
    output_bytes: int
    layers: int
    runs: tuple[RunRecord, ...]
    complete: bool
    whole_stack_bytes: int | None = None


def read_results(file: Path, *, head_only: bool = False) -> RunResults:
    """Read a result file that may end anywhere: the program may have died, or still be writing."""
    lines: list[list[str]] = []
    if file.exists():
        with file.open(encoding="ascii") as text:
            for line in text:
                if not line.endswith("\n"):
                    break
                lines.append(line.split())
                if head_only:
                    break
    if not lines:
        return RunResults(0, 0, 0, 0, (), False)
    head = _numbers(lines[0][1:])
    starts = [i for i, words in enumerate(lines) if words[0] == "run"]
    end = next((i for i, words in enumerate(lines) if words[0] == "end"), len(lines))
    return RunResults(
        arena_bytes=head["arena"] or 0,
        input_bytes=head["input"] or 0,
        output_bytes=head["output"] or 0,
        layers=head["layers"] or 0,
        runs=tuple(_record(lines[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=False)),
        complete=end < len(lines),
        whole_stack_bytes=_numbers(lines[end][2:]).get("stack") if end < len(lines) else None,
    )


def _numbers(words: list[str]) -> dict[str, int | None]:
    """name value name value ... with - for unknown."""
    return {name: None if value == "-" else int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def _record(lines: list[list[str]]) -> RunRecord:
    values = _numbers(lines[0])
    return RunRecord(
        status=values["status"] or 0,
        changed_guard_bytes=values["guard"] or 0,
        stack_full=bool(values["full"]),
        stack_bytes=values["stack"],
        instructions=values.get("instructions"),
        layer_instructions=_counts(lines, "layer"),
        touched_arena_bytes=values["touched"] or 0,
        row_instructions=_counts(lines, "row"),
        cycles=values.get("cycles"),
    )


def _counts(lines: list[list[str]], kind: str) -> tuple[int, ...]:
    return tuple(int(words[2]) for words in lines if words[0] == kind)
