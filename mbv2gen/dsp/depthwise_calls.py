# SPDX-License-Identifier: Apache-2.0
"""Depthwise calls: the struct of a depthwise kernel on rows, columns or planes (templates/kernels/mbv2_dsp.h)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mbv2gen.dsp.call_fields import BodySet, general_pointer, leaves_two, table
from mbv2gen.dsp.kernels import plane_body
from mbv2gen.dsp.packing import PackedDepthwise
from mbv2gen.network import Shape
from mbv2gen.packing.fields import Fields, Symbol, TableName
from mbv2gen.packing.plain_calls import rows_field
from mbv2gen.plan import Buffer
from mbv2gen.planning.kernels import Candidate
from mbv2gen.planning.layouts import Layout, Planes, PlaneTiles, UInt8Lines
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.quantized_network import QDepthwiseConv2D, QuantizedNetwork

COLUMNS_STRUCT = "mbv2_depthwise_columns_dsp"
BY_ROWS = ("depthwise_conv_s8_dsp", "depthwise_conv_nhwc_s8_dsp")
REST_SAVES = 24  # instructions a channel and row, by a body for two outputs behind the last group of four
WORTH_A_BODY = 0.005  # of an inference's instructions; a body takes some 500 B


def rests(network: QuantizedNetwork, candidates: Sequence[Candidate]) -> frozenset[str]:
    """The forms of rows that have bodies for two outputs behind the last group of four: where no row does without, and
    where they save enough."""
    rows = [
        (_form(operator), network.shape(operator.outputs[0]))
        for operator, candidate in zip(network.operators, candidates, strict=True)
        if isinstance(operator, QDepthwiseConv2D) and candidate.contract.body in BY_ROWS
    ]
    without = {form for form, (_, width, _) in rows if not leaves_two(width)}
    saved = Counter[str]()
    for form, (height, width, channels) in rows:
        saved[form] += REST_SAVES * height * channels * leaves_two(width)
    least = WORTH_A_BODY * sum(candidate.instructions for candidate in candidates)
    return frozenset(form for form, instructions in saved.items() if form not in without or instructions >= least)


def depthwise_call(
    operator: QDepthwiseConv2D,
    packed: PackedDepthwise,
    shape: Shape,
    inputs: tuple[Buffer, ...],
    output: Buffer,
    scratch: int | None,
    bodies: BodySet,
) -> tuple[str, Fields]:
    """-> (struct, fields); ``shape`` is the input's, ``scratch`` where lines are made of rows NHWC. Columns want a
    table ``zeros`` too."""
    layout, rows = inputs[0].layout, (("input", rows_field(inputs[0])), ("output", rows_field(output)))
    channels = ("channels", packed.stream.channels)
    w = operator.window
    if isinstance(layout, RingColumns4 | WindowColumns4):
        return COLUMNS_STRUCT, _columns_fields(operator, packed, shape, inputs, output)
    if isinstance(layout, Planes):
        return _on_planes(operator, packed, shape, layout, output.layout, rows)
    width = w.output_size(shape[0], shape[1])[1]
    body, rest = bodies.of_depthwise_row(_form(operator), width)
    conv: Fields = (
        *rows,
        ("body", body),
        ("stream", table("stream", packed.stream)),
        ("general", general_pointer(packed.general)),
        channels,
        ("in_w", shape[1]),
        ("out_w", width),
        ("stride_h", w.stride_h),
        ("stride_w", w.stride_w),
        ("pad_left", w.pad_left),
        ("rest", rest),
    )
    if isinstance(layout, UInt8Lines):
        return "mbv2_depthwise_dsp", conv
    assert scratch is not None
    return "mbv2_depthwise_nhwc_dsp", (
        ("conv", conv),
        ("lines", scratch),
        ("lines_bytes", UInt8Lines(0, 0).row_bytes(shape)),
        ("in_h", shape[0]),
        ("in_c", shape[2]),
        ("pad_top", w.pad_top),
    )


def _on_planes(
    operator: QDepthwiseConv2D, packed: PackedDepthwise, shape: Shape, planes: Planes, tiles: Layout, rows: Fields
) -> tuple[str, Fields]:
    """``rows`` are the fields of input and output; of groups of channels a unit takes a part."""
    assert isinstance(tiles, PlaneTiles)
    conv: Fields = (
        *rows,
        ("body", Symbol(f"mbv2_{plane_body(operator, shape[:2])}_dsp")),
        ("stream", table("stream", packed.stream)),
        ("channels", packed.stream.channels),
        ("lead", planes.lead(shape)),
    )
    if planes.groups == 1:
        return "mbv2_depthwise_planes_dsp", conv
    bands = tiles.bands((*operator.window.output_size(shape[0], shape[1]), shape[2]))
    return "mbv2_depthwise_groups_dsp", (("conv", conv), ("group", planes.channels(shape).size), ("bands", bands))


def _form(operator: QDepthwiseConv2D) -> str:
    """Stride and side of the padding, as bodies are named by them."""
    w = operator.window
    return "1" if w.stride_w == 1 else "2" if w.pad_left else "2_same"


def _columns_fields(
    operator: QDepthwiseConv2D,
    packed: PackedDepthwise,
    shape: Shape,
    inputs: tuple[Buffer, ...],
    output: Buffer,
) -> Fields:
    w, layout = operator.window, inputs[0].layout
    assert isinstance(layout, RingColumns4 | WindowColumns4)
    return (
        ("input", rows_field(inputs[0])),
        ("passing", rows_field(inputs[-1])),
        ("output", rows_field(output)),
        ("body", Symbol(f"mbv2_dw_columns{_form(operator)}_dsp")),
        ("stream", table("stream", packed.stream)),
        ("zeros", TableName("zeros")),
        ("general", general_pointer(packed.general)),
        ("channels", packed.stream.channels),
        ("in_h", shape[0]),
        ("in_columns", layout.columns(shape)),
        ("out_columns", output.columns),
        ("stride", w.stride_w),
        ("pad_top", w.pad_top),
        ("pad_left", w.pad_left),
        ("above", layout.above),
    )
