"""Schedule: in which order the units of a segment run, and from when to when each row is alive.

A segment runs consecutive operators together, row by row, as a pipeline: of all operators whose input rows are there,
the one nearest the output runs its next unit. So a row is made only when nothing behind it can go on, a ring never
holds more than its consumers still need, and no multiply-accumulate is done twice. The order depends on shapes alone;
the C driver (mbv2_pipeline.c) takes the same decisions from the same few numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.planning.kernels import Access, Candidate, accesses, band, units
from mbv2gen.quantized_network import QuantizedNetwork


@dataclass(frozen=True)
class Step:
    """One operator in a pipeline: ``units`` of work, what they read, the tensor they write."""

    layer: int
    operator: str
    units: int
    reads: tuple[Access, ...]
    writes: str
    reduces: bool
    in_place: bool
    accumulates: bool = False
    band: int = 1  # rows that a unit makes


@dataclass(frozen=True)
class Lives:
    """Of one tensor: for each row the time it is written and the time it is last read, both inclusive."""

    written: NDArray[np.int64]
    last_read: NDArray[np.int64]

    def ring_rows(self) -> int:
        """The least number of rows that a ring of consecutive rows must hold."""
        rows = np.arange(len(self.written))
        oldest_alive = [int(np.argmax(self.last_read >= t)) for t in self.written]
        return int(np.max(rows - np.minimum(oldest_alive, rows))) + 1


def steps(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> tuple[Step, ...]:
    """The network's operators as steps, in order."""
    return tuple(
        Step(
            layer,
            operator.name,
            units(candidate, operator, network),
            accesses(candidate, operator, network),
            operator.outputs[0],
            candidate.contract.reduces,
            candidate.contract.in_place,
            candidate.contract.accumulates,
            band(candidate, operator, network),
        )
        for layer, (operator, candidate) in enumerate(zip(network.operators, chosen, strict=True))
    )


FEED = -1  # the layer number of the step by which the caller pushes rows


def feed(network: QuantizedNetwork) -> Step:
    """The caller as a step that makes the input's rows; it stands first, so it runs when nothing else can."""
    name = network.inputs[0]
    return Step(FEED, "the caller", network.shape(name)[0], (), name, reduces=False, in_place=False)


def order(segment: tuple[Step, ...]) -> NDArray[np.int64]:
    """(step, unit) pairs [n][2] in the order in which a segment runs them."""
    producer = {step.writes: index for index, step in enumerate(segment)}
    needs = [
        [(producer[r.tensor], [r.wanted(u) for u in range(step.units)]) for r in step.reads if r.tensor in producer]
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
        made[index] = (done[index] == step.units) if step.reduces else done[index] * step.band
        index = last_consumer[index]  # nothing behind it has become ready
    return np.array(sequence, dtype=np.int64).reshape(-1, 2)


def lives(segment: tuple[Step, ...], sequence: NDArray[np.int64], start: int) -> dict[str, Lives]:
    """Tensor -> the lives of its rows while the segment runs; unit i of the sequence runs at time start + i.

    A row that was there before is written at start - 1; rows that nobody in the segment reads last until they are
    written (or start - 1).
    """
    result: dict[str, Lives] = {}
    times = [np.nonzero(sequence[:, 0] == index)[0] + start for index in range(len(segment))]
    for index, step in enumerate(segment):
        only = times[index][:1] if step.accumulates else times[index][-1:]
        written = only.copy() if step.reduces else np.repeat(times[index], step.band)
        result[step.writes] = Lives(written, times[index][-1:].copy() if step.reduces else written.copy())
    for index, step in enumerate(segment):
        for read in step.reads:
            if read.tensor not in result:
                before = np.full(read.height, start - 1)
                result[read.tensor] = Lives(before, before.copy())
            last = result[read.tensor].last_read
            for unit, time in enumerate(times[index]):
                rows = slice(read.oldest(unit), read.wanted(unit))
                last[rows] = np.maximum(last[rows], time)
    return result
