# SPDX-License-Identifier: Apache-2.0
"""What a unit of a tight dsp kernel reads and makes, for the program interpreter: columns in the kernels' layouts and
orders, values from the canonical network. Geometry comes from the calls' literal arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen import int8_reference
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import Order
from mbv2gen.planning.layouts import RowNHWC, Tile16
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.program import Call
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QuantizedNetwork

Int8s = NDArray[np.int8]
PIXELS = 4  # of a unit
BY_COLUMN = frozenset({"conv_1x1_tile_s8_dsp", "add_s8_dsp"})  # to these kernels a column is a row of four pixels
POINTWISE = frozenset({"conv_1x1_columns_s8_dsp", "conv_1x1_windows_s8_dsp"})
OUTSIDE = 0x5A  # stands for what nobody has written, in columns of windows the rows outside the plane


@dataclass(frozen=True)
class _Window:
    """The pixels that four outputs read: ``size`` rows from ``top`` on, ``width`` pixels of each from ``left`` on."""

    top: int
    left: int
    size: int
    width: int


def columns_read(call: Call, unit: int) -> list[tuple[int, int]]:
    """(ring, place) of the columns that a unit reads."""
    if call.body in BY_COLUMN:
        return [(ring, unit) for ring in range(len(call.inputs))]
    windows = [_window(call, y, x) for y, x in _outputs(call, unit)]
    return sorted({_place(call, unit, y, column) for window in windows for y, column in _columns(call, window)})


def columns_written(call: Call, unit: int) -> list[tuple[Buffer, int]]:
    """(ring, place) of the columns that a unit makes."""
    layout = call.output.layout
    if not isinstance(layout, RingColumns4) or call.passing is None:
        return [(call.output, unit)]
    kept = [layout.is_kept(y) for y, _ in _outputs(call, unit)]
    return [(call.output if one else call.passing, unit) for one in kept]


def columns_made(call: Call, unit: int, data: Int8s) -> Iterator[tuple[int, int, Int8s]]:
    """(row, first pixel, int8 [4][c]) of the columns that a unit has made, but for those of rows that are made again;
    ``data`` are the bytes it has written."""
    outputs, layout = _outputs(call, unit), call.output.layout
    assert isinstance(layout, RowNHWC | Tile16 | RingColumns4 | WindowColumns4)
    before = range(0)
    if isinstance(layout, WindowColumns4):
        window = unit // call.unit_columns
        parts = [layout.part(data, window, y) for y, _ in outputs]
        before = layout.rows_of(window - 1, call.output_shape) if window else before
    else:
        parts = list(data.reshape(len(outputs), -1))
    for (y, x), part in zip(outputs, parts, strict=True):
        if y not in before:
            yield y, x, layout.decode(part, call.output_shape, call.work.order)


def column_values(
    call: Call, unit: int, read: dict[tuple[int, int], Int8s], network: QuantizedNetwork, order: Order | None
) -> Int8s:
    """The bytes of the columns that a unit makes; ``order`` is the input's."""
    outputs, layout = _outputs(call, unit), call.output.layout
    assert isinstance(layout, RowNHWC | Tile16 | RingColumns4 | WindowColumns4)
    made = [_convolved(call, unit, _window(call, y, x), read, network, order) for y, x in outputs]
    parts = [layout.encode(pixels, call.output_shape, call.work.order) for pixels in made]
    if not isinstance(layout, WindowColumns4):
        return np.concatenate(parts)
    data = np.full(layout.row_bytes(call.output_shape), OUTSIDE, np.int8)
    for (y, _), part in zip(outputs, parts, strict=True):
        layout.part(data, unit // call.unit_columns, y)[:] = part
    return data


def _outputs(call: Call, unit: int) -> list[tuple[int, int]]:
    """(row, first pixel) of the columns that a unit makes."""
    row, column = divmod(unit, call.unit_columns)
    layout, rows = call.output.layout, range(row, row + 1)
    if isinstance(layout, RingColumns4 | WindowColumns4):
        first = row * layout.step - layout.above
        rows = range(first, first + layout.rows_a_unit)
    return [(y, PIXELS * column) for y in rows if 0 <= y < call.output_shape[0]]


def _window(call: Call, y: int, x: int) -> _Window:
    """What the outputs (y, x) .. (y, x + 3) read."""
    if call.body in POINTWISE or call.body in BY_COLUMN:
        return _Window(y, x, 1, PIXELS)
    fields = dict(call.work.fields)
    stem = fields.get("stem", ())
    if isinstance(stem, tuple) and stem:
        fields = {"stride": 2, **dict(stem)}  # type: ignore[arg-type]  # a field's value is of any kind
    stride, top, left = (fields[name] for name in ("stride", "pad_top", "pad_left"))
    assert isinstance(stride, int)
    assert isinstance(top, int)
    assert isinstance(left, int)
    return _Window(y * stride - top, x * stride - left, 3, (PIXELS - 1) * stride + 3)


def _columns(call: Call, window: _Window) -> list[tuple[int, int]]:
    """(row, column) of the input that a window touches."""
    h, w, _ = call.input_shape
    pixels = w // call.inputs[0].columns
    rows = range(max(0, window.top), min(h, window.top + window.size))
    first, last = max(0, window.left), min(w, window.left + window.width) - 1
    return [(y, column) for y in rows for column in range(first // pixels, last // pixels + 1)]


def _place(call: Call, unit: int, y: int, column: int) -> tuple[int, int]:
    """(ring, place) of a column of the input that a unit reads."""
    layout, count = call.inputs[0].layout, call.inputs[0].columns
    if isinstance(layout, WindowColumns4):
        return 0, unit // call.unit_columns * count + column
    if isinstance(layout, RingColumns4):
        return 0 if layout.is_kept(y) else 1, layout.group(y) * count + column
    return 0, y * count + column


def _convolved(
    call: Call,
    unit: int,
    window: _Window,
    read: dict[tuple[int, int], Int8s],
    network: QuantizedNetwork,
    order: Order | None,
) -> Int8s:
    """int8 [4][c]: the operator on a window that is a picture of its own, padding filled in."""
    operator, layout = network.operators[call.layer], call.inputs[0].layout
    assert isinstance(operator, QConv2D | QDepthwiseConv2D)
    assert isinstance(layout, RowNHWC | Tile16 | RingColumns4 | WindowColumns4)
    _, w, c = call.input_shape
    pixels = w // call.inputs[0].columns
    picture = np.full((window.size, window.width, c), network.tensor(operator.inputs[0]).zero_point, np.int8)
    for y, column in _columns(call, window):
        data = read[_place(call, unit, y, column)]
        if isinstance(layout, WindowColumns4):
            data = layout.part(data, unit // call.unit_columns, y)
        values = layout.decode(data, call.input_shape, order)
        at = column * pixels - window.left  # of the column's first pixel
        inside = slice(max(0, -at), max(0, min(pixels, window.width - at)))
        picture[y - window.top, at + inside.start : at + inside.stop] = values[inside]
    bare = replace(operator.window, pad_top=0, pad_bottom=0, pad_left=0, pad_right=0)
    made: Int8s = int8_reference.evaluate_operator(network, replace(operator, window=bare), [picture[np.newaxis]])
    four: Int8s = made[0, 0]
    return four
