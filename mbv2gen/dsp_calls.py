"""Calls of the ``dsp`` family: streams packed layer by layer, and the fields of the kernels' structs
(templates/kernels/mbv2_dsp.h).

Layers are packed in the network's order, because the order of an expand's channels, which the packer chooses, is the
order in which the depthwise behind it stands and the columns of the project behind that.
"""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp_kernels import DSP, NARROW, linear_parts, stem_tile_bytes
from mbv2gen.dsp_packing import PackedLinear, PackedRelu, pack_depthwise, pack_linear, pack_relu
from mbv2gen.dsp_ranges import Layer, layer, ranges
from mbv2gen.dsp_requantization import solve_add
from mbv2gen.dsp_streams import General, Stream, position_pairs
from mbv2gen.dsp_tiles import STEM1_PAIRS, STEM3_PAIRS, Pairs, byte_pairs, expand_pairs
from mbv2gen.fields import NULL, Fields, Symbol, TableName, Value
from mbv2gen.layouts import Order, UInt8Lines, even
from mbv2gen.packing import Table
from mbv2gen.plain_calls import plain_work, rows_field
from mbv2gen.plan import Buffer
from mbv2gen.quantized_network import QAdd, QConv2D, QDepthwiseConv2D, QOperator, QuantizedNetwork
from mbv2gen.work import Work

DSP_BODIES = frozenset(contract.body for contract in DSP)


class DspPacker:
    """Packs the layers of one network in turn; remembers the order of channels of the tensors it has written."""

    def __init__(self, network: QuantizedNetwork, solver: bool = True) -> None:
        self._network = network
        self._known = ranges(network)
        self._orders: dict[str, Order] = {}
        self._solver = solver

    def work(
        self, operator: QOperator, body: str, inputs: tuple[Buffer, ...], output: Buffer, scratch: int | None
    ) -> Work:
        """The work of a dsp kernel; ``scratch`` is the offset of its room in the arena."""
        if isinstance(operator, QAdd):
            return self._add(operator, inputs, output)
        assert isinstance(operator, QConv2D | QDepthwiseConv2D)
        rows = layer(self._network, operator, self._known)
        if isinstance(operator, QDepthwiseConv2D):
            return self._depthwise(operator, rows, inputs[0], output)
        if body == "conv_stem_s8_dsp":
            return self._stem(operator, rows, inputs[0], output, scratch or 0)
        if body == "conv_1x1_lines_s8_dsp":
            return self._expand(operator, rows, inputs[0], output, scratch or 0)
        return self._linear(operator, rows, inputs[0], output, scratch)

    def _expand(self, operator: QConv2D, rows: Layer, source: Buffer, output: Buffer, scratch: int) -> Work:
        h, w, c = self._network.shape(operator.inputs[0])
        narrow = c < NARROW and c % 4 == 0
        form = "tile_s" if narrow else "tile" if c % 4 == 0 else "bytes"
        packed = pack_relu(
            rows, expand_pairs(c) if c % 4 == 0 else byte_pairs(c), unpacked=narrow, solver=self._solver
        )
        self._orders[operator.outputs[0]] = packed.order
        kind = "relu"
        fields = self._relu_fields(operator, packed, kind, source, output, scratch, form, (h, w, c))
        return _relu_work("mbv2_conv_1x1_dsp", fields, packed)

    def _relu_fields(
        self,
        operator: QConv2D,
        packed: PackedRelu,
        kind: str,
        source: Buffer,
        output: Buffer,
        scratch: int,
        form: str | None,
        shape: tuple[int, int, int],
    ) -> Fields:
        """A mbv2_conv_1x1_dsp that writes lines."""
        assert isinstance(output.layout, UInt8Lines)
        _, width, out_c = self._network.shape(operator.outputs[0])
        suffix = "_x" if packed.unpacked else ""
        bodies: list[Value] = []
        for stream, own in ((packed.common, ""), (packed.own, "sh" if packed.unpacked else "_sh")):
            bodies += _group_bodies(f"pw_{kind}", suffix + own, width) if stream.channels else [NULL, NULL]
        return (
            ("input", rows_field(source)),
            ("output", rows_field(output)),
            ("tile", scratch),
            *_named(("expand", "expand_rest"), _group_bodies(f"expand_{form}", "", width) if form else [NULL, NULL]),
            *_named(("body", "body_rest", "own_body", "own_body_rest"), bodies),
            ("stream", _table("stream", packed.common)),
            ("own_stream", _table("own_stream", packed.own)),
            ("channels", packed.common.channels),
            ("own_channels", packed.own.channels),
            ("general", self._general(operator, packed.general, 2 * len(packed.pairs))),
            ("in_h", shape[0]),
            ("in_c", shape[2]),
            ("width", width),
            ("out_c", out_c),
            ("expand_pairs", even(shape[2]) // 2),
            ("line_top", output.layout.pad_top),
        )

    def _stem(self, operator: QConv2D, rows: Layer, source: Buffer, output: Buffer, scratch: int) -> Work:
        h, w, c = self._network.shape(operator.inputs[0])
        packed = pack_relu(rows, STEM3_PAIRS if c == 3 else STEM1_PAIRS, head=2, solver=self._solver)
        self._orders[operator.outputs[0]] = packed.order
        window = operator.window
        lead = -window.pad_left * c % 4
        aligned = source.row_bytes % 4 == 0 and (c == 1 or lead in (0, 1))
        inside = f"mbv2_im2col{c}_" + (f"lead{lead}_dsp" if aligned else "bytes_dsp")
        fields: Fields = (
            ("conv", self._relu_fields(operator, packed, "stem", source, output, scratch, None, (h, w, c))),
            ("edge", scratch + stem_tile_bytes(c)),
            ("im2col", Symbol(inside)),
            ("im2col_edge", Symbol(f"mbv2_im2col{c}_lead0_dsp")),
            ("in_w", w),
            ("out_h", self._network.shape(operator.outputs[0])[0]),
            ("pad_top", window.pad_top),
            ("pad_left", window.pad_left),
            ("lead", lead if aligned else 0),
            ("read_bytes", (28 if c == 3 else 12) - (0 if aligned else 1)),
            ("zero_point", self._network.tensor(operator.inputs[0]).zero_point),
        )
        return _relu_work("mbv2_conv_stem_dsp", fields, packed)

    def _linear(
        self, operator: QConv2D, rows: Layer, source: Buffer, output: Buffer, scratch: int | None
    ) -> Work:
        h, w, c = self._network.shape(operator.inputs[0])
        out_c = len(operator.bias)
        order = self._orders.get(operator.inputs[0])
        form = None if order is not None else "tile" if c % 4 == 0 else "bytes"
        pairs: Pairs = position_pairs(order) if order is not None else expand_pairs(c) if c % 4 == 0 else byte_pairs(c)
        offset = 128 if order is not None else 0
        parts = [pack_linear(part, pairs, offset=offset) for part in linear_parts(rows)]
        main, last = parts[0], parts[1] if len(parts) > 1 else None
        general = _joined(main, last, out_c)
        bodies = [_group_bodies("pw_lin", "_x" if p.unpacked else "", w) if p else [NULL, NULL] for p in (main, last)]
        own = last.stream if last else Stream(b"", 0)
        fields: Fields = (
            ("input", rows_field(source)),
            ("output", rows_field(output)),
            ("tile", scratch or 0),
            *_named(("expand", "expand_rest"), _group_bodies(f"expand_{form}", "", w) if form else [NULL, NULL]),
            *_named(("body", "body_rest", "own_body", "own_body_rest"), bodies[0] + bodies[1]),
            ("stream", _table("stream", main.stream)),
            ("own_stream", _table("own_stream", own)),
            ("channels", main.stream.channels),
            ("own_channels", own.channels),
            ("general", self._general(operator, general, 2 * len(main.pairs))),
            ("in_h", h),
            ("in_c", c),
            ("width", w),
            ("out_c", out_c),
            ("expand_pairs", even(c) // 2),
            ("line_top", 0),
        )
        weights = 2 * len(main.pairs)
        tables = _tables(("stream", main.stream, weights), ("own_stream", own, weights), ("general", general, weights))
        names = tuple(sorted({v.name for _, v in fields if isinstance(v, Symbol) and v != NULL}))
        return Work("mbv2_conv_1x1_dsp", fields, (), tables, None, names, _statistics(main.statistics))

    def _depthwise(self, operator: QDepthwiseConv2D, rows: Layer, source: Buffer, output: Buffer) -> Work:
        packed = pack_depthwise(rows, self._orders[operator.inputs[0]], solver=self._solver)
        self._orders[operator.outputs[0]] = packed.order
        w = operator.window
        body = "dw_rows1" if w.stride_w == 1 else "dw_rows2" if w.pad_left else "dw_rows2_same"
        fields: Fields = (
            ("input", rows_field(source)),
            ("output", rows_field(output)),
            ("body", Symbol(f"mbv2_{body}_dsp")),
            ("stream", _table("stream", packed.stream)),
            ("general", self._general(operator, packed.general, 9)),
            ("channels", packed.stream.channels),
            ("in_w", self._network.shape(operator.inputs[0])[1]),
            ("out_w", self._network.shape(operator.outputs[0])[1]),
            ("stride_h", w.stride_h),
            ("stride_w", w.stride_w),
            ("pad_left", w.pad_left),
        )
        tables = _tables(("stream", packed.stream, 9), ("general", packed.general, 9))
        names = (f"mbv2_{body}_dsp",)
        return Work("mbv2_depthwise_dsp", fields, (), tables, packed.order, names, _statistics(packed.statistics))

    def _add(self, operator: QAdd, inputs: tuple[Buffer, ...], output: Buffer) -> Work:
        found = solve_add(self._network, operator)
        assert found is not None, "the contract applies only where there are coefficients"
        plain = plain_work(self._network, operator, "add_s8", inputs, output, None)
        fields: Fields = (("plain", plain.fields), ("constants", (found.a, found.b, found.c)))
        return Work("mbv2_add_dsp", fields, plain.arguments, (), None, ("mbv2_add_mla_dsp",))

    def _general(self, operator: QConv2D | QDepthwiseConv2D, general: General, weights: int) -> Fields:
        """A mbv2_general."""
        return (
            ("records", TableName("general") if general.positions else NULL),
            ("count", len(general.positions)),
            ("weights", weights),
            ("tile_shift", general.tile_shift),
            ("zero_point", self._network.tensor(operator.outputs[0]).zero_point),
            ("act_min", operator.act_min),
            ("act_max", operator.act_max),
        )


def _relu_work(struct: str, fields: Fields, packed: PackedRelu) -> Work:
    flat = [*fields, *(item for _, value in fields if isinstance(value, tuple) for item in value if isinstance(item, tuple))]
    names = sorted({v.name for _, v in flat if isinstance(v, Symbol) and v != NULL})
    weights = 2 * len(packed.pairs)
    tables = _tables(
        ("stream", packed.common, weights), ("own_stream", packed.own, weights), ("general", packed.general, weights)
    )
    return Work(struct, fields, (), tables, packed.order, tuple(names), _statistics(packed.statistics))


def _group_bodies(kind: str, suffix: str, width: int) -> list[Value]:
    """Bodies of a group of four pixels and of a row's last one to three."""
    four: Value = Symbol(f"mbv2_{kind}4{suffix}_dsp") if width >= 4 else NULL
    rest: Value = Symbol(f"mbv2_{kind}{width % 4}{suffix}_dsp") if width % 4 else NULL
    return [four, rest]


def _named(names: tuple[str, ...], values: list[Value]) -> Fields:
    return tuple(zip(names, values, strict=True))


def _table(field: str, stream: Stream) -> Value:
    return TableName(field) if stream.channels else NULL


def _tables(*parts: tuple[str, Stream | General, int]) -> tuple[Table, ...]:
    """Tables of words; ``weights`` bytes of each channel's words are weights."""
    tables = []
    for field, part, weights in parts:
        if part.data:
            channels = part.channels if isinstance(part, Stream) else len(part.positions)
            tables.append(Table(field, "uint32_t", np.frombuffer(part.data, "<u4"), weights * channels))
    return tuple(tables)


def _joined(main: PackedLinear, last: PackedLinear | None, out_c: int) -> General:
    """General records of both parts; the last part's second channel is the one that only it has."""
    data, positions = main.general.data, main.general.positions
    if last is not None and 1 in last.general.positions:
        size = len(last.general.data) // len(last.general.positions)
        record = np.frombuffer(last.general.data[-size:], "<u4").copy()
        record[0] = out_c - 1
        data, positions = data + record.tobytes(), (*positions, out_c - 1)
    return General(data, positions, main.general.tile_shift)


def _statistics(statistics: object) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, int(value)) for name, value in vars(statistics).items()))
