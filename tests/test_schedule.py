# SPDX-License-Identifier: Apache-2.0
"""Schedule: the order of units and the lives of rows, against simulations that try everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder
from numpy.typing import NDArray
from planned import chosen
from random_networks import TORCH, TORCH_S2, random_network

from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.layouts import PlanarLines
from mbv2gen.planning.schedule import FEED, Lives, Step, feed, lives, order, steps
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QOperator, QuantizedNetwork

SEEDS = range(20)


def rows_needed(network: QuantizedNetwork, step: Step, candidate: Candidate, unit: int) -> dict[str, list[int]]:
    """From the operator's own geometry: the rows (of the layouts) that a unit touches of each input."""
    operator: QOperator = network.operators[step.layer]
    if not isinstance(operator, QConv2D | QDepthwiseConv2D):
        heights = [network.shape(name)[0] for name in operator.inputs]
        whole = operator.kind == "fully_connected"
        return {n: list(range(h)) if whole else [unit] for n, h in zip(operator.inputs, heights, strict=True)}
    height = network.shape(operator.inputs[0])[0]
    output, stored = candidate.output_layout, candidate.input_layout
    made = unit - (output.pad_top if isinstance(output, PlanarLines) else 0)
    if not 0 <= made < network.shape(operator.outputs[0])[0]:
        return {operator.inputs[0]: []}
    top = made * operator.window.stride_h - operator.window.pad_top
    rows = range(top, top + operator.window.kernel_h)
    if isinstance(stored, PlanarLines):
        return {operator.inputs[0]: [row + stored.pad_top for row in rows]}
    return {operator.inputs[0]: [row for row in rows if 0 <= row < height]}


def segments_of(seed: int) -> list[tuple[QuantizedNetwork, tuple[Candidate, ...], tuple[Step, ...]]]:
    """A random network, whole, fed row by row, and cut at a random place."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, max_channels=3, blocks=int(rng.integers(1, 4)))
    kernels = chosen(network)
    all_steps = steps(network, kernels)
    cut = int(rng.integers(1, len(all_steps)))
    parts = (all_steps, (feed(network, all_steps), *all_steps), all_steps[:cut], all_steps[cut:])
    return [(network, kernels, part) for part in parts]


def all_segments() -> list[tuple[QuantizedNetwork, tuple[Candidate, ...], tuple[Step, ...]]]:
    return list(itertools.chain.from_iterable(map(segments_of, SEEDS)))


def rows_made(step: Step, ran: int) -> int:
    return ran - step.idle


def can_run(
    network: QuantizedNetwork, kernels: tuple[Candidate, ...], segment: tuple[Step, ...], done: list[int], index: int
) -> bool:
    step = segment[index]
    if done[index] == step.units:
        return False
    if step.layer == FEED:
        return True
    made = {other.writes: rows_made(other, ran) for other, ran in zip(segment, done, strict=True)}
    needed = rows_needed(network, step, kernels[step.layer], done[index])
    return all(row < made[name] for name, rows in needed.items() if name in made for row in rows)


def test_every_unit_of_every_operator_runs_exactly_once_and_in_turn() -> None:
    for _, _, segment in all_segments():
        sequence = order(segment)
        for index, step in enumerate(segment):
            assert sequence[sequence[:, 0] == index, 1].tolist() == list(range(step.units))
        assert len(sequence) == sum(step.units for step in segment)


def test_a_unit_runs_only_when_the_rows_it_touches_exist() -> None:
    for network, kernels, segment in all_segments():
        done = [0] * len(segment)
        for index, unit in order(segment).tolist():
            assert done[index] == unit
            assert can_run(network, kernels, segment, done, index), (segment[index].operator, unit)
            done[index] += 1


def stingy_rows(segment: tuple[Step, ...], done: list[int], index: int) -> bool:
    """Whether a unit waits though its rows are there: its rows above or below the plane count as their neighbours."""
    step = segment[index]
    made = {other.writes: rows_made(other, ran) for other, ran in zip(segment, done, strict=True)}
    return any(made[r.tensor] < r.wanted(done[index]) for r in step.reads if r.tensor in made)


def test_a_row_is_made_only_when_nothing_nearer_the_output_can_go_on() -> None:
    waited = 0
    for network, kernels, segment in all_segments():
        done = [0] * len(segment)
        for index, _ in order(segment).tolist():
            for behind in range(index + 1, len(segment)):
                if can_run(network, kernels, segment, done, behind):
                    assert stingy_rows(segment, done, behind)
                    waited += 1
            done[index] += 1
    assert waited < 0.05 * sum(len(order(segment)) for _, _, segment in all_segments())


def reads_of(segment: tuple[Step, ...], sequence: NDArray[np.int64]) -> dict[str, list[tuple[int, range]]]:
    """Tensor -> (time, rows read)."""
    reads: dict[str, list[tuple[int, range]]] = {}
    for time, (index, unit) in enumerate(sequence.tolist()):
        for access in segment[index].reads:
            first = unit * access.stride - access.pad
            rows = range(max(0, first), min(access.height, first + access.span))
            reads.setdefault(access.tensor, []).append((time, rows))
    return reads


def ring_survives(size: int, life: Lives, reads: list[tuple[int, range]]) -> bool:
    """Plays the writes into a ring of ``size`` rows: does every read find its row in its slot?"""
    slots: dict[int, int] = {}
    writes = iter(enumerate(life.written.tolist()))
    row, written = next(writes)
    for time, rows in reads:
        while written is not None and written < time:
            slots[row % size] = row
            row, written = next(writes, (row, None))
        if any(slots.get(r % size) != r for r in rows):
            return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ring_of_ring_rows_holds_every_row_until_its_last_read_and_one_row_less_does_not(seed: int) -> None:
    for _, _, segment in segments_of(seed):
        sequence = order(segment)
        reads = reads_of(segment, sequence)
        for name, life in lives(segment, sequence, 0).items():
            if name not in reads or life.written[0] < 0 or len(life.written) == 1:
                continue
            rows = life.ring_places()
            assert ring_survives(rows, life, reads[name]), name
            assert not ring_survives(rows - 1 or len(life.written) + 1, life, reads[name]) or rows == 1, name


def test_rows_live_from_their_unit_to_the_last_unit_that_touches_them() -> None:
    for network, kernels, segment in all_segments():
        sequence, start = order(segment), 100
        found = lives(segment, sequence, start)
        touched: dict[tuple[str, int], int] = {}
        written: dict[tuple[str, int], int] = {}
        for time, (index, unit) in enumerate(sequence.tolist(), start):
            step = segment[index]
            if step.layer != FEED:
                for name, rows in rows_needed(network, step, kernels[step.layer], unit).items():
                    touched.update({(name, row): time for row in rows})
            if unit >= step.idle:
                written[step.writes, unit - step.idle] = time
        for name, life in found.items():
            for row, (first, last) in enumerate(zip(life.written.tolist(), life.last_read.tolist(), strict=True)):
                assert first == written.get((name, row), start - 1)
                assert last >= touched.get((name, row), first)


def pipeline(*strides: int) -> tuple[QuantizedNetwork, tuple[Step, ...]]:
    """Depthwise 3x3 convolutions with canonical rows, one after the other."""
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.input((8, 4, 2))
    for i, stride in enumerate(strides):
        x = b.depthwise(x, f"depthwise{i}", TORCH_S2 if stride == 2 else TORCH, RELU6)
    b.block("layers", "Layer", *(["layer"] * len(strides)))
    network = b.network("pipeline", x)
    return network, steps(network, chosen(network))


def ring_rows(segment: tuple[Step, ...]) -> list[int]:
    found = lives(segment, order(segment), 0)
    return [found[step.writes].ring_places() for step in segment[:-1]]


def test_three_by_three_windows_wait_in_rings_of_three_rows() -> None:
    assert ring_rows(pipeline(1, 1, 1)[1]) == [3, 3]
    assert ring_rows(pipeline(1, 2, 1)[1]) == [3, 3]


def test_the_rows_that_the_caller_pushes_wait_in_a_ring_of_three() -> None:
    network, segment = pipeline(1, 1)
    assert ring_rows((feed(network, segment), *segment)) == [3, 3]


def test_a_pipeline_of_two_convolutions_runs_in_this_order() -> None:
    _, segment = pipeline(2, 1)
    #  step 0 makes rows 0..3 of 4x2, step 1 wants one row below its own:   0 0 1 0 1 0 1 1
    assert order(segment).tolist() == [[0, 0], [0, 1], [1, 0], [0, 2], [1, 1], [0, 3], [1, 2], [1, 3]]


def test_a_residual_waits_in_a_ring_of_two_rows() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    source = b.conv(b.input((8, 4, 3)), "stem", 4, TORCH, RELU6)
    x = b.conv(source, "expand", 8, POINTWISE, RELU6)
    x = b.depthwise(x, "depthwise", TORCH, RELU6)
    x = b.add(source, b.conv(x, "project", 4, POINTWISE, NONE), "add")
    b.block("layers", "Layer", *(["layer"] * len(b.operators)))
    network = b.network("residual", x)
    segment = steps(network, chosen(network))
    found = lives(segment, order(segment), 0)
    assert (found["stem"].ring_places(), found["expand"].ring_places(), found["project"].ring_places()) == (2, 3, 1)
