# SPDX-License-Identifier: Apache-2.0
"""The contracts of the ``dsp`` family (Cortex-M4, M7, M33).

NHWC int8 at cuts; expand writes uint8 lines, depthwise turns lines into int16 tiles, project turns tiles into NHWC.
Where a layer's numbers do not suit the fast bodies as a whole, the contract does not apply and the plain kernel of
the same operator stands in; single channels are the packer's business.
"""

from __future__ import annotations

from mbv2gen.dsp.fully_connected import refuses_fully_connected
from mbv2gen.dsp.packing import refuses_depthwise, refuses_linear, refuses_relu
from mbv2gen.dsp.parameters import depthwise_parameters, relu_parameters
from mbv2gen.dsp.partial import refuses_partial
from mbv2gen.dsp.ranges import Layer, Ranges
from mbv2gen.dsp.requantization import solve_add
from mbv2gen.planning.channel_order import ChannelGroups, even
from mbv2gen.planning.kernels import GROUPS, Applies, Contract, per_input, per_mac
from mbv2gen.planning.layouts import Planes, PlaneTiles, RowNHWC, Sums, Tile16, UInt8Lines, Vector
from mbv2gen.planning.ring_columns import RingColumns4, WindowColumns4
from mbv2gen.quantized_network import QAdd, QConv2D, QDepthwiseConv2D, QFullyConnected, QOperator, QuantizedNetwork

TILE_PAIR_BYTES = 16
STEM_PAIRS = {1: 6, 3: 14}  # input channels -> pairs of window values in a tile
STEM_EDGE_BYTES = {1: 3 * 12, 3: 3 * 28}
NARROW = 16  # input channels below which a weight a byte is faster than two a halfword


def tile_pairs(channels: int) -> int:
    """Pairs of channels in a tile, filled up to the bodies' turn of four."""
    return -(-even(channels) // 2 // 4) * 4


def takes_stem(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """3x3 windows at stride 2 over one or three channels, with ReLU at zero point -128."""
    assert isinstance(operator, QConv2D)
    return _is_stem(operator, network) and refuses_relu(known.layer(operator)) is None


def takes_stem_nhwc(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """3x3 windows at stride 2 over one or three channels, with a range of -128..127 and at least two outputs."""
    assert isinstance(operator, QConv2D)
    return _is_stem(operator, network) and refuses_linear(known.layer(operator)) is None


def _is_stem(operator: QConv2D, network: QuantizedNetwork) -> bool:
    w = operator.window
    fits = (w.kernel_h, w.kernel_w, w.stride_h, w.stride_w) == (3, 3, 2, 2) and w.pad_top <= 2 and w.pad_left <= 2
    return fits and network.shape(operator.inputs[0])[2] in STEM_PAIRS


def takes_relu(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """A pointwise convolution with ReLU at zero point -128."""
    assert isinstance(operator, QConv2D)
    return refuses_relu(known.layer(operator)) is None


def takes_linear(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """A pointwise convolution with a range of -128..127 and at least two outputs."""
    assert isinstance(operator, QConv2D)
    return len(operator.bias) > 1 and refuses_linear(known.layer(operator)) is None


def takes_depthwise(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """3x3 with ReLU before and behind; stride 1 with a column of padding, or stride 2 with at most one."""
    assert isinstance(operator, QDepthwiseConv2D)
    w = operator.window
    sides = (w.stride_w, w.pad_left) in ((1, 1), (2, 0), (2, 1))
    if (w.kernel_h, w.kernel_w) != (3, 3) or w.stride_h != w.stride_w or not sides:
        return False
    return refuses_depthwise(known.layer(operator)) is None


def takes_add(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """Two multiplications a value are exact for all 65,536 pairs."""
    assert isinstance(operator, QAdd)
    return (operator.act_min, operator.act_max) == (-128, 127) and solve_add(network, operator) is not None


def in_columns(operator: QOperator, network: QuantizedNetwork) -> bool:
    """Rows of inputs and output are whole columns of four pixels."""
    return all(network.shape(name)[1] % 4 == 0 for name in (*operator.inputs, *operator.outputs))


def takes_stem_columns(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """As takes_stem, an output of whole columns."""
    return network.shape(operator.outputs[0])[1] % 4 == 0 and takes_stem(operator, network, known)


def takes_relu_columns(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """As takes_relu, in columns."""
    return in_columns(operator, network) and takes_relu(operator, network, known)


def takes_linear_columns(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """As takes_linear, in columns."""
    return in_columns(operator, network) and takes_linear(operator, network, known)


def takes_depthwise_columns(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """As takes_depthwise, in columns."""
    return in_columns(operator, network) and takes_depthwise(operator, network, known)


def takes_add_columns(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """As takes_add, in columns."""
    return in_columns(operator, network) and takes_add(operator, network, known)


PLANES = ((6, 6), (3, 3))


def takes_planes(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """A pointwise convolution with ReLU on a 6x6 or 3x3 plane."""
    return network.shape(operator.outputs[0])[:2] in PLANES and takes_relu(operator, network, known)


def takes_plane_depthwise(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """Depthwise 3x3 on 6x6 (stride 1, or stride 2 to 3x3) or on 3x3, all channels within the fast body's bounds."""
    assert isinstance(operator, QDepthwiseConv2D)
    w, plane = operator.window, network.shape(operator.inputs[0])[:2]
    if plane not in PLANES or plane_body(operator, plane) is None or not takes_depthwise(operator, network, known):
        return False
    return (w.kernel_h, w.kernel_w) == (3, 3) and not general_depthwise(known.layer(operator))


def takes_expand_to_groups(groups: int) -> Applies:
    """As takes_planes, with no channel for the general body, and so many groups of output channels."""

    def takes(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
        assert isinstance(operator, QConv2D)
        if not ChannelGroups(len(operator.bias), groups).are_full or not takes_planes(operator, network, known):
            return False
        forms = (relu_parameters(known.layer(operator), unpacked=u, solver=False) for u in (False, True))
        return not any(form.general.any() for form in forms)

    return takes


def takes_depthwise_groups(groups: int) -> Applies:
    """As takes_plane_depthwise, with so many groups of channels."""

    def takes(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
        full = ChannelGroups(network.shape(operator.inputs[0])[2], groups).are_full
        return full and takes_plane_depthwise(operator, network, known)

    return takes


def takes_partial(groups: int) -> Applies:
    """A pointwise convolution with a range of -128..127 on a 6x6 or 3x3 plane, its input channels in so many groups."""

    def takes(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
        assert isinstance(operator, QConv2D)
        cut = ChannelGroups(network.shape(operator.inputs[0])[2], groups)
        if network.shape(operator.outputs[0])[:2] not in PLANES or not cut.are_full:
            return False
        return takes_linear(operator, network, known) and refuses_partial(known.layer(operator), cut.size) is None

    return takes


def plane_body(operator: QDepthwiseConv2D, plane: tuple[int, int]) -> str | None:
    """The body for a window on a plane; None where there is none."""
    w = operator.window
    sides = (w.stride_h, w.stride_w, w.pad_top, w.pad_left)
    if plane == (3, 3):
        return "dw_plane3" if sides == (1, 1, 1, 1) else None
    return {(1, 1, 1, 1): "dw_plane6", (2, 2, 1, 1): "dw_plane6s2", (2, 2, 0, 0): "dw_plane6s2_same"}.get(sides)


def general_depthwise(rows: Layer) -> bool:
    """Whether some channel needs the general body, which works on lines only."""
    return bool(depthwise_parameters(rows, solver=True).general.any())


def takes_fully_connected(operator: QOperator, network: QuantizedNetwork, known: Ranges) -> bool:
    """Right shifts and bounds of the fully connected body."""
    assert isinstance(operator, QFullyConnected)
    rows, four_bits = known.layer(operator), operator.weight_bits == 4
    return refuses_fully_connected(rows, range(rows.weights.shape[1]), four_bits=four_bits) is None


def _words_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    """Inputs as pairs in words, filled up to turns of eight; a fold behind each turn at worst, and the end."""
    assert isinstance(operator, QFullyConnected)
    turns = -(-even(operator.weights.shape[1]) // 8)
    return 4 * (turns * 4 + turns + 1)


def _tile_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    return TILE_PAIR_BYTES * tile_pairs(network.shape(operator.inputs[0])[2])


def _lines_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    """Three rows of the input as lines."""
    return 3 * UInt8Lines(0, 0).row_bytes(network.shape(operator.inputs[0]))


def stem_tile_bytes(channels: int) -> int:
    """The stem's tile, as its bodies read it: 4 n + 2 pairs."""
    return TILE_PAIR_BYTES * (-(-(STEM_PAIRS[channels] - 2) // 4) * 4 + 2)


def _partial_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    """int32 sums of all outputs."""
    h, w, c = network.shape(operator.outputs[0])
    return 4 * h * w * even(c)


def _stem_bytes(operator: QOperator, network: QuantizedNetwork) -> int:
    channels = network.shape(operator.inputs[0])[2]
    return stem_tile_bytes(channels) + -(-STEM_EDGE_BYTES[channels] // 8) * 8


EITHER = (8, 4)  # bits of weights: bodies differ, kernels do not

# fmt: off
_IN_GROUPS: tuple[Contract, ...] = tuple(contract for groups in GROUPS for contract in (
    Contract(
        "conv_1x1_plane_groups_s8_dsp", "pointwise", RowNHWC, Planes, per_mac(0.85, 4), takes_expand_to_groups(groups),
        _tile_bytes, whole_input=True, wide=True, groups=groups, in_pairs=True,
    ),
    Contract(
        "depthwise_conv_plane_groups_s8_dsp", "depthwise", Planes, PlaneTiles, per_mac(1.3, 0),
        takes_depthwise_groups(groups), wide=True, groups=groups, pixels=6,
    ),
    Contract(
        "conv_1x1_partial_s8_dsp", "pointwise", PlaneTiles, RowNHWC, per_mac(0.78, 13 + 3 * groups),
        takes_partial(groups), _partial_bytes, keeps_scratch=True, wide=True, groups=groups,
    ),
))

DSP: tuple[Contract, ...] = (
    Contract("conv_stem_s8_dsp", "conv", RowNHWC, UInt8Lines, per_mac(1.2, 1), takes_stem, _stem_bytes),
    Contract("conv_stem_nhwc_s8_dsp", "conv", RowNHWC, RowNHWC, per_mac(1.2, 8), takes_stem_nhwc, _stem_bytes),
    Contract(
        "conv_1x1_lines_s8_dsp", "pointwise", RowNHWC, UInt8Lines, per_mac(0.9, 4), takes_relu, _tile_bytes,
        weight_bits=EITHER, in_pairs=True,
    ),
    Contract("conv_1x1_tile_s8_dsp", "pointwise", Tile16, RowNHWC, per_mac(0.8, 6), takes_linear, weight_bits=EITHER),
    Contract(
        "conv_1x1_s8_dsp", "pointwise", RowNHWC, RowNHWC, per_mac(0.9, 7), takes_linear, _tile_bytes,
        weight_bits=EITHER, in_pairs=True,
    ),
    Contract("depthwise_conv_s8_dsp", "depthwise", UInt8Lines, Tile16, per_mac(1.8, 0), takes_depthwise),
    Contract(
        "depthwise_conv_nhwc_s8_dsp", "depthwise", RowNHWC, Tile16, per_mac(1.8, 25), takes_depthwise, _lines_bytes
    ),
    Contract(
        "conv_1x1_sums_s8_dsp", "pointwise", RowNHWC, Sums, per_mac(0.88, 4), takes_relu, _tile_bytes,
        reduces=True, accumulates=True, weight_bits=EITHER, in_pairs=True,
    ),
    Contract("mean_sums_s8_dsp", "mean", Sums, Vector, per_input(2)),
    Contract(
        "fully_connected_s8_dsp", "fully_connected", Vector, RowNHWC, per_mac(1, 30), takes_fully_connected,
        _words_bytes, whole_input=True, weight_bits=EITHER,
    ),
    Contract(
        "fully_connected_s8_dsp", "fully_connected", RowNHWC, RowNHWC, per_mac(1, 31), takes_fully_connected,
        _words_bytes, whole_input=True, weight_bits=EITHER,
    ),
    Contract(
        "conv_1x1_planes_s8_dsp", "pointwise", RowNHWC, Planes, per_mac(0.85, 4), takes_planes, _tile_bytes,
        whole_input=True, wide=True, weight_bits=EITHER, in_pairs=True,
    ),
    Contract(
        "depthwise_conv_planes_s8_dsp", "depthwise", Planes, PlaneTiles, per_mac(1.3, 0), takes_plane_depthwise,
        wide=True, pixels=6,
    ),
    Contract(
        "conv_1x1_tile_s8_dsp", "pointwise", PlaneTiles, RowNHWC, per_mac(0.78, 6), takes_linear, wide=True,
        weight_bits=EITHER,
    ),
    *_IN_GROUPS,
    Contract("add_s8_dsp", "add", RowNHWC, RowNHWC, per_input(7), takes_add, in_place=True),
    Contract(
        "conv_stem_columns_s8_dsp", "conv", RowNHWC, RingColumns4, per_mac(1.3, 2), takes_stem_columns, _stem_bytes,
        tight=True,
    ),
    Contract(
        "conv_1x1_columns_s8_dsp", "pointwise", RowNHWC, RingColumns4, per_mac(0.95, 4.5), takes_relu_columns,
        _tile_bytes, tight=True, weight_bits=EITHER, in_pairs=True,
    ),
    Contract(
        "depthwise_conv_columns_s8_dsp", "depthwise", RingColumns4, Tile16, per_mac(2.4, 0), takes_depthwise_columns,
        tight=True,
    ),
    Contract(
        "conv_stem_windows_s8_dsp", "conv", RowNHWC, WindowColumns4, per_mac(1.3, 2), takes_stem_columns, _stem_bytes,
        tight=True, recomputes=True,
    ),
    Contract(
        "conv_1x1_windows_s8_dsp", "pointwise", RowNHWC, WindowColumns4, per_mac(0.95, 4.5), takes_relu_columns,
        _tile_bytes, tight=True, recomputes=True, weight_bits=EITHER, in_pairs=True,
    ),
    Contract(
        "depthwise_conv_windows_s8_dsp", "depthwise", WindowColumns4, Tile16, per_mac(2.4, 0), takes_depthwise_columns,
        tight=True, recomputes=True,
    ),
    Contract(
        "conv_1x1_tile_s8_dsp", "pointwise", Tile16, RowNHWC, per_mac(0.85, 7), takes_linear_columns, tight=True,
        weight_bits=EITHER,
    ),
    Contract("add_s8_dsp", "add", RowNHWC, RowNHWC, per_input(8), takes_add_columns, in_place=True, tight=True),
)
# fmt: on
