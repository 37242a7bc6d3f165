# SPDX-License-Identifier: Apache-2.0
"""RowWork: what a pushed row sets off adds up, is what the C does, and is counted exactly on the emulated board."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from c_libraries import Inference, library
from mobilenets import one_block
from numpy.typing import NDArray
from planned import planned, planned_tight
from random_networks import random_images, random_network
from small_models import write_network
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import profiling, row_work
from mbv2gen.hardware import boards
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.row_work import RowWork

COUNTER = """
#include <stdint.h>
unsigned tapped[256];
void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count);
void mbv2_tap(unsigned layer, unsigned row, unsigned first, const int8_t *values, unsigned count) {
    (void)row, (void)values, (void)count;
    if (first == 0) tapped[layer]++;
}
"""
OK, MORE, HUNGRY = 0, 4, 5


def rows_made_by_pushes(network: QuantizedNetwork, work: Path) -> NDArray[np.int64]:
    """[pushed row][layer]: how many rows of each layer the C makes until it is hungry again."""
    folder = write_network(network, work / "out", "host", feed="rows")
    (work / "counter").mkdir()
    (work / "counter" / "counter.c").write_text(COUNTER)
    code = library([folder.path, work / "counter"], work, "-DMBV2_TAP")
    run = Inference(code, network, folder.report()["ram"]["arena_bytes"])
    assert run.init() == 0
    x = random_images(np.random.default_rng(0), network.shape(network.inputs[0]), 1)[0]
    counts = (ctypes.c_uint * 256).in_dll(code, "tapped")
    push = getattr(code, f"{network.name}_push_rows")
    made = []
    while (status := run.step()) != OK:
        if status == HUNGRY:
            made.append(list(counts))
            row = np.ascontiguousarray(x[len(made) - 1])
            assert push(run.context, ctypes.c_void_p(row.ctypes.data), 1) == 1
    made.append(list(counts))
    return np.diff(np.array(made, np.int64), axis=0)[:, : len(network.operators)]


@needs_host_compiler
@pytest.mark.parametrize("seed", range(3))
def test_a_row_sets_off_what_the_c_does_between_two_pushes(seed: int, tmp_path: Path) -> None:
    network = random_network(np.random.default_rng(seed), size=(13, 9), name="net")
    complete = planned(network, "rows")[1]
    a_row = [call.macs // call.output_shape[0] for call in complete.calls]
    work = row_work.rows(complete)
    assert work is not None
    assert list(work.macs.counted) == (rows_made_by_pushes(network, tmp_path) @ a_row).tolist()


@needs_arm_compiler
@needs_qemu
def test_the_boards_instructions_by_rows_add_up_to_the_whole(tmp_path: Path) -> None:
    """But for reading rows from the file, between the pushes."""
    network = random_network(np.random.default_rng(4), size=(20, 16), blocks=1, max_channels=8, name="net")
    folder = write_network(network, tmp_path / "out", "cortex-m7", feed="rows")
    measured = profiling.profile(folder, boards.load("mps2-an500"))
    assert measured.row_instructions is not None
    assert measured.instructions is not None
    counted = measured.row_instructions.counted
    assert len(counted) == 20
    assert sum(counted) <= measured.instructions < 1.005 * sum(counted)
    report = profiling.in_report(folder.report(), measured)["rows"]
    assert report["instructions"] == {
        "mean": round(sum(counted) / 20, 1),
        "worst": max(counted[:-1]),
        "last": counted[-1],
    }
    assert report["greatest_rate_per_mhz"] == 1_000_000 / max(counted[:-1])
    assert measured.touched_arena_bytes <= measured.arena_bytes


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_macs_are_all_the_networks(seed: int) -> None:
    network = random_network(np.random.default_rng(seed), size=(13, 9))
    _, complete = planned(network, "rows")
    work = row_work.rows(complete)
    assert work is not None
    assert len(work.macs.counted) == 13
    assert sum(work.macs.counted) == sum(call.macs for call in complete.calls)
    assert work.macs.mean * 13 == pytest.approx(sum(work.macs.counted))


def test_where_a_layer_by_rows_stands_before_columns_the_rows_macs_are_all_the_networks() -> None:
    network = one_block((24, 24), 2, "torch")
    complete = planned_tight(network, [operator.name for operator in network.operators], feed="rows")
    assert [call.tight for call in complete.calls] == [False, True, True, True]
    work = row_work.rows(complete)
    assert work is not None
    assert sum(work.macs.counted) == sum(call.macs for call in complete.calls)


def test_a_frame_has_no_rows() -> None:
    network = random_network(np.random.default_rng(1), size=(8, 8), blocks=1)
    assert row_work.rows(planned(network, "frame")[1]) is None


def test_the_last_row_counts_apart() -> None:
    work = RowWork((0, 30, 10, 500))
    assert (work.mean, work.worst, work.last, work.greatest_rate) == (135, 30, 500, 1_000_000 / 30)
    assert RowWork((7,)).greatest_rate is None
