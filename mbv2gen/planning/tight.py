# SPDX-License-Identifier: Apache-2.0
"""Tight kernels: which tensors stand as columns, and what a unit of four pixels reads.

A column is four pixels of a row; the picture before a first convolution at stride 2 has columns of eight. Kernels whose
units are rows may stand beside: they read and write all columns of a row at once.
"""

from __future__ import annotations

from dataclasses import replace

from mbv2gen.planning.kernels import Access, Candidate, Columns, accesses
from mbv2gen.planning.layouts import Planes, PlaneTiles
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QOperator, QuantizedNetwork


def passing_ring(tensor: str) -> str:
    """The name of the ring of columns that only one output row reads."""
    return f"{tensor}, passing"


def unit_columns(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """Units a row of an operator's output; of a kernel that convolves planes, units a row of its input."""
    layout, shape = candidate.output_layout, network.shape(operator.outputs[0])
    if isinstance(candidate.input_layout, Planes) and isinstance(layout, PlaneTiles):
        return layout.bands(shape)
    return shape[1] // 4 if candidate.contract.tight else 1


def tensor_columns(network: QuantizedNetwork, chosen: tuple[Candidate, ...]) -> dict[str, int]:
    """Tensor -> how many columns its rows are cut into; 1 where only rows are read and written."""
    columns = dict.fromkeys((tensor.name for tensor in network.tensors), 1)
    for operator, candidate in zip(network.operators, chosen, strict=True):
        if candidate.contract.tight:
            columns[operator.outputs[0]] = unit_columns(candidate, operator, network)
            columns |= {name: _input_columns(operator, network) for name in operator.inputs}
    return columns


def _input_columns(operator: QOperator, network: QuantizedNetwork) -> int:
    width, made = network.shape(operator.inputs[0])[1], network.shape(operator.outputs[0])[1]
    if operator.kind == "conv":  # at stride 2
        return made // 4 if width == 2 * made else 1
    return width // 4


def step_accesses(
    candidate: Candidate, operator: QOperator, network: QuantizedNetwork, columns: dict[str, int]
) -> tuple[Access, ...]:
    """What the units of an operator read, of tensors whose rows stand as ``columns``."""
    if candidate.contract.tight:
        return _tight_accesses(candidate, operator, network, columns)
    units = unit_columns(candidate, operator, network)
    return tuple(
        replace(access, columns=Columns(columns[access.tensor], units, span=columns[access.tensor]))
        for access in accesses(candidate, operator, network)
    )


def _tight_accesses(
    candidate: Candidate, operator: QOperator, network: QuantizedNetwork, columns: dict[str, int]
) -> tuple[Access, ...]:
    units = unit_columns(candidate, operator, network)
    if isinstance(operator, QDepthwiseConv2D):
        return _depthwise_accesses(candidate, operator, network, units)
    source = operator.inputs[0]
    height, count = network.shape(source)[0], columns[source]
    if isinstance(operator, QConv2D):
        layout, w = candidate.output_layout, operator.window
        made, step, above = 1, 1, 0
        if isinstance(layout, RingColumns4 | WindowColumns4):
            made, step, above = layout.rows_a_unit, layout.step, layout.above
        span, pad = (made - 1) * w.stride_h + w.kernel_h, above * w.stride_h + w.pad_top
        window = Columns(count, units, 1, 1, 0)
        if operator.kind == "conv":
            window = Columns(count, units, 2, 1, min(1, w.pad_left)) if count > 1 else Columns(1, units)
        return (Access(source, height, span, step * w.stride_h, pad, window),)
    return tuple(Access(name, height, 1, 1, 0, Columns(count, units, 1, 1, 0)) for name in operator.inputs)


def _depthwise_accesses(
    candidate: Candidate, operator: QDepthwiseConv2D, network: QuantizedNetwork, units: int
) -> tuple[Access, ...]:
    """Groups of rows: at stride 1 the three rows of the window are groups; at stride 2 they are the last row of a group
    and both rows of the next, of which the first stands in the passing ring. Where columns are of whole windows, a row
    of windows reads its own."""
    layout, w = candidate.input_layout, operator.window
    assert isinstance(layout, RingColumns4 | WindowColumns4)
    name, shape = operator.inputs[0], network.shape(operator.inputs[0])
    columns = Columns(layout.columns(shape), units, 3, w.stride_w, min(1, w.pad_left))
    if isinstance(layout, WindowColumns4):
        return (Access(name, layout.windows, 1, 1, 0, columns),)
    if w.stride_h == 1:
        return (Access(name, layout.groups(shape), 3, 1, w.pad_top, columns),)
    pad = (w.pad_top - layout.above + 1) // 2  # group y - pad holds the first row of output row y's window
    return (
        Access(name, layout.groups(shape), 2, 1, pad, columns),
        Access(passing_ring(name), layout.groups(shape), 1, 1, pad - 1, columns),
    )
