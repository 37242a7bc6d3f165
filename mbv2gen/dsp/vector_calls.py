# SPDX-License-Identifier: Apache-2.0
"""Calls of the ``dsp`` kernels that are no convolutions: residual addition, mean of pool sums, fully connected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbv2gen.dsp.call_fields import symbols, tables_of
from mbv2gen.dsp.fully_connected import pack_fully_connected
from mbv2gen.dsp.ranges import Layer
from mbv2gen.dsp.requantization import solve_add
from mbv2gen.packing.fields import NULL, Fields, Symbol, TableName
from mbv2gen.packing.plain_calls import plain_work, rows_field
from mbv2gen.packing.tables import Table
from mbv2gen.plan import Buffer
from mbv2gen.planning.channel_order import Order
from mbv2gen.planning.work import Work
from mbv2gen.quantized_network import QAdd, QFullyConnected, QMean, QuantizedNetwork


def add_work(network: QuantizedNetwork, operator: QAdd, inputs: tuple[Buffer, ...], output: Buffer) -> Work:
    """A residual addition in two multiplications."""
    found = solve_add(network, operator)
    assert found is not None, "the contract applies only where there are coefficients"
    fields: Fields = (
        *((f"input_{k}", rows_field(buffer)) for k, buffer in enumerate(inputs)),
        ("output", rows_field(output)),
        ("constants", (found.a, found.b, found.c)),
    )
    plain = plain_work(network, operator, "add_s8", inputs, output, None)  # what is computed, for the interpreter
    return Work("mbv2_add_dsp", fields, plain.arguments, (), None, ("mbv2_add_mla_dsp",))


def mean_work(network: QuantizedNetwork, operator: QMean, buffers: Fields, order: Order) -> Work:
    """The mean of pool sums; ``order`` of the channels, as the convolution that made the sums left them."""
    assert network.tensor(operator.inputs[0]).zero_point == -128, "sums are of int8 + 128"
    fields: Fields = (
        *buffers,
        ("channels", len(order)),
        ("multiplier", operator.multiplier),
        ("shift", operator.shift),
        ("output_zero_point", network.tensor(operator.outputs[0]).zero_point),
    )
    return Work("mbv2_mean_sums_dsp", fields, (), (), order, ("mbv2_mean_s8_dsp",))


def fully_connected_work(
    operator: QFullyConnected, rows: Layer, order: Sequence[int], buffers: Fields, scratch: int
) -> Work:
    """A fully connected layer over inputs in ``order``."""
    four_bits = operator.weight_bits == 4
    packed = pack_fully_connected(rows, order, four_bits=four_bits)
    folds = np.array(packed.folds, np.uint16)
    fields: Fields = (
        *buffers,
        ("words", scratch),
        ("body", Symbol("mbv2_fc8_n_dsp" if four_bits else "mbv2_fc8_fold_dsp")),
        ("stream", TableName("stream")),
        ("stream_words", 8 + len(packed.columns) * (1 if four_bits else 2)),
        ("multiplier", TableName("multiplier")),
        ("shift", TableName("shift")),
        ("folds", TableName("folds") if len(folds) else NULL),
        ("fold_count", len(folds)),
        ("inputs", len(order)),
        ("columns", len(packed.columns)),
        ("outputs", packed.outputs),
        ("centre", packed.centre),
        ("act_min", operator.act_min),
        ("act_max", operator.act_max),
    )
    tables = (
        *tables_of(("stream", packed.stream, len(packed.columns) // (2 if four_bits else 1))),
        Table("multiplier", "int32_t", np.array(packed.multiplier, np.int32)),
        Table("shift", "uint8_t", np.array(packed.shift, np.uint8) - 1),
        *((Table("folds", "uint16_t", folds),) if len(folds) else ()),
    )
    bodies = (*symbols(fields), "mbv2_requant_s8_dsp")
    return Work("mbv2_fully_connected_dsp", fields, (), tables, None, bodies, (), packed)
