# SPDX-License-Identifier: Apache-2.0
"""What a unit of a plain kernel reads and makes, for the program interpreter: values by the call's own tables and
literal arguments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbv2gen.packing import halves
from mbv2gen.planning.layouts import PlanarLines, RowNHWC
from mbv2gen.program import Call

Int64s = NDArray[np.int64]
Rows = dict[tuple[int, int], NDArray[np.int8]]
TO_LINES = ("conv_1x1_lines_s8", "conv_1x1_lines_s4")
FULLY_CONNECTED = ("fully_connected_s8", "fully_connected_s4")


def plain_rows_read(call: Call, unit: int) -> list[tuple[int, int | None]]:
    """(input, row) pairs a unit reads, in the order of the kernel's taps; row None is outside the picture."""
    arguments = dict(call.arguments)
    if call.body == "depthwise_conv_lines_s8":  # the rows around the plane are stored
        top = unit * arguments["stride_h"]
        return [(0, row) for row in range(top, top + arguments["kernel_h"])]
    if call.body in TO_LINES:
        row = unit - arguments["line_top"]
        return [(0, row if 0 <= row < call.input_shape[0] else None)]
    if call.body in FULLY_CONNECTED:
        return [(0, row) for row in range(call.input_shape[0])]
    if call.struct == "mbv2_conv":
        top = unit * arguments["stride_h"] - arguments["pad_top"]
        rows = range(top, top + arguments["kernel_h"])
        return [(0, row if 0 <= row < call.input_shape[0] else None) for row in rows]
    return [(index, unit) for index in range(len(call.inputs))]


def plain_row(call: Call, unit: int, rows: Rows, sums: Int64s | None) -> NDArray[np.int8]:
    """The bytes of the row that a unit makes; ``sums`` are those that a mean keeps."""
    a = dict(call.arguments)
    if call.struct == "mbv2_activation":
        return np.clip(rows[0, unit], a["act_min"], a["act_max"]).astype(np.int8)
    if call.struct in ("mbv2_add", "mbv2_add_dsp"):
        parts = [
            _requantize(
                (rows[i, unit].astype(np.int64) - a[f"zero_point_{i}"]) << 20,
                _int64(a[f"multiplier_{i}"]),
                _int64(a[f"shift_{i}"]),
            )
            for i in (0, 1)
        ]
        total = _requantize(parts[0] + parts[1], _int64(a["output_multiplier"]), _int64(a["output_shift"]))
        return np.clip(total + a["output_zero_point"], a["act_min"], a["act_max"]).astype(np.int8)
    if call.struct == "mbv2_mean":
        assert sums is not None
        centred = sums - a["input_zero_point"] * a["in_h"] * a["in_w"]
        mean = _requantize(centred, _int64(a["multiplier"]), _int64(a["shift"])) + a["output_zero_point"]
        return np.clip(mean, -128, 127).astype(np.int8)
    return _convolution(call, unit, rows, a)


def _convolution(call: Call, unit: int, rows: Rows, a: dict[str, int]) -> NDArray[np.int8]:
    tables = {t.field: t.values.astype(np.int64) for t in call.tables}
    if call.body in TO_LINES and not rows:  # a row of padding
        return np.full(call.output.row_bytes, a["output_zero_point"], np.int8)
    if call.body == "depthwise_conv_lines_s8":
        acc = _depthwise_lines(call, unit, rows, a, tables)
    elif call.body in ("conv_1x1_s8", *TO_LINES, *FULLY_CONNECTED, *halves.BODIES):
        x = np.concatenate([rows[key] for key in sorted(rows)]).reshape(-1, a["in_c"]).astype(np.int64)
        weights = tables["weights"]
        if call.body in halves.BODIES:
            weights = halves.decoded(weights, a["out_c"]).astype(np.int64)
        acc = x @ weights.reshape(a["out_c"], a["in_c"]).T + tables["bias"]
    else:
        acc = _windows(call, unit, rows, a, tables)
    value = _requantize(acc, tables["multiplier"], tables["shift"]) + a["output_zero_point"]
    row = np.clip(value, a["act_min"], a["act_max"]).astype(np.int8)
    layout = call.output.layout
    if isinstance(layout, PlanarLines):
        lines = np.full((a["out_c"], layout.line_bytes(call.output_shape)), a["output_zero_point"], np.int8)
        lines[:, a["line_left"] : a["line_left"] + a["out_w"]] = row.T
        return lines
    assert isinstance(layout, RowNHWC)
    return row


def _depthwise_lines(call: Call, unit: int, rows: Rows, a: dict[str, int], tables: dict[str, Int64s]) -> Int64s:
    line = a["line_left"] + a["in_w"] + a["line_right"]
    taps = tables["weights"].reshape(a["out_c"], a["kernel_h"], a["kernel_w"])
    acc = np.tile(tables["bias"], (a["out_w"], 1))
    for i, (_, row) in enumerate(plain_rows_read(call, unit)):
        assert row is not None
        x = rows[0, row].reshape(a["out_c"], line).astype(np.int64)
        for j in range(a["kernel_w"]):
            acc += (taps[:, i, j, None] * x[:, j : j + (a["out_w"] - 1) * a["stride_w"] + 1 : a["stride_w"]]).T
    return acc


def _windows(call: Call, unit: int, rows: Rows, a: dict[str, int], tables: dict[str, Int64s]) -> Int64s:
    depthwise = call.body == "depthwise_conv_s8"
    window = (a["kernel_h"], a["kernel_w"])
    shape = (*window, a["out_c"]) if depthwise else (a["out_c"], *window, a["in_c"])
    w = tables["weights"].reshape(shape)
    span = (a["out_w"] - 1) * a["stride_w"] + a["kernel_w"]
    acc = np.tile(tables["bias"], (a["out_w"], 1))
    for i, (_, row) in enumerate(plain_rows_read(call, unit)):
        if row is None:
            continue
        padded = np.zeros((max(span, a["pad_left"] + a["in_w"]), a["in_c"]), np.int64)
        values = rows[0, row].reshape(a["in_w"], a["in_c"]).astype(np.int64) - a["input_zero_point"]
        padded[a["pad_left"] : a["pad_left"] + a["in_w"]] = values
        for j in range(a["kernel_w"]):
            x = padded[j : j + (a["out_w"] - 1) * a["stride_w"] + 1 : a["stride_w"]]
            acc += x * w[i, j] if depthwise else x @ w[:, i, j].T
    return acc


def _int64(value: int) -> Int64s:
    return np.array(value, np.int64)


def _requantize(value: Int64s, multiplier: Int64s, shift: Int64s) -> Int64s:
    """TFLite's MultiplyByQuantizedMultiplier with double rounding, written as two floors."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = ((value << left) * multiplier + (1 << 30)) >> 31
    half = (np.ones_like(right) << right) >> 1
    below = np.where((high < 0) & (right > 0), 1, 0)
    return np.asarray((high + half - below) >> right, np.int64)
