# SPDX-License-Identifier: Apache-2.0
"""Plain calls: the arguments and tables of the portable kernels (templates/kernels/mbv2_kernels.h)."""

from __future__ import annotations

from mbv2gen.packing.fields import Fields, TableName
from mbv2gen.packing.tables import pack
from mbv2gen.plan import Buffer
from mbv2gen.planning.layouts import PlanarLines
from mbv2gen.planning.work import Work
from mbv2gen.quantized_network import (
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)

STRUCTS = {
    "conv": "mbv2_conv",
    "pointwise": "mbv2_conv",
    "depthwise": "mbv2_conv",
    "fully_connected": "mbv2_conv",
    "add": "mbv2_add",
    "mean": "mbv2_mean",
    "activation": "mbv2_activation",
}


def plain_work(
    network: QuantizedNetwork,
    operator: QOperator,
    body: str,
    inputs: tuple[Buffer, ...],
    output: Buffer,
    scratch: int | None,
) -> Work:
    """The work of a portable kernel."""
    arguments = _arguments(network, operator, inputs[0], output)
    tables = pack(body, operator, network.tensor(operator.inputs[0]).zero_point)
    names = ("input",) if len(inputs) == 1 else ("input_0", "input_1")
    rows: Fields = (*((n, rows_field(b)) for n, b in zip(names, inputs, strict=True)), ("output", rows_field(output)))
    sums: Fields = () if scratch is None else (("sums", scratch),)
    fields = (*rows, *((t.field, TableName(t.field)) for t in tables), *sums, *arguments)
    return Work(STRUCTS[operator.kind], fields, arguments, tables)


def rows_field(buffer: Buffer) -> Fields:
    """A mbv2_rows."""
    return (("offset", buffer.offset), ("row_bytes", buffer.row_bytes), ("rows", buffer.rows))


def _arguments(
    network: QuantizedNetwork, operator: QOperator, source: Buffer, result: Buffer
) -> tuple[tuple[str, int], ...]:
    """The scalar fields of the kernel's struct."""
    zero_points = [network.tensor(name).zero_point for name in operator.inputs]
    out_zero_point = network.tensor(operator.outputs[0]).zero_point
    if isinstance(operator, QMean):
        h, w, c = network.shape(operator.inputs[0])
        return (
            ("in_h", h), ("in_w", w), ("channels", c),
            ("multiplier", operator.multiplier), ("shift", operator.shift),
            ("input_zero_point", zero_points[0]), ("output_zero_point", out_zero_point),
        )  # fmt: skip
    clamp = (("act_min", operator.act_min), ("act_max", operator.act_max))
    if isinstance(operator, QAdd):
        return (
            ("multiplier_0", operator.input_multipliers[0]), ("shift_0", operator.input_shifts[0]),
            ("multiplier_1", operator.input_multipliers[1]), ("shift_1", operator.input_shifts[1]),
            ("output_multiplier", operator.output_multiplier), ("output_shift", operator.output_shift),
            ("zero_point_0", zero_points[0]), ("zero_point_1", zero_points[1]),
            ("output_zero_point", out_zero_point), *clamp,
        )  # fmt: skip
    if isinstance(operator, QActivation):
        return clamp
    return _convolution_arguments(network, operator, source, result, zero_points[0], out_zero_point) + clamp


def _convolution_arguments(
    network: QuantizedNetwork,
    operator: QConv2D | QDepthwiseConv2D | QFullyConnected,
    source: Buffer,
    result: Buffer,
    zero_point: int,
    out_zero_point: int,
) -> tuple[tuple[str, int], ...]:
    in_h, in_w, in_c = network.shape(operator.inputs[0])
    _, out_w, out_c = network.shape(operator.outputs[0])
    if isinstance(operator, QFullyConnected):
        in_h, in_w, in_c = 1, 1, in_h * in_w * in_c
        kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left = 1, 1, 1, 1, 0, 0
    else:
        w = operator.window
        kernel_h, kernel_w, stride_h, stride_w = w.kernel_h, w.kernel_w, w.stride_h, w.stride_w
        pad_top, pad_left = w.pad_top, w.pad_left
    lines = next((b.layout for b in (source, result) if isinstance(b.layout, PlanarLines)), PlanarLines(0, 0, 0, 0))
    return (
        ("in_h", in_h), ("in_w", in_w), ("in_c", in_c), ("out_w", out_w), ("out_c", out_c),
        ("kernel_h", kernel_h), ("kernel_w", kernel_w), ("stride_h", stride_h), ("stride_w", stride_w),
        ("pad_top", pad_top), ("pad_left", pad_left),
        ("line_top", lines.pad_top), ("line_left", lines.pad_left), ("line_right", lines.pad_right),
        ("input_zero_point", zero_point), ("output_zero_point", out_zero_point),
    )  # fmt: skip
