# SPDX-License-Identifier: Apache-2.0
"""Kernels: what each body of C promises. A contract is frozen data; the planner chooses by these tables alone.

A kernel works in units. Unit u reads the rows [u * stride - pad, u * stride - pad + span) of an input, as far as they
exist, and writes row u of its output; a reducing kernel (mean) writes its only row with its last unit. Rows are those
of the layout, which may hold padding above and below the tensor's own.

A *tight* kernel makes four pixels of a row a unit, a column; then tensors beside it are sequences of columns, row after
row, and what is said of rows holds of columns: places in rings, times, lives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.dsp.ranges import Ranges
from mbv2gen.network import Shape
from mbv2gen.planning.layouts import Layout, PlanarLines, Planes, PlaneTiles, RowNHWC, Sums, Tile16, UInt8Lines, Vector
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.quantized_network import (
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QOperator,
    QuantizedNetwork,
    weight_bits,
)

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Rows cut into ``count`` columns each, and units of work, ``units`` of them a row of the output: the unit at
    column g reads the columns [g * stride - pad, g * stride - pad + span) of each row of its window."""

    count: int = 1
    units: int = 1
    span: int = 1
    stride: int = 0
    pad: int = 0


@dataclass(frozen=True)
class Access:
    """The rows a unit reads: [u * stride - pad, u * stride - pad + span) of a tensor of ``height`` rows.

    Where rows are cut into columns, u is the unit's row, and places are columns counted row by row.
    """

    tensor: str
    height: int
    span: int
    stride: int
    pad: int
    columns: Columns = Columns()

    @property
    def places(self) -> int:
        """Rows of the tensor, or columns of all of them."""
        return self.height * self.columns.count

    @property
    def is_own_place(self) -> bool:
        """Whether unit u reads place u and nothing else."""
        c = self.columns
        by_column = (c.span, c.stride, c.pad) == ((1, 1, 0) if c.units > 1 else (1, 0, 0))
        return by_column and c.count == c.units and (self.span, self.stride, self.pad) == (1, 1, 0)

    def wanted(self, units: Ints) -> Ints:
        """How many places must have been made before each of ``units`` can run."""
        c = self.columns
        y, g = units // c.units, units % c.units
        rows = np.clip(y * self.stride - self.pad + self.span, 0, self.height)
        places: Ints = (rows - 1) * c.count + np.minimum(g * c.stride - c.pad + c.span, c.count)
        return np.maximum(places, 0)

    def oldest(self, units: Ints) -> Ints:
        """The first place that each of ``units`` reads."""
        c = self.columns
        y, g = units // c.units, units % c.units
        row: Ints = np.maximum(y * self.stride - self.pad, 0)
        return np.minimum(row * c.count + np.maximum(g * c.stride - c.pad, 0), self.places)


Applies: TypeAlias = "Callable[[QOperator, QuantizedNetwork, Ranges], bool]"


@dataclass(frozen=True)
class Contract:
    """A kernel body: the C function, what it reads and writes, where it applies, what it costs.

    ``reads`` and ``writes`` are kinds of layout; ``scratch_bytes`` is memory a unit needs for itself, ``keeps_scratch``
    that it must survive from unit to unit; ``reduces``: the output's only row is complete with the last unit, and with
    ``accumulates`` it grows there from the first on; ``in_place``: the output row may lie exactly on the row of input
    0. ``whole_input``: every unit reads all rows; ``wide``: it trades memory for instructions, so that the planner
    takes it only where the arena does not grow; ``groups``: the channels of the expanded tensor are made, convolved
    and used up in so many groups, one after the other; ``tight``: it trades instructions for memory, its unit is a
    column of four pixels; ``recomputes``: of those the ones that make rows anew for every row of windows, or read such;
    ``special``: another body does the same work, so that ``--optimize size`` does without it.
    ``in_pairs``: it reads the channels of rows NHWC by twos, of an odd number one byte beyond the last.
    ``pixels``: how many outputs, of a row or band, one reading of the weights serves. ``weight_bits``: of the weights
    that it reads. ``instructions`` is an estimate for a whole operator, good enough to choose by.
    """

    body: str
    operator_kind: str
    reads: type[Layout]
    writes: type[Layout]
    instructions: Callable[[QOperator, QuantizedNetwork], float]
    applies: Applies = lambda operator, network, known: True
    scratch_bytes: Callable[[QOperator, QuantizedNetwork], int] = lambda operator, network: 0
    keeps_scratch: bool = False
    reduces: bool = False
    accumulates: bool = False
    in_place: bool = False
    whole_input: bool = False
    wide: bool = False
    groups: int = 1
    tight: bool = False
    recomputes: bool = False
    special: bool = False
    in_pairs: bool = False
    pixels: int = 4
    weight_bits: tuple[int, ...] = (8,)

    def takes(self, operator: QOperator) -> bool:
        """Whether the kernel is for operators of this kind and these weights, whatever their numbers."""
        return self.operator_kind == operator.kind and weight_bits(operator) in self.weight_bits


@dataclass(frozen=True)
class Candidate:
    """A contract applied to one operator, its layouts made concrete."""

    operator: str
    contract: Contract
    input_layout: Layout
    output_layout: Layout
    instructions: float


def macs(operator: QOperator, network: QuantizedNetwork) -> int:
    """Multiply-accumulates of a quantized operator."""
    h, w, _ = network.shape(operator.outputs[0])
    if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
        return h * w * int(operator.weights.size)
    return 0


def rows_made(layout: Layout, shape: Shape) -> int:
    """Rows of a tensor of ``shape`` that are computed, one that is made again counted again."""
    return layout.rows_made(shape) if isinstance(layout, WindowColumns4) else shape[0]


def macs_again(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """Multiply-accumulates that are done once more than ``macs`` says."""
    shape = network.shape(operator.outputs[0])
    return macs(operator, network) // shape[0] * (rows_made(candidate.output_layout, shape) - shape[0])


def split_blocks(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """In how many groups each block takes its expanded channels that does so."""
    contracts = [candidate.contract for candidate in candidates]
    return tuple(one.groups for one in contracts if one.groups > 1 and one.operator_kind == "depthwise")


def accesses(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> tuple[Access, ...]:
    """The rows of each input that the units of an operator read."""
    rows = [candidate.input_layout.rows(network.shape(name)) for name in operator.inputs]
    if candidate.contract.whole_input:
        return (Access(operator.inputs[0], rows[0], rows[0], 0, 0),)
    if isinstance(candidate.input_layout, Planes | PlaneTiles):  # that of the unit's group, or the unit's own
        return (Access(operator.inputs[0], rows[0], 1, 1, 0),)
    if isinstance(operator, QConv2D | QDepthwiseConv2D):
        w = operator.window
        stored = isinstance(candidate.input_layout, PlanarLines | UInt8Lines)
        made = candidate.output_layout.pad_top if isinstance(candidate.output_layout, PlanarLines | UInt8Lines) else 0
        pad = 0 if stored else w.pad_top
        return (Access(operator.inputs[0], rows[0], w.kernel_h, w.stride_h, pad + made * w.stride_h),)
    return tuple(Access(name, h, 1, 1, 0) for name, h in zip(operator.inputs, rows, strict=True))


def units(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """How many units an operator runs in: its output's rows, once a group of channels where it adds such up, or its
    input's rows where it reduces them."""
    if candidate.contract.reduces:
        return candidate.input_layout.rows(network.shape(operator.inputs[0]))
    made = candidate.output_layout.rows(network.shape(operator.outputs[0])) // band(candidate, operator, network)
    if candidate.contract.tight and isinstance(candidate.output_layout, RowNHWC):
        return made * (network.shape(operator.outputs[0])[1] // 4)
    return made * _groups_added(candidate)


def idle_units(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """Units at the beginning that complete no row yet: of a reducing kernel all but the last, of one that adds up
    groups of channels those of all groups but the last."""
    count = units(candidate, operator, network)
    return count - 1 if candidate.contract.reduces else count - count // _groups_added(candidate)


def scratch_parts(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """Into how many equal parts an operator's scratch is cut; its units take them in turn, the first of each again."""
    groups = _groups_added(candidate)
    return units(candidate, operator, network) // groups if groups > 1 else 1


def _groups_added(candidate: Candidate) -> int:
    """How many groups of channels a kernel adds up in the scratch that it keeps."""
    return candidate.contract.groups if candidate.contract.keeps_scratch else 1


def band(candidate: Candidate, operator: QOperator, network: QuantizedNetwork) -> int:
    """How many rows of its output a unit makes."""
    layout, output = candidate.input_layout, candidate.output_layout
    if isinstance(layout, PlaneTiles) and isinstance(output, RowNHWC):
        return layout.band(network.shape(operator.inputs[0]))
    return 1


def wanted_layout(contract: Contract, operator: QOperator, shape: Shape) -> Layout:
    """The concrete layout in which a kernel wants its input of ``shape``."""
    kind = contract.reads
    if kind is Tile16:
        return Tile16(shape[1] // 4 if contract.tight else 1)
    if kind is Planes:
        return Planes(contract.groups)
    if kind is PlaneTiles:
        return PlaneTiles(contract.groups)
    if kind in (Sums, Vector):
        return kind()
    if isinstance(operator, QDepthwiseConv2D):
        return _lines(kind, operator, shape)
    return RowNHWC()


def can_write(contract: Contract, layout: Layout, shape: Shape) -> bool:
    """Whether a kernel writes a tensor of ``shape`` in that layout."""
    if isinstance(layout, Tile16):
        return contract.writes is Tile16 and layout == Tile16(shape[1] // 4 if contract.tight else 1)
    if isinstance(layout, Planes | PlaneTiles):
        return isinstance(layout, contract.writes) and layout.groups == contract.groups
    return isinstance(layout, contract.writes)


def _lines(kind: type[Layout], operator: QDepthwiseConv2D, shape: Shape) -> Layout:
    """Lines or columns with the padding that a depthwise convolution wants."""
    w = operator.window
    out_h, out_w = w.output_size(shape[0], shape[1])
    rows, columns = (out_h - 1) * w.stride_h + w.kernel_h, (out_w - 1) * w.stride_w + w.kernel_w
    below, right = max(0, rows - w.pad_top - shape[0]), max(0, columns - w.pad_left - shape[1])
    if kind is RingColumns4:
        return RingColumns4(w.stride_h, (w.stride_h - 1 - w.pad_top) % w.stride_h)
    if kind is WindowColumns4:
        last = -(-(shape[0] + w.pad_top - w.kernel_h) // w.stride_h)  # row of windows that ends with the plane
        return WindowColumns4(max(out_h, last + 1), w.stride_h, w.pad_top)
    if kind is UInt8Lines:
        return UInt8Lines(w.pad_top, below)
    return PlanarLines(w.pad_top, w.pad_left, below, right) if kind is PlanarLines else RowNHWC()


def per_mac(cost: float, per_output: float) -> Callable[[QOperator, QuantizedNetwork], float]:
    def instructions(operator: QOperator, network: QuantizedNetwork) -> float:
        h, w, c = network.shape(operator.outputs[0])
        return cost * macs(operator, network) + per_output * h * w * c

    return instructions


def per_input(cost: float) -> Callable[[QOperator, QuantizedNetwork], float]:
    def instructions(operator: QOperator, network: QuantizedNetwork) -> float:
        h, w, c = network.shape(operator.inputs[0])
        return cost * h * w * c

    return instructions


def _sums_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    return 4 * network.shape(operator.inputs[0])[2]


GROUPS = (2, 3, 4, 5, 8)  # in how many groups kernels may take the channels of an expanded tensor
WHOLE_ROW = 1 << 16  # more pixels than any row has

# The plain family: portable C. Costs are rounded from counts on an emulated Cortex-M7 (docs/kernels.md).
PLAIN: tuple[Contract, ...] = (
    Contract("conv_s8", "conv", RowNHWC, RowNHWC, per_mac(5.0, 40), pixels=1),
    Contract("conv_1x1_s8", "pointwise", RowNHWC, RowNHWC, per_mac(2.6, 40), pixels=2),
    Contract("conv_1x1_lines_s8", "pointwise", RowNHWC, PlanarLines, per_mac(2.6, 40), pixels=2),
    Contract("depthwise_conv_s8", "depthwise", RowNHWC, RowNHWC, per_mac(8.0, 40), pixels=1),
    Contract("depthwise_conv_lines_s8", "depthwise", PlanarLines, RowNHWC, per_mac(4.5, 40), pixels=WHOLE_ROW),
    Contract("fully_connected_s8", "fully_connected", RowNHWC, RowNHWC, per_mac(2.6, 40), whole_input=True),
    Contract("conv_1x1_s4", "pointwise", RowNHWC, RowNHWC, per_mac(3.1, 40), pixels=2, weight_bits=(4,)),
    Contract("conv_1x1_lines_s4", "pointwise", RowNHWC, PlanarLines, per_mac(3.1, 40), pixels=2, weight_bits=(4,)),
    Contract(
        "fully_connected_s4", "fully_connected", RowNHWC, RowNHWC, per_mac(3.1, 40), whole_input=True, weight_bits=(4,)
    ),
    Contract("add_s8", "add", RowNHWC, RowNHWC, per_input(60), in_place=True),
    Contract(
        "mean_s8", "mean", RowNHWC, RowNHWC, per_input(6), scratch_bytes=_sums_bytes, keeps_scratch=True, reduces=True
    ),
    Contract("activation_s8", "activation", RowNHWC, RowNHWC, per_input(8), in_place=True),
)
