# SPDX-License-Identifier: Apache-2.0
"""Calls of kernels whose expanded channels come in groups: expand to planes, and the project that adds groups up
(templates/kernels/mbv2_dsp.h)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbv2gen.dsp.call_fields import FASTEST, named, symbols
from mbv2gen.dsp.packing import PackedRelu
from mbv2gen.dsp.partial import pack_partial
from mbv2gen.dsp.ranges import Layer
from mbv2gen.dsp.streams import Stream, position_pairs
from mbv2gen.network import Shape
from mbv2gen.packing.fields import Fields, TableName
from mbv2gen.packing.plain_calls import rows_field
from mbv2gen.packing.tables import Table
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import ChannelGroups, Order, even
from mbv2gen.planning.layouts import PlaneTiles
from mbv2gen.planning.work import Work


def groups_work(work: Work, groups: ChannelGroups) -> Work:
    """The work of a 1x1 convolution, of which each unit makes the planes of one group of channels."""
    assert isinstance(work.packed, PackedRelu)
    assert not work.packed.general.positions, "the contract applies only where there are none"
    fields: Fields = (
        ("conv", work.fields),
        ("group", groups.size),
        ("pair_words", _pair_words(work.packed.common)),
        ("own_pair_words", _pair_words(work.packed.own)),
    )
    return replace(work, struct="mbv2_conv_1x1_groups_dsp", fields=fields)


def _pair_words(stream: Stream) -> int:
    """From pair to pair of channels."""
    return len(stream.data) // (2 * stream.channels) if stream.channels else 0


def partial_work(rows: Layer, order: Order, shape: Shape, source: Buffer, output: Buffer, sums: int) -> Work:
    """A project from tiles of groups of channels of a tensor of ``shape``; ``order`` of the channels in all of them,
    ``sums`` the offset of the int32 sums."""
    assert isinstance(source.layout, PlaneTiles)
    tiles, groups = source.layout, source.layout.channels(shape)
    packed = pack_partial(rows, [position_pairs(order[groups.group(k)]) for k in range(groups.count)])
    pixels, stream = tiles.band(shape) * shape[1], np.frombuffer(b"".join(s.data for s in packed.streams), "<u4")
    fields: Fields = (
        ("input", rows_field(source)),
        ("output", rows_field(output)),
        ("sums", sums),
        *named(("body", "body_rest"), FASTEST.of_group("pw_part", "", pixels)),
        ("stream", TableName("stream")),
        ("multiplier", TableName("multiplier")),
        ("shift", TableName("shift")),
        ("centre", packed.centre),
        ("channels", even(shape[2])),
        ("group", groups.size),
        ("group_words", len(packed.streams[0].data) // 4),
        ("bands", tiles.bands(shape)),
        ("band", tiles.band(shape)),
        ("pixels", pixels),
        ("out_c", packed.outputs),
    )
    weights = sum(2 * len(pairs) * even(packed.outputs) for pairs in packed.pairs)
    tables = (
        Table("stream", "uint32_t", stream, weights),
        Table("multiplier", "int32_t", np.array(packed.multiplier, np.int32)),
        Table("shift", "uint8_t", np.array(packed.shift, np.uint8) - 1),
    )
    bodies = (*symbols(fields), "mbv2_requant_s8_dsp")
    return Work("mbv2_conv_1x1_partial_dsp", fields, (), tables, None, bodies, (), packed)
