# SPDX-License-Identifier: Apache-2.0
"""What a unit of a dsp kernel reads and makes, for the program interpreter: rows in the kernels' layouts and orders,
values from the canonical network (that the streams say the same is dsp_check's to prove)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen import int8_reference
from mbv2gen.arithmetic import multiply_by_quantized_multiplier
from mbv2gen.planning.channel_order import Order, even
from mbv2gen.planning.layouts import CodedRows, Planes, PlaneTiles, UInt8Lines
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.program import Call
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QMean, QuantizedNetwork

Rows = dict[tuple[int, int], NDArray[np.int8]]


def dsp_rows_read(call: Call, unit: int) -> list[tuple[int, int | None]]:
    """(input, row) pairs that a unit reads; row None is padding that stands nowhere."""
    top = call.output.layout.pad_top if isinstance(call.output.layout, UInt8Lines) else 0
    row = unit - top
    if call.body == "fully_connected_s8_dsp":
        return [(0, r) for r in range(call.inputs[0].layout.rows(call.input_shape))]
    if call.body in ("conv_1x1_sums_s8_dsp", "mean_sums_s8_dsp"):
        return [(0, unit)]
    if isinstance(call.output.layout, Planes):
        return [(0, r) for r in range(call.input_shape[0])]
    if isinstance(call.inputs[0].layout, Planes):
        return [(0, unit // call.unit_columns)]
    if isinstance(call.inputs[0].layout, PlaneTiles):
        return [(0, unit)]
    if not 0 <= row < call.output_shape[0]:
        return []
    if call.body == "depthwise_conv_s8_dsp":
        fields = dict(call.work.fields)
        stride = fields["stride_h"]
        assert isinstance(stride, int)
        return [(0, row * stride + k) for k in range(3)]
    if call.body in ("conv_stem_s8_dsp", "conv_stem_nhwc_s8_dsp", "depthwise_conv_nhwc_s8_dsp"):
        fields = dict(call.work.fields)
        pad, conv = fields["pad_top"], fields["conv"]
        assert isinstance(conv, tuple)
        stride = dict(conv).get("stride_h", 2)  # type: ignore[arg-type]  # a field's value is of any kind
        assert isinstance(pad, int)
        assert isinstance(stride, int)
        rows = range(row * stride - pad, row * stride - pad + 3)
        return [(0, r if 0 <= r < call.input_shape[0] else None) for r in rows]
    return [(0, row)]


def dsp_row(
    call: Call, unit: int, rows: Rows, network: QuantizedNetwork, orders: dict[str, Order | None]
) -> NDArray[np.int8]:
    """int8 [row_bytes] of the row that the unit makes (of sums: what it adds)."""
    source, layout = call.inputs[0].layout, call.output.layout
    order = orders.get(call.inputs[0].tensor)
    if isinstance(layout, Planes | PlaneTiles) or isinstance(source, Planes | PlaneTiles):
        return _band(call, unit, rows, network, order)
    assert isinstance(source, CodedRows)
    assert isinstance(layout, CodedRows)
    if call.body == "mean_sums_s8_dsp":
        return _mean(call, rows[0, unit].view(np.int32), network)
    if call.body == "fully_connected_s8_dsp":
        plane = np.stack([source.decode(rows[key], call.input_shape, order) for key in sorted(rows)])
        result = int8_reference.evaluate_operator(network, network.operators[call.layer], [plane[np.newaxis]])
        return layout.encode(result[0, 0], call.output_shape)
    if call.body == "conv_1x1_sums_s8_dsp":
        pixels = source.decode(rows[0, unit], call.input_shape, order)
        plane = pixels[np.newaxis, np.newaxis]
        made = int8_reference.evaluate_operator(network, network.operators[call.layer], [plane])
        return layout.encode(made[0, 0], call.output_shape, call.work.order)
    top = layout.pad_top if isinstance(layout, UInt8Lines) else 0
    row = unit - top
    if not 0 <= row < call.output_shape[0]:
        return np.zeros(layout.row_bytes(call.output_shape), np.int8)
    operator = network.operators[call.layer]
    assert isinstance(operator, QConv2D | QDepthwiseConv2D)
    h, w, c = call.input_shape
    zero_point = network.tensor(operator.inputs[0]).zero_point
    first = source.pad_top if isinstance(source, UInt8Lines) else 0
    plane = np.full((h, w, c), zero_point, np.int8)
    for (_, at), data in rows.items():
        if 0 <= at - first < h:
            plane[at - first] = source.decode(data, call.input_shape, order)
    window = operator.window
    low = row * window.stride_h - window.pad_top  # only the rows that were read may matter
    inside = slice(max(0, low), min(h, low + window.kernel_h))
    strip = np.full((window.kernel_h, w, c), zero_point, np.int8)
    strip[inside.start - low : inside.stop - low] = plane[inside]
    one_row = replace(operator, window=replace(window, pad_top=0, pad_bottom=0))
    result = int8_reference.evaluate_operator(network, one_row, [strip[np.newaxis]])[0, 0]
    return layout.encode(result, call.output_shape, call.work.order)


def _band(call: Call, unit: int, rows: Rows, network: QuantizedNetwork, order: Order | None) -> NDArray[np.int8]:
    """What a unit of a kernel on planes makes: planes of a group of channels, two rows of tiles, or rows NHWC."""
    operator = network.operators[call.layer]
    source, layout = call.inputs[0].layout, call.output.layout
    if isinstance(source, PlaneTiles):
        assert order is not None
        band = source.decode_band(rows[0, unit], call.input_shape, order)
        flat: NDArray[np.int8] = int8_reference.evaluate_operator(network, operator, [band[np.newaxis]])[0].reshape(-1)
        return flat
    group, part = divmod(unit, call.unit_columns)
    if isinstance(source, Planes):
        assert order is not None
        here = order[source.channels(call.input_shape).group(group)]
        plane = source.decode_band(rows[0, group], call.input_shape, here)
    else:
        plane = np.stack([rows[key].reshape(call.input_shape[1:]) for key in sorted(rows)])
    made = int8_reference.evaluate_operator(network, operator, [plane[np.newaxis]])[0]
    assert isinstance(layout, Planes | PlaneTiles)
    count = layout.band(call.output_shape)
    return layout.encode_band(made[part * count : (part + 1) * count], call.output_shape, _group_order(call, group))


def _group_order(call: Call, group: int) -> Order:
    """The channels that stand in a group of the output's."""
    layout, order = call.output.layout, call.work.order
    assert isinstance(layout, Planes | PlaneTiles)
    assert order is not None
    return order[layout.channels(call.output_shape).group(group)]


def partial_sums(
    call: Call, unit: int, row: NDArray[np.int8], network: QuantizedNetwork, order: Order | None
) -> NDArray[np.int64]:
    """What a group of input channels adds to the sums of a band: [pixel][position], of the first group with biases."""
    operator, source = network.operators[call.layer], call.inputs[0].layout
    assert isinstance(operator, QConv2D)
    assert isinstance(source, PlaneTiles)
    assert order is not None
    group = unit // call.scratch_parts
    stored = order[source.channels(call.input_shape).group(group)]
    here, band = [c for c in stored if c >= 0], source.decode_band(row, call.input_shape, stored)
    x = band.reshape(-1, call.input_shape[2])[:, here].astype(np.int64)
    centred = x - network.tensor(operator.inputs[0]).zero_point
    sums = centred @ operator.weights.reshape(len(operator.bias), -1)[:, here].T.astype(np.int64)
    sums += operator.bias if group == 0 else 0
    return np.pad(sums, ((0, 0), (0, len(operator.bias) % 2))).reshape(-1)


def requantized_sums(call: Call, sums: NDArray[np.int64], network: QuantizedNetwork) -> NDArray[np.int8]:
    """int8 [pixel][c] of the sums of all groups: TFLite's arithmetic."""
    operator = network.operators[call.layer]
    assert isinstance(operator, QConv2D)
    channels = len(operator.bias)
    acc = sums.reshape(-1, even(channels))[:, :channels]
    scaled = multiply_by_quantized_multiplier(acc, operator.multiplier, operator.shift)
    zero_point = network.tensor(operator.outputs[0]).zero_point
    made: NDArray[np.int8] = (scaled + zero_point).clip(operator.act_min, operator.act_max).astype(np.int8)
    return made


def made_rows(call: Call, unit: int, data: NDArray[np.int8]) -> list[tuple[int, NDArray[np.int8]]]:
    """(row, int8 [w][c]) of the tensor's rows that a unit has made; ``data`` are the bytes it has written. Where
    it made a group of channels the others are 0."""
    layout, shape = call.output.layout, call.output_shape
    if isinstance(layout, Planes | PlaneTiles):
        group, part = divmod(unit, call.unit_columns)
        band = layout.decode_band(data, shape, _group_order(call, group))
        return [(part * layout.band(shape) + i, row) for i, row in enumerate(band)]
    assert not isinstance(layout, RingColumns4 | WindowColumns4)
    rows = []
    for i, part_of_data in enumerate(data.reshape(call.band, -1)):
        row = layout.canonical_row((unit - call.idle) * call.band + i, shape)
        if row is not None:
            rows.append((row, layout.decode(part_of_data, shape, call.work.order)))
    return rows


def _mean(call: Call, sums: NDArray[np.int32], network: QuantizedNetwork) -> NDArray[np.int8]:
    """The mean of sums of int8 + 128, in their order: TFLite's arithmetic on a plane of one pixel holding the sum."""
    operator = network.operators[call.layer]
    assert isinstance(operator, QMean)
    h, w, _ = call.input_shape
    centred = sums.astype(np.int64) - (network.tensor(operator.inputs[0]).zero_point + 128) * h * w
    scaled = multiply_by_quantized_multiplier(centred, operator.multiplier, operator.shift)
    zero_point = network.tensor(operator.outputs[0]).zero_point
    mean: NDArray[np.int8] = (scaled + zero_point).clip(-128, 127).astype(np.int8)
    return mean
