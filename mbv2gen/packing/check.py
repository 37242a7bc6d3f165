# SPDX-License-Identifier: Apache-2.0
"""Packing check: decodes a program's tables back to the canonical network and compares.

It shares no code with packing/tables.py; the streams of the dsp family are dsp/check.py's to decode and prove.
"""

from __future__ import annotations

import numpy as np

from mbv2gen.dsp import check as dsp_check
from mbv2gen.dsp.fully_connected import PackedFullyConnected
from mbv2gen.dsp.packing import PackedDepthwise, PackedLinear, PackedRelu
from mbv2gen.dsp.partial import PackedPartial
from mbv2gen.dsp.range_check import check_add, check_ranges
from mbv2gen.dsp.requantization import AddCoefficients
from mbv2gen.errors import CheckFailed
from mbv2gen.packing import halves
from mbv2gen.planning.layouts import PlaneTiles, Tile16
from mbv2gen.program import Call, Program
from mbv2gen.quantized_network import QAdd, QConv2D, QDepthwiseConv2D, QFullyConnected

FOLDED = ("conv_1x1_s8", "conv_1x1_lines_s8", "fully_connected_s8", "depthwise_conv_lines_s8", *halves.BODIES)


def check_packing(program: Program) -> None:
    """Raises CheckFailed, naming the layer and the table, where a decoded table is not the network's own.

    The ranges over which streams are packed are proved first.
    """
    if program.inner_bodies:
        check_ranges(program.network, program.known)
    for call in program.calls:
        operator = program.network.operators[call.layer]
        if isinstance(operator, QAdd) and call.struct == "mbv2_add_dsp":
            check_add(program.network, operator, _coefficients(call))
        if call.work.packed is not None:
            _check_streams(program, call)
        if call.struct == "mbv2_conv" and isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
            _check_call(call, operator)


def _coefficients(call: Call) -> AddCoefficients:
    """The constants that the residual addition's struct holds."""
    a, b, c = (int(value) for value in dict(call.work.fields)["constants"])  # type: ignore[union-attr, arg-type]  # a field's value is of any kind
    return AddCoefficients(a, b, c)


def _check_streams(program: Program, call: Call) -> None:
    """The streams of the dsp family, decoded and proved against the layer (dsp_check)."""
    network, known, packed = program.network, program.known, call.work.packed
    operator = network.operators[call.layer]
    assert isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected)
    if isinstance(packed, PackedRelu):
        dsp_check.check_relu(network, operator, known, packed)
    elif isinstance(packed, PackedDepthwise):
        assert isinstance(operator, QDepthwiseConv2D)
        dsp_check.check_depthwise(network, operator, known, packed)
    elif isinstance(packed, PackedLinear):
        offset = 128 if isinstance(call.inputs[0].layout, Tile16 | PlaneTiles) else 0
        dsp_check.check_linear(network, operator, known, packed, offset=offset)
    elif isinstance(packed, PackedPartial):
        dsp_check.check_partial(network, operator, known, packed)
    elif isinstance(packed, PackedFullyConnected):
        dsp_check.check_fully_connected(network, operator, known, packed)


def _check_call(call: Call, operator: QConv2D | QDepthwiseConv2D | QFullyConnected) -> None:
    tables = {t.field: t.values for t in call.tables}
    arguments = dict(call.arguments)
    taps = arguments["kernel_h"] * arguments["kernel_w"]
    decoded = tables["weights"]
    if call.body == "depthwise_conv_lines_s8":  # channel-major back to tap-major
        decoded = decoded.reshape(-1, taps).T
    if call.body in halves.BODIES:
        decoded = halves.decoded(decoded, len(operator.bias))
    if not np.array_equal(decoded.reshape(-1), operator.weights.reshape(-1)):
        raise CheckFailed(f"packing check: the weights of layer {call.layer} ({call.operator}) do not decode")
    bias = tables["bias"].astype(np.int64)
    if call.body in FOLDED:
        axes = (0, 1) if isinstance(operator, QDepthwiseConv2D) else tuple(range(1, operator.weights.ndim))
        bias = bias + arguments["input_zero_point"] * operator.weights.sum(axis=axes, dtype=np.int64)
    for field, values, wanted in (
        ("bias", bias, operator.bias),
        ("multiplier", tables["multiplier"], operator.multiplier),
        ("shift", tables["shift"], operator.shift),
    ):
        if not np.array_equal(values, wanted):
            raise CheckFailed(f"packing check: the {field} of layer {call.layer} ({call.operator}) does not decode")
