# SPDX-License-Identifier: Apache-2.0
"""Progress: bars on standard error, and nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Tell: TypeAlias = Callable[[int, int], None]  # (done, total)


@contextmanager
def bar(description: str, *, quiet: bool = False) -> Iterator[Tell]:
    """Yields a function that is told (done, total); silent where ``quiet`` or standard error is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich import console, progress  # noqa: PLC0415 - only a bar needs them, and they take long to import

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def part(tell: Tell, before: int, total: int) -> Tell:
    """For a batch that starts when ``before`` of ``total`` are done: tells of the whole."""
    return lambda done, _: tell(before + done, total)
