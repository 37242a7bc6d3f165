# SPDX-License-Identifier: Apache-2.0
"""Calls of the ``dsp`` family: streams packed layer by layer, and the fields of the kernels' structs
(templates/kernels/mbv2_dsp.h).

Layers are packed in the network's order, because the order of an expand's channels, which the packer chooses, is the
order in which the depthwise behind it stands and the columns of the project behind that.
"""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp.call_fields import (
    BodySet,
    Structs,
    body_suffix,
    general_pointer,
    general_structs,
    grouped,
    line_of,
    named,
    own_pointer,
    own_structs,
    pair_bytes,
    statistics,
    stream_weights,
    symbols,
    table,
    tables_of,
)
from mbv2gen.dsp.depthwise_calls import COLUMNS_STRUCT, depthwise_call
from mbv2gen.dsp.group_calls import groups_work, partial_work
from mbv2gen.dsp.kernels import DSP, NARROW, stem_tile_bytes
from mbv2gen.dsp.packing import PackedLinear, PackedRelu, pack_depthwise, pack_linear, pack_relu
from mbv2gen.dsp.ranges import Layer, Ranges
from mbv2gen.dsp.streams import TURN, General, position_pairs
from mbv2gen.dsp.tiles import NOTHING, STEM1_PAIRS, STEM3_PAIRS, Pairs, byte_pairs, expand_pairs
from mbv2gen.dsp.vector_calls import add_work, fully_connected_work, mean_work
from mbv2gen.packing.fields import NULL, Fields, Symbol, Value
from mbv2gen.packing.plain_calls import rows_field
from mbv2gen.packing.tables import Table
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import Order, even
from mbv2gen.planning.layouts import Layout, Planes, PlaneTiles, Tile16, UInt8Lines
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.planning.work import Work
from mbv2gen.quantized_network import (
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)

DSP_BODIES = frozenset(contract.body for contract in DSP)
RELU_BODIES = frozenset(
    f"conv_1x1_{to}_s8_dsp" for to in ("lines", "columns", "windows", "planes", "plane_groups", "sums")
)


class DspPacker:
    """Packs the layers of one network in turn; remembers the order of channels of the tensors it has written."""

    def __init__(self, network: QuantizedNetwork, known: Ranges, bodies: BodySet) -> None:
        self._network = network
        self._known = known
        self._orders: dict[str, Order] = {}
        self._bodies = bodies

    def work(
        self,
        operator: QOperator,
        body: str,
        inputs: tuple[Buffer, ...],
        output: Buffer,
        scratch: int | None,
        passing: Buffer | None = None,
    ) -> Work:
        """The work of a dsp kernel; ``scratch`` is the offset of its room in the arena, ``passing`` its second ring."""
        rows: Fields = (("input", rows_field(inputs[0])), ("output", rows_field(output)))
        if isinstance(operator, QAdd):
            return add_work(self._network, operator, inputs, output)
        if isinstance(operator, QMean):
            self._orders[operator.outputs[0]] = self._orders[operator.inputs[0]]
            return mean_work(self._network, operator, rows, self._orders[operator.inputs[0]])
        assert isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected)
        canonical = self._known.layer(operator)
        if isinstance(operator, QFullyConnected):
            order = self._orders.get(operator.inputs[0], tuple(range(operator.weights.shape[1])))
            return fully_connected_work(operator, canonical, order, rows, scratch or 0)
        if isinstance(operator, QDepthwiseConv2D):
            return self._depthwise(operator, canonical, inputs, output, scratch)
        if body == "conv_1x1_partial_s8_dsp":
            order, shape = self._orders[operator.inputs[0]], self._network.shape(operator.inputs[0])
            return partial_work(canonical, order, shape, inputs[0], output, scratch or 0)
        group = self._group(operator, output, passing)
        if operator.kind == "conv":
            work = self._stem(operator, body, canonical, inputs[0].by_rows(), output, scratch or 0)
            return grouped(work, "stem", group)
        if body in RELU_BODIES:
            work = self._relu(operator, body, canonical, inputs[0], output, scratch or 0)
            if isinstance(output.layout, Planes) and output.layout.groups > 1:
                return groups_work(work, output.layout.channels(self._network.shape(operator.outputs[0])))
            return grouped(work, "conv", group)
        return self._linear(operator, canonical, rows, inputs[0].layout, scratch)

    def _group(self, operator: QConv2D, output: Buffer, passing: Buffer | None) -> Fields:
        """What columns add to the fields of a convolution; nothing where the output is no columns."""
        layout, shape = output.layout, self._network.shape(operator.outputs[0])
        if not isinstance(layout, RingColumns4 | WindowColumns4):
            return ()
        return (
            ("passing", rows_field(passing or output)),
            ("height", shape[0]),
            ("columns", layout.columns(shape)),
            ("rows", layout.step),
            ("above", layout.above),
        )

    def _relu(self, operator: QConv2D, body: str, rows: Layer, source: Buffer, output: Buffer, scratch: int) -> Work:
        """A pointwise convolution to lines, columns or planes, or to pool sums."""
        c = self._network.shape(operator.inputs[0])[2]
        lines = body != "conv_1x1_sums_s8_dsp"
        pairs = expand_pairs(c) if c % 4 == 0 else byte_pairs(c)
        four_bits = operator.weight_bits == 4
        narrow = lines and c < NARROW and c % 4 == 0 and not four_bits and not self._bodies.few
        packed = pack_relu(rows, pairs, unpacked=narrow, four_bits=four_bits, solver=self._bodies.solver)
        form = "tile_s" if packed.unpacked else "tile" if c % 4 == 0 else "bytes"
        self._orders[operator.outputs[0]] = packed.order
        fields, own = self._relu_fields(operator, packed, "relu" if lines else "gap", source, output, scratch, form)
        return self._relu_work("mbv2_conv_1x1_dsp", operator, fields, own, packed, "lines" if lines else "sums")

    def _relu_fields(
        self,
        operator: QConv2D,
        packed: PackedRelu,
        kind: str,
        source: Buffer,
        output: Buffer,
        scratch: int,
        form: str | None,
    ) -> tuple[Fields, Structs]:
        """A mbv2_conv_1x1_dsp whose output is in the packer's order, and its second stream."""
        in_h, _, in_c = self._network.shape(operator.inputs[0])
        shape = self._network.shape(operator.outputs[0])
        layout, out_c = output.layout, shape[2]
        width, line_bytes = line_of(layout, shape)
        if kind == "gap":
            line_bytes = pair_bytes(packed)
        bodies = self._bodies.of_group(f"pw_{kind}", body_suffix(packed), width)
        fields: Fields = (
            ("input", rows_field(source)),
            ("output", rows_field(output)),
            ("tile", scratch),
            *named(("expand", "expand_rest"), self._expand(form, width)),
            *named(("body", "body_rest"), bodies if packed.common.channels else [NULL, NULL]),
            ("stream", table("stream", packed.common)),
            ("own", own_pointer(packed.own)),
            ("general", general_pointer(packed.general)),
            ("channels", packed.common.channels),
            ("in_h", in_h),
            ("in_c", in_c),
            ("width", width),
            ("out_c", out_c),
            ("expand_pairs", even(in_c) // 2),
            ("line_top", layout.pad_top if isinstance(layout, UInt8Lines) else 0),
            ("line_bytes", line_bytes),
            ("band", 1),
        )
        return fields, own_structs(packed.own, self._bodies.of_group(f"pw_{kind}", body_suffix(packed, "sh"), width))

    def _expand(self, form: str | None, width: int) -> list[Value]:
        """Bodies that make tiles of NHWC; none where the input is tiles."""
        return self._bodies.of_group(f"expand_{form}", "", width) if form else [NULL, NULL]

    def _stem(self, operator: QConv2D, body: str, rows: Layer, source: Buffer, output: Buffer, scratch: int) -> Work:
        """The first convolution. Bodies for pairs in turns of four read its tile beyond the end: into the edge."""
        pairs = STEM3_PAIRS if self._network.shape(operator.inputs[0])[2] == 3 else STEM1_PAIRS
        if body == "conv_stem_nhwc_s8_dsp":
            linear = pack_linear(rows, pairs, offset=0)
            shape, buffers = self._network.shape(operator.outputs[0]), (("input", source), ("output", output))
            rows_fields: Fields = tuple((name, rows_field(buffer)) for name, buffer in buffers)
            conv, own = self._linear_fields(operator, linear, rows_fields, scratch, None, shape[1], 1)
            fields = self._stem_fields(operator, conv, source, scratch)
            return self._linear_work("mbv2_conv_stem_dsp", operator, fields, own, linear)
        kind, head = ("relu", TURN) if self._bodies.few else ("stem", 2)
        packed = pack_relu(rows, pairs, head=head, solver=self._bodies.solver)
        self._orders[operator.outputs[0]] = packed.order
        conv, own = self._relu_fields(operator, packed, kind, source, output, scratch, None)
        fields = self._stem_fields(operator, conv, source, scratch)
        return self._relu_work("mbv2_conv_stem_dsp", operator, fields, own, packed, "lines")

    def _stem_fields(self, operator: QConv2D, conv: Fields, source: Buffer, scratch: int) -> Fields:
        """A mbv2_conv_stem_dsp around ``conv``."""
        _, w, c = self._network.shape(operator.inputs[0])
        window = operator.window
        lead = -window.pad_left * c % 4
        aligned = source.row_bytes % 4 == 0 and (c == 1 or lead in (0, 1))
        inside = f"mbv2_im2col{c}_" + (f"lead{lead}_dsp" if aligned else "bytes_dsp")
        return (
            ("conv", conv),
            ("edge", scratch + stem_tile_bytes(c)),
            ("im2col", Symbol(inside)),
            ("in_w", w),
            ("out_h", self._network.shape(operator.outputs[0])[0]),
            ("pad_top", window.pad_top),
            ("pad_left", window.pad_left),
            ("lead", lead if aligned else 0),
            ("read_bytes", (28 if c == 3 else 12) - (0 if aligned else 1)),
            ("zero_point", self._network.tensor(operator.inputs[0]).zero_point),
        )

    def _linear(self, operator: QConv2D, rows: Layer, buffers: Fields, layout: Layout, scratch: int | None) -> Work:
        """A pointwise convolution to NHWC, from tiles where the input has an order, else from NHWC."""
        h, w, c = self._network.shape(operator.inputs[0])
        if isinstance(layout, PlaneTiles):
            w *= layout.band((h, w, c))
        if isinstance(layout, Tile16):
            w = layout.width((h, w, c))
        order = self._orders.get(operator.inputs[0])
        form = None if order is not None else "tile" if c % 4 == 0 else "bytes"
        pairs: Pairs = position_pairs(order) if order is not None else expand_pairs(c) if c % 4 == 0 else byte_pairs(c)
        four_bits = operator.weight_bits == 4
        packed = pack_linear(rows, pairs, offset=0 if order is None else 128, four_bits=four_bits)
        band = layout.band((h, w, c)) if isinstance(layout, PlaneTiles) else 1
        fields, own = self._linear_fields(operator, packed, buffers, scratch or 0, form, w, band)
        return self._linear_work("mbv2_conv_1x1_dsp", operator, fields, own, packed)

    def _linear_fields(
        self,
        operator: QConv2D,
        packed: PackedLinear,
        buffers: Fields,
        scratch: int,
        form: str | None,
        width: int,
        band: int,
    ) -> tuple[Fields, Structs]:
        """A mbv2_conv_1x1_dsp to NHWC, ``width`` pixels a unit, and its second stream."""
        h, _, c = self._network.shape(operator.inputs[0])
        bodies = self._bodies.of_group("pw_lin", body_suffix(packed), width)
        fields: Fields = (
            *buffers,
            ("tile", scratch),
            *named(("expand", "expand_rest"), self._expand(form, width)),
            *named(("body", "body_rest"), bodies if packed.stream.channels else [NULL, NULL]),
            ("stream", table("stream", packed.stream)),
            ("own", own_pointer(packed.rest)),
            ("general", general_pointer(packed.general)),
            ("channels", packed.stream.channels),
            ("in_h", h),
            ("in_c", c),
            ("width", width),
            ("out_c", len(operator.bias)),
            ("expand_pairs", even(c) // 2),
            ("line_top", 0),
            ("line_bytes", 0),
            ("band", band),
        )
        return fields, own_structs(packed.rest, bodies)

    def _linear_work(self, struct: str, operator: QConv2D, fields: Fields, own: Structs, packed: PackedLinear) -> Work:
        weights, stored = 2 * len(packed.pairs), stream_weights(packed)
        tables = tables_of(
            ("stream", packed.stream, stored),
            ("own_stream", packed.rest, stored),
            ("general", packed.general, weights),
        )
        counts, structs = statistics(packed.statistics), self._general(operator, packed.general, weights, "nhwc")
        bodies = symbols((*fields, *(field for _, _, part in own for field in part)))
        return Work(struct, fields, (), tables, None, bodies, counts, packed, (*own, *structs))

    def _depthwise(
        self, operator: QDepthwiseConv2D, rows: Layer, inputs: tuple[Buffer, ...], output: Buffer, scratch: int | None
    ) -> Work:
        shape = self._network.shape(operator.inputs[0])
        order = self._orders.get(operator.inputs[0], (*range(shape[2]), *(NOTHING,) * (shape[2] % 2)))
        packed = pack_depthwise(rows, order, solver=self._bodies.solver)
        self._orders[operator.outputs[0]] = packed.order
        struct, fields = depthwise_call(operator, packed, shape, inputs, output, scratch, self._bodies)
        form = "columns" if struct == COLUMNS_STRUCT else "rows"
        zeros = (Table("zeros", "uint32_t", np.zeros(packed.stream.channels, np.uint32)),)
        tables = tables_of(("stream", packed.stream, 9), ("general", packed.general, 9))
        tables += zeros if struct == COLUMNS_STRUCT else ()
        counts, structs = statistics(packed.statistics), self._general(operator, packed.general, 9, form)
        return Work(struct, fields, (), tables, packed.order, symbols(fields), counts, packed, structs)

    def _relu_work(
        self, struct: str, operator: QConv2D, fields: Fields, own: Structs, packed: PackedRelu, form: str
    ) -> Work:
        weights, stored = 2 * len(packed.pairs), stream_weights(packed)
        tables = tables_of(
            ("stream", packed.common, stored),
            ("own_stream", packed.own, stored),
            ("general", packed.general, weights),
        )
        counts, structs = statistics(packed.statistics), self._general(operator, packed.general, weights, form)
        bodies = symbols((*fields, *(field for _, _, part in own for field in part)))
        return Work(struct, fields, (), tables, packed.order, bodies, counts, packed, (*own, *structs))

    def _general(self, operator: QConv2D | QDepthwiseConv2D, general: General, weights: int, form: str) -> Structs:
        zero_point = self._network.tensor(operator.outputs[0]).zero_point
        return general_structs(general, weights, form, zero_point, (operator.act_min, operator.act_max))
