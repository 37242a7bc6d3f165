# SPDX-License-Identifier: Apache-2.0
"""Crews: the same figures whoever works, in order, in bounded memory; what goes wrong in a worker is one line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from mbv2gen import workers
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.workers import Crew

LOCAL = (Crew("loky", 1), Crew("loky", 2), Crew("threading", 2))


def times(tool: np.ndarray, part: int) -> tuple[int, int]:
    return int(tool.sum()) * part, os.getpid()


def failing(tool: None, part: int) -> int:
    if part == 3:
        raise CheckFailed("part 3 is not well")
    return part


def dying(tool: None, part: int) -> None:
    os._exit(9)


@pytest.mark.parametrize("crew", LOCAL, ids=lambda crew: f"{crew.backend}-{crew.jobs}")
def test_results_come_in_the_order_of_the_parts(crew: Crew) -> None:
    made = list(workers.work(crew, times, np.ones(200_000, np.uint8), range(20)))
    assert [result for result, _ in made] == [200_000 * part for part in range(20)]
    is_elsewhere = any(process != os.getpid() for _, process in made)
    assert is_elsewhere == (crew.backend == "loky" and crew.jobs != 1)


@pytest.mark.parametrize("crew", LOCAL, ids=lambda crew: f"{crew.backend}-{crew.jobs}")
def test_parts_are_read_only_as_they_are_needed(crew: Crew) -> None:
    drawn = []

    def parts() -> Iterator[int]:
        for part in range(1000):
            drawn.append(part)
            yield part

    results = workers.work(crew, times, np.ones(1), parts())
    assert next(results)[0] == 0
    if crew.jobs == 1:
        assert len(drawn) == 1
    else:
        assert len(drawn) < 1000
    assert [result for result, _ in results] == list(range(1, 1000))


@pytest.mark.parametrize("crew", LOCAL, ids=lambda crew: f"{crew.backend}-{crew.jobs}")
def test_what_a_worker_raises_arrives_as_it_is(crew: Crew) -> None:
    with pytest.raises(CheckFailed, match=r"^part 3 is not well$"):
        list(workers.work(crew, failing, None, range(10)))


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_worker_that_dies_is_an_error_in_one_line() -> None:
    with pytest.raises(Mbv2genError, match="a worker process ended"):
        list(workers.work(Crew("loky", 2), dying, None, range(4)))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("loky", None, "tcp://x:1"), "--scheduler"),
        (("dask", None, None), "needs --scheduler"),
        (("dask", 2, "tcp://x:1"), "--jobs 2"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, int | None, str | None], word: str) -> None:
    with pytest.raises(Mbv2genError, match=word):
        Crew(*options)


def test_where_no_scheduler_listens_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs distributed: pip install 'mbv2gen[dask]'")
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(Mbv2genError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler there"):
        list(workers.work(Crew("dask", scheduler="tcp://127.0.0.1:9"), failing, None, range(2)))


def test_a_dask_cluster_does_the_same() -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'mbv2gen[dask]'")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        crew = Crew("dask", scheduler=cluster.scheduler_address)
        made = list(workers.work(crew, times, np.ones(200_000, np.uint8), range(20)))
        assert [result for result, _ in made] == [200_000 * part for part in range(20)]
        with pytest.raises(CheckFailed, match="part 3"):
            list(workers.work(crew, failing, None, range(10)))
