# SPDX-License-Identifier: Apache-2.0
"""Program interpreter: runs a program's calls in NumPy on a tagged arena, as the C runs them.

It takes layouts, row addresses, order and tables from the Program alone, shares no code with the planner, reads
geometry from the calls' literal arguments and decides by the driver's own rule which layer goes on. Every byte that is
read is checked to be the row it is taken for. Without ``values`` it moves owners only: that is the arena check of
every compile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbv2gen.dsp.calls import DSP_BODIES
from mbv2gen.dsp.columns import column_values, columns_made, columns_read, columns_written
from mbv2gen.dsp.rows import dsp_row, dsp_rows_read, made_rows, partial_sums, requantized_sums
from mbv2gen.errors import CheckFailed
from mbv2gen.packing.plain_rows import plain_row, plain_rows_read
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import Order
from mbv2gen.planning.layouts import Planes, PlaneTiles
from mbv2gen.planning.tagged_arena import TaggedArena
from mbv2gen.program import Call, Need, Program
from mbv2gen.quantized_network import QuantizedNetwork

Int64s = NDArray[np.int64]
Tap = Callable[[Call, int, NDArray[np.int8]], None]
Orders = dict[str, Order | None]
Parts = dict[tuple[int, int], list[NDArray[np.int8]]]  # (layer, row) -> its columns, or groups of channels, so far
ELEMENTWISE = frozenset({"add_s8", "add_s8_dsp", "activation_s8"})


def check_arena(program: Program) -> TaggedArena:
    """Replay the program on a tagged arena; raises CheckFailed at the first byte that is not what it is read for.

    Where the caller pushes rows it is replayed twice: rows pushed when due, and as early as the ring takes them.
    """
    if program.is_fed:
        _run(program, None, None, eager=True)
    return _run(program, None, None)[0]


def run(program: Program, x: NDArray[np.int8], tap: Tap | None = None) -> NDArray[np.int8]:
    """One inference: int8 [h][w][c] -> int8 output [h][w][c]; ``tap`` sees (call, row, int8 [w][c]) of each row."""
    arena, result = _run(program, x, tap)
    assert arena.size == program.arena_bytes
    return result


@dataclass
class _Caller:
    """Puts the input's rows into the arena; a ring takes a row when the slot's old row is no longer needed."""

    program: Program
    arena: TaggedArena
    x: NDArray[np.int8] | None
    pushed: int = 0

    def can_push(self, oldest: int = 0) -> bool:
        height = self.program.network.shape(self.program.network.inputs[0])[0]
        return self.pushed < height and self.pushed - oldest < self.program.input.rows

    def push(self) -> None:
        data = None if self.x is None else self.x[self.pushed].reshape(-1)
        self.arena.write_row(self.program.input, self.pushed, data)
        self.pushed += 1

    def oldest(self, done: list[int]) -> int:
        """The first row that some layer still needs; ``done`` counts units, the caller first."""
        height = self.program.network.shape(self.program.network.inputs[0])[0]
        rows = [height]
        for step, stride, pad in self.program.feeds:
            call = self.program.calls[step - 1]
            if done[step] < call.units:
                rows.append(max(0, done[step] // call.unit_columns * stride - pad))
        return min(rows)


def _run(
    program: Program, x: NDArray[np.int8] | None, tap: Tap | None, eager: bool = False
) -> tuple[TaggedArena, NDArray[np.int8]]:
    arena = TaggedArena(program.arena_bytes)
    caller = _Caller(program, arena, x)
    if not program.is_fed:
        while caller.can_push():
            caller.push()
    for number, (first, end) in enumerate(program.segments):
        fed = caller if program.is_fed and number == 0 else None
        _run_segment(program, program.calls[first:end], arena, x is not None, tap, fed, eager)
    h, w, c = program.network.shape(program.network.outputs[0])
    rows = [arena.read_row(program.output, row, "the caller") for row in range(h)]
    return arena, np.stack(rows).reshape(h, w, c)


def _run_segment(
    program: Program,
    calls: tuple[Call, ...],
    arena: TaggedArena,
    values: bool,
    tap: Tap | None,
    caller: _Caller | None,
    eager: bool,
) -> None:
    network = program.network
    orders = {call.output.tensor: call.work.order for call in program.calls}
    parts: Parts = {}
    done = [0] * (len(calls) + (caller is not None))
    working = len(done) - len(calls)  # steps before the first layer
    while True:
        if caller is not None:
            while eager and caller.can_push(caller.oldest(done)):
                caller.push()
            done[0] = caller.pushed
        index = next((i for i in reversed(range(len(calls))) if _ready(program, calls, done, i)), None)
        if index is None and caller is not None and caller.can_push(caller.oldest(done)):
            caller.push()
            continue
        if index is None:
            break
        unit = done[working + index]
        row = _unit(calls[index], unit, arena, values, network, orders)
        if tap is not None and row is not None:
            _hand_out(calls[index], unit, row, tap, parts)
        done[working + index] += 1
    unfinished = [call.operator for call, n in zip(calls, done[working:], strict=True) if n != call.units]
    if unfinished:
        raise CheckFailed(f"arena check: the schedule stops before {unfinished[0]} is complete")


def _hand_out(call: Call, unit: int, data: NDArray[np.int8], tap: Tap, parts: Parts) -> None:
    """The rows that are complete with this unit."""
    if call.tight:
        for row, _, pixels in columns_made(call, unit, data):
            so_far = parts.setdefault((call.layer, row), [])
            so_far.append(pixels)
            if len(so_far) == call.unit_columns:
                tap(call, row, np.concatenate(parts.pop((call.layer, row))))
        return
    layout = call.output.layout
    groups = layout.groups if isinstance(layout, Planes | PlaneTiles) else 1
    for row, values in made_rows(call, unit, data):
        so_far = parts.setdefault((call.layer, row), [])
        so_far.append(values)
        if len(so_far) == groups:
            tap(call, row, np.sum(parts.pop((call.layer, row)), axis=0, dtype=np.int8))


def _ready(program: Program, calls: tuple[Call, ...], done: list[int], index: int) -> bool:
    working = len(done) - len(calls)
    unit = done[working + index]
    if unit == calls[index].units:
        return False
    for need in calls[index].needs:
        ran = done[need.source]
        source = calls[need.source - working] if need.source >= working else None
        made = ran * program.input.joined if source is None else (ran - source.idle) * source.places_a_unit
        if made < _needed(need, unit, calls[index].unit_columns):
            return False
    return True


def _needed(need: Need, unit: int, unit_columns: int) -> int:
    """How much of what the source makes."""
    if need.columns == 0:
        return unit + 1
    y, g = divmod(unit, unit_columns)
    rows = min(need.height, y * need.stride + need.first)
    return (rows - 1) * need.columns + min(need.columns, g * need.column_stride + need.column_first) if rows > 0 else 0


def _rows_read(call: Call, unit: int) -> list[tuple[int, int | None]]:
    """(input, row) pairs a unit reads, in the order of the kernel's taps; row None is outside the picture."""
    if call.tight:
        return [*columns_read(call, unit)]
    if call.body in DSP_BODIES and call.struct != "mbv2_add_dsp":
        return dsp_rows_read(call, unit)
    return plain_rows_read(call, unit)


def _unit(
    call: Call, unit: int, arena: TaggedArena, values: bool, network: QuantizedNetwork, orders: Orders
) -> NDArray[np.int8] | None:
    """Run a unit; the bytes of the row it has written, None where it wrote none (or moves owners only)."""
    who = f"unit {unit} of {call.operator}"
    read = [(i, row, arena.row(call.inputs[i], row)) for i, row in _rows_read(call, unit) if row is not None]
    rows = {(i, row): arena.read_row(call.inputs[i], row, who) for i, row, _ in read}
    sums = _scratch(call, unit, arena, rows, network, orders, values, who)
    _check_scratch(call, unit, arena, [where for _, _, where in read], who)
    if call.accumulates:
        _accumulate(call, unit, arena, rows, values, network, orders)
        return None
    if unit < call.idle:
        return None
    for index, _, where in read:
        for out in (arena.row(*written) for written in _rows_written(call, unit)):
            overlap = where.start < out.stop and out.start < where.stop
            exact = call.body in ELEMENTWISE and where == out
            if overlap and not exact:
                raise CheckFailed(f"arena check: {who} writes over the row of {call.inputs[index].tensor} it reads")
    data = _compute(call, unit, rows, sums, network, orders).reshape(-1) if values else None
    for i, (buffer, row) in enumerate(_rows_written(call, unit)):
        part = None if data is None else data[i * buffer.row_bytes : (i + 1) * buffer.row_bytes]
        arena.write_row(buffer, row, part)
    return data


def _rows_written(call: Call, unit: int) -> list[tuple[Buffer, int]]:
    """(ring, row) of what a unit makes."""
    if call.tight:
        return columns_written(call, unit)
    return [(call.output, (unit - call.idle) * call.band + i) for i in range(call.band)]


def _check_scratch(call: Call, unit: int, arena: TaggedArena, read: list[slice], who: str) -> None:
    """A unit's scratch may not lie on a row it reads, or on one it writes."""
    if call.scratch_offset is None:
        return
    written = [arena.row(buffer, row) for buffer, row in _rows_written(call, unit)]
    begin, end = _scratch_part(call, unit)
    for where in (*read, *written):
        if begin < where.stop and where.start < end:
            raise CheckFailed(f"arena check: the scratch of {who} lies on a row it reads or writes")


def _accumulate(
    call: Call,
    unit: int,
    arena: TaggedArena,
    rows: dict[tuple[int, int], NDArray[np.int8]],
    values: bool,
    network: QuantizedNetwork,
    orders: Orders,
) -> None:
    """Add a row to the output's sums, which stand there from the first unit on."""
    where, tensor = arena.row(call.output, 0), call.output.tensor
    sums = arena.read(where, tensor, 0, f"unit {unit} of {call.operator}") if unit else None
    data = None
    if values:
        added = dsp_row(call, unit, rows, network, orders).view(np.int32)
        data = (added if sums is None else added + sums.view(np.int32)).view(np.int8)
    arena.write(where, tensor, 0, data)


def _scratch_part(call: Call, unit: int) -> tuple[int, int]:
    """Begin and end of the scratch that a unit uses."""
    assert call.scratch_offset is not None
    size = call.scratch_bytes // call.scratch_parts
    begin = call.scratch_offset + unit % call.scratch_parts * size
    return begin, begin + size


def _scratch(
    call: Call,
    unit: int,
    arena: TaggedArena,
    rows: dict[tuple[int, int], NDArray[np.int8]],
    network: QuantizedNetwork,
    orders: Orders,
    values: bool,
    who: str,
) -> Int64s | None:
    """int32 sums kept in the arena from unit to unit: a mean's, or of groups of channels those of a band of pixels.
    Other scratch is written before it is read."""
    if call.scratch_offset is None:
        return None
    begin, end = _scratch_part(call, unit)
    if not call.keeps_scratch:
        where = arena.inside(begin, end - begin, f"the scratch of {call.operator}")
        arena.write(where, f"the scratch of {call.operator}", unit, None)
        return None
    before = unit - call.scratch_parts  # the unit that used this part last
    where, name = arena.inside(begin, end - begin, f"the sums of {call.operator}"), f"the sums of {call.operator}"
    sums = np.zeros((end - begin) // 4, np.int64)
    if before >= 0:
        sums = arena.read(where, name, before, who).view(np.int32).astype(np.int64)
    if values:
        sums = sums + _added(call, unit, rows, network, orders)
    arena.write(where, name, unit, sums.astype(np.int32).view(np.int8) if values else None)
    return sums


def _added(
    call: Call, unit: int, rows: dict[tuple[int, int], NDArray[np.int8]], network: QuantizedNetwork, orders: Orders
) -> Int64s:
    """What a unit adds to the sums that it keeps."""
    if call.struct == "mbv2_mean":
        return np.asarray(rows[0, unit].reshape(-1, call.output_shape[2]).astype(np.int64).sum(axis=0))
    return partial_sums(call, unit, rows[0, unit], network, orders[call.inputs[0].tensor])


def _compute(
    call: Call,
    unit: int,
    rows: dict[tuple[int, int], NDArray[np.int8]],
    sums: Int64s | None,
    network: QuantizedNetwork,
    orders: Orders,
) -> NDArray[np.int8]:
    if call.struct not in ("mbv2_add", "mbv2_add_dsp") and call.tight:
        return column_values(call, unit, rows, network, orders.get(call.inputs[0].tensor))
    if call.body == "conv_1x1_partial_s8_dsp":
        assert sums is not None
        return requantized_sums(call, sums, network)
    if call.body in DSP_BODIES and call.struct != "mbv2_add_dsp":
        return dsp_row(call, unit, rows, network, orders)
    return plain_row(call, unit, rows, sums)
