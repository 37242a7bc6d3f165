# SPDX-License-Identifier: Apache-2.0
"""Crew: who works on the parts of a large task: this process, processes or threads of this machine, a Dask cluster."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from mbv2gen.errors import Mbv2genError

BACKENDS = ("loky", "threading", "dask")
CONNECT_SECONDS = 10

Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Crew:
    """``backend`` is one of joblib's: loky (processes), threading, or dask, whose scheduler listens at ``scheduler``.

    ``jobs`` None: all cores of this machine, or of the cluster.
    """

    backend: str = "loky"
    jobs: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.backend != "dask" and self.scheduler is not None:
            raise Mbv2genError(f"--scheduler {self.scheduler}: belongs to --backend dask; leave one of them out")
        if self.backend == "dask" and self.scheduler is None:
            raise Mbv2genError("--backend dask: needs --scheduler ADDRESS, such as tcp://127.0.0.1:8786")
        if self.backend == "dask" and self.jobs is not None:
            raise Mbv2genError(f"--jobs {self.jobs}: the cluster decides with --backend dask; leave it out")


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    import joblib  # noqa: PLC0415 - slow to load, and only evaluation wants it

    return int(joblib.cpu_count())


def in_threads(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """function(part) for all parts, in their order, as many at a time as there are cores; no more wait to be taken."""
    at_once = os.cpu_count() or 1
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[Result]] = deque()
        for part in parts:
            waiting.append(pool.submit(function, part))
            if len(waiting) == at_once:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def work(crew: Crew, function: Callable[[Any, Part], Result], tool: object, parts: Iterable[Part]) -> Iterator[Result]:
    """function(tool, part) for all parts, in their order; only as many parts are in flight as keep the crew busy.

    ``tool`` goes to other processes once where it is a large array: joblib maps it into memory, or scatters it.
    Raises what ``function`` raises, and Mbv2genError where a worker dies or there is no cluster.
    """
    jobs = crew.jobs or cores()
    if crew.backend != "dask" and jobs == 1:
        yield from (function(tool, part) for part in parts)
        return
    import joblib  # noqa: PLC0415 - slow to load, and only evaluation wants it

    try:
        with _cluster(crew) as client:
            options = {} if client is None else {"client": client}
            with joblib.parallel_config(backend=crew.backend, n_jobs=jobs if client is None else -1, **options):
                team = joblib.Parallel(return_as="generator", batch_size=1, pre_dispatch="2 * n_jobs")
            yield from team(joblib.delayed(function)(tool, part) for part in parts)
    except BrokenExecutor:
        raise Mbv2genError("a worker process ended, perhaps for want of memory; try fewer --jobs") from None
    except TimeoutError:
        raise Mbv2genError(f"--scheduler {crew.scheduler}: the Dask cluster has no worker") from None


def _cluster(crew: Crew) -> AbstractContextManager[Any]:
    """A client of the Dask cluster, None for the other backends."""
    if crew.backend != "dask":
        return nullcontext()
    try:
        import distributed  # noqa: PLC0415 - an extra, which few install
    except ImportError:
        raise Mbv2genError("--backend dask: needs the package distributed; pip install 'mbv2gen[dask]'") from None
    try:
        client: Any = distributed.Client(crew.scheduler, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]  # distributed has no types
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or "no answer"
        raise Mbv2genError(f"--scheduler {crew.scheduler}: no Dask scheduler there ({reason})") from None
    return closing(client)
