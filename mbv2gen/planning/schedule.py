# SPDX-License-Identifier: Apache-2.0
"""Schedule: in which order the units of a segment run, and from when to when each row is alive.

A segment runs consecutive operators together, row by row, as a pipeline: of all operators whose input rows are there,
the one nearest the output runs its next unit. So a row is made only when nothing behind it can go on, a ring never
holds more than its consumers still need, and no multiply-accumulate is done twice. The order depends on shapes alone;
the C driver (mbv2_pipeline.c) takes the same decisions from the same few numbers. Where a tensor's rows are cut into
columns, its places are columns, else rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mbv2gen.planning.kernels import Access, Candidate, band, idle_units, units
from mbv2gen.planning.ring_columns import RingColumns4
from mbv2gen.planning.tight import passing_ring, step_accesses, tensor_columns, unit_columns
from mbv2gen.quantized_network import QOperator, QuantizedNetwork


@dataclass(frozen=True)
class Step:
    """One operator in a pipeline: ``units`` of work, what they read, the tensor they write.

    ``idle``: units at the beginning that complete no place; ``band``: places that each of the others completes;
    ``accumulates``: its only place is there from the first unit on; ``unit_columns``: units a row; ``passing``: a
    second ring that it writes, place by place with the first.
    """

    layer: int
    operator: str
    units: int
    reads: tuple[Access, ...]
    writes: str
    in_place: bool
    idle: int = 0
    accumulates: bool = False
    band: int = 1
    unit_columns: int = 1
    passing: str | None = None


@dataclass(frozen=True)
class Lives:
    """Of one tensor: for each place the time it is written and the time it is last read, both inclusive."""

    written: NDArray[np.int64]
    last_read: NDArray[np.int64]

    def ring_places(self) -> int:
        """The least number of places that a ring of consecutive ones must hold."""
        places = np.arange(len(self.written))
        reach = np.maximum.accumulate(self.last_read)
        oldest_alive = np.searchsorted(reach, self.written)  # the first that is read at that time or later
        return int(np.max(places - np.minimum(oldest_alive, places))) + 1


def steps(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> tuple[Step, ...]:
    """The network's operators as steps, in order."""
    columns = tensor_columns(network, chosen)
    return tuple(
        _step(layer, operator, candidate, network, columns)
        for layer, (operator, candidate) in enumerate(zip(network.operators, chosen, strict=True))
    )


def _step(
    layer: int, operator: QOperator, candidate: Candidate, network: QuantizedNetwork, columns: dict[str, int]
) -> Step:
    contract, output, layout = candidate.contract, operator.outputs[0], candidate.output_layout
    passes = isinstance(layout, RingColumns4) and layout.rows_a_group > 1
    return Step(
        layer,
        operator.name,
        units(candidate, operator, network),
        step_accesses(candidate, operator, network, columns),
        output,
        contract.in_place,
        idle_units(candidate, operator, network),
        contract.accumulates,
        1 if contract.tight else band(candidate, operator, network) * columns[output],
        unit_columns(candidate, operator, network),
        passing_ring(output) if passes else None,
    )


FEED = -1  # the layer number of the step by which the caller pushes rows


def feed(network: QuantizedNetwork, readers: tuple[Step, ...]) -> Step:
    """The caller as a step that makes the input's rows, in the columns in which the steps behind it read them; it
    stands first, so it runs when nothing else can."""
    name = network.inputs[0]
    columns = next((read.columns.count for step in readers for read in step.reads if read.tensor == name), 1)
    return Step(FEED, "the caller", network.shape(name)[0], (), name, in_place=False, band=columns)


@lru_cache(maxsize=1024)  # a search comes back to a segment, and what follows the search asks again
def order(segment: tuple[Step, ...]) -> NDArray[np.int64]:
    """(step, unit) pairs [n][2] in the order in which a segment runs them; read-only."""
    producer = {step.writes: index for index, step in enumerate(segment)}
    needs = [
        [(producer[r.tensor], _reading(r, step.units).wanted) for r in step.reads if r.tensor in producer]
        for step in segment
    ]
    last_consumer = list(range(len(segment)))
    for index, inputs in enumerate(needs):
        for source, _ in inputs:
            last_consumer[source] = max(last_consumer[source], index)
    done = [0] * len(segment)
    made = [0] * len(segment)
    sequence = []
    index = len(segment) - 1
    while index >= 0:
        unit = done[index]
        if unit == segment[index].units or any(made[source] < wanted[unit] for source, wanted in needs[index]):
            index -= 1
            continue
        sequence.append((index, unit))
        done[index] += 1
        step = segment[index]
        made[index] = (done[index] - step.idle) * step.band
        index = last_consumer[index]  # nothing behind it has become ready
    pairs = np.array(sequence, dtype=np.int64).reshape(-1, 2)
    pairs.setflags(write=False)
    return pairs


def lives(segment: tuple[Step, ...], sequence: NDArray[np.int64], start: int) -> dict[str, Lives]:
    """Tensor -> the lives of its places while the segment runs; unit i of the sequence runs at time start + i.

    A place that was there before is written at start - 1; places that nobody in the segment reads last until they are
    written (or start - 1).
    """
    result: dict[str, Lives] = {}
    times = [np.nonzero(sequence[:, 0] == index)[0] + start for index in range(len(segment))]
    for index, step in enumerate(segment):
        complete = np.repeat(times[index][step.idle :], step.band)
        result[step.writes] = Lives(times[index][:1].copy() if step.accumulates else complete, complete.copy())
        if step.passing is not None:
            result[step.passing] = Lives(complete, complete.copy())
    for index, step in enumerate(segment):
        for read in step.reads:
            if read.tensor not in result:
                before = np.full(read.places, start - 1)
                result[read.tensor] = Lives(before, before.copy())
            _read(result[read.tensor].last_read, read, times[index])
    return result


def _read(last: NDArray[np.int64], read: Access, times: NDArray[np.int64]) -> None:
    """Put into ``last`` that unit u reads its places at times[u], which ascend."""
    reading = _reading(read, len(times))
    here = np.full_like(last, -1)
    here[reading.places] = np.repeat(times, reading.lengths)  # of a place named twice the last time stands
    np.maximum(last, here, out=last)


@dataclass(frozen=True, eq=False)
class _Reading:
    """What units 0, 1, ... read by an Access: ``wanted`` places must have been made before; ``lengths`` places each,
    all ``places`` one unit after the other."""

    wanted: list[int]
    lengths: NDArray[np.int64]
    places: NDArray[np.int64]


@lru_cache(maxsize=4096)
def _reading(read: Access, units: int) -> _Reading:
    begin, end = read.oldest(np.arange(units)), read.wanted(np.arange(units))
    lengths = np.maximum(end - begin, 0)
    starts = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) - np.repeat(starts, lengths) + np.repeat(begin, lengths)
    return _Reading(end.tolist(), lengths, places)
