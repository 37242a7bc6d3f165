# SPDX-License-Identifier: Apache-2.0
"""Pruning: channels that provably carry nothing leave the float network, and what they add stays in biases.

Channels share a fate where operators tie them: a depthwise convolution, an addition, a mean or an activation reads
and writes the same ones. A tied channel leaves where every convolution or dense layer that reads it can do without:
its value is one constant over all inputs (which goes into the biases, unless padding with zeros would show), or none
of its weights matters. So a channel of a residual sum leaves only where all branches allow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Conv2D, DepthwiseConv2D, FullyConnected, Mean, Network, Operator, Tensor, float32

NOTHING = 1e-12  # a weight up to this, and up to a millionth of its layer's largest, is none
RELATIVE = 1e-6

Weighted: TypeAlias = Conv2D | DepthwiseConv2D | FullyConnected
Reals: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Interval:
    """What each channel of a tensor can be over all inputs: float64 [c], infinite where nothing is known."""

    low: Reals
    high: Reals

    @property
    def is_constant(self) -> Mask:
        result: Mask = self.low == self.high
        return result


def prune(network: Network) -> Network:
    """The network without its dead channels; equal to ``network`` in every output but for float32's rounding.

    ``macs`` stay those of the ONNX file. A tensor keeps one channel at least.
    """
    pruned = _pass(network)
    while pruned.tensors != network.tensors:
        network, pruned = pruned, _pass(pruned)
    return pruned


def removed_channels(before: Network, after: Network) -> dict[str, int]:
    """By operator, how many channels of its output are gone in ``after``."""
    return {
        operator.name: before.shape(operator.outputs[0])[2] - after.shape(operator.outputs[0])[2]
        for operator in before.operators
    }


def intervals(network: Network) -> dict[str, Interval]:
    """By tensor, from inputs of any value; exact for a single operator, an outer bound through several."""
    c = network.shape(network.inputs[0])[2]
    found = {network.inputs[0]: Interval(np.full(c, -np.inf), np.full(c, np.inf))}
    for operator in network.operators:
        found[operator.outputs[0]] = _interval(operator, [found[name] for name in operator.inputs])
    return found


def _interval(operator: Operator, sources: list[Interval]) -> Interval:
    if isinstance(operator, Mean):
        return sources[0]
    if isinstance(operator, Weighted):
        low, high = _weighted_ends(operator, sources[0])
    else:
        low, high = (np.sum(ends, axis=0) for ends in ([s.low for s in sources], [s.high for s in sources]))
    return Interval(
        np.clip(low, operator.clamp.low, operator.clamp.high), np.clip(high, operator.clamp.low, operator.clamp.high)
    )


def _weighted_ends(operator: Weighted, source: Interval) -> tuple[Reals, Reals]:
    low, high = source.low, source.high
    if _is_padded(operator):
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    if isinstance(operator, DepthwiseConv2D):
        low, high = low[:, None, None], high[:, None, None]
    weights = _rows(operator, len(source.low))
    ends = _products(weights, low), _products(weights, high)
    bias = operator.bias.astype(np.float64)
    return bias + np.minimum(*ends).sum(axis=(1, 2)), bias + np.maximum(*ends).sum(axis=(1, 2))


def _products(weights: Reals, ends: Reals) -> Reals:
    """weights * ends, where a weight of 0 makes 0 even of infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(weights == 0, 0.0, weights * ends)


def _rows(operator: Weighted, channels: int) -> Reals:
    """[c_out][pixels it sees][c_in], weights of dead rows 0; depthwise: [c][pixels][1]."""
    weights = operator.weights.astype(np.float64)
    if isinstance(operator, DepthwiseConv2D):
        rows = weights.reshape(-1, channels).T[:, :, None]
    else:
        rows = weights.reshape(len(weights), -1, channels)
    return np.where(_is_nothing(weights, np.abs(rows).max(axis=(1, 2), keepdims=True)), 0.0, rows)


def _is_nothing(weights: Reals, largest: Reals) -> Mask:
    """Whether ``largest``, of some of the ``weights`` of a layer, is as good as 0."""
    return largest <= min(NOTHING, RELATIVE * float(np.abs(weights).max()))


def _is_padded(operator: Weighted) -> bool:
    if isinstance(operator, FullyConnected):
        return False
    window = operator.window
    return bool(window.pad_top or window.pad_left or window.pad_bottom or window.pad_right)


def _pass(network: Network) -> Network:
    known = intervals(network)
    group_of = _groups(network)
    needed = _needed(network, known, group_of)
    operators = tuple(_without(operator, network, known, needed, group_of) for operator in network.operators)
    tensors = tuple(
        Tensor(tensor.name, (*tensor.shape[:2], int(needed[group_of[tensor.name]].sum()))) for tensor in network.tensors
    )
    return replace(network, tensors=tensors, operators=operators)


def _groups(network: Network) -> dict[str, str]:
    """By tensor, the first tensor of those whose channels are tied to its own."""
    group_of = {tensor.name: tensor.name for tensor in network.tensors}
    for operator in network.operators:
        if not isinstance(operator, Conv2D | FullyConnected):
            tied = {group_of[name] for name in (*operator.inputs, *operator.outputs)}
            first = next(tensor.name for tensor in network.tensors if tensor.name in tied)
            group_of = {name: first if group in tied else group for name, group in group_of.items()}
    return group_of


def _needed(network: Network, known: Mapping[str, Interval], group_of: Mapping[str, str]) -> dict[str, Mask]:
    """By group, bool [c]: which channels stay."""
    needed = {group_of[name]: np.zeros(network.shape(name)[2], np.bool_) for name in group_of}
    for name in (*network.inputs, *network.outputs):
        needed[group_of[name]][:] = True
    for operator in network.operators:
        if isinstance(operator, Conv2D | FullyConnected):
            needed[group_of[operator.inputs[0]]] |= ~_dispensable(operator, known[operator.inputs[0]])
    for mask in needed.values():
        mask[0] |= not mask.any()
    return needed


def _dispensable(operator: Conv2D | FullyConnected, source: Interval) -> Mask:
    """[c_in]: whether the operator can do without an input channel."""
    weights = operator.weights.astype(np.float64)
    largest: Reals = np.abs(weights).reshape(-1, len(source.low)).max(axis=0)
    constant = source.is_constant & ((source.low == 0) | (not _is_padded(operator)))
    result: Mask = constant | _is_nothing(weights, largest)
    return result


def _without(
    operator: Operator,
    network: Network,
    known: Mapping[str, Interval],
    needed: Mapping[str, Mask],
    group_of: Mapping[str, str],
) -> Operator:
    """The operator on the channels that stay; one that cannot change keeps its constant and no weights."""
    if not isinstance(operator, Weighted):
        return operator
    reads, writes = (needed[group_of[name]] for name in (operator.inputs[0], operator.outputs[0]))
    output = known[operator.outputs[0]]
    live = ~output.is_constant
    if isinstance(operator, DepthwiseConv2D):
        weights = np.where(live, operator.weights, 0)[:, :, writes]
        bias = np.where(live, operator.bias, output.low)[writes]
        return replace(operator, weights=float32(weights), bias=float32(bias))
    source = known[operator.inputs[0]]
    rows = operator.weights.astype(np.float64).reshape(-1, len(reads))  # [c_out * pixels][c_in]
    gone = ~reads & source.is_constant
    added = (rows[:, gone] @ source.low[gone]).reshape(len(operator.bias), -1).sum(axis=1)
    bias = np.where(live, operator.bias + added, output.low)[writes]
    shape = (len(operator.bias), -1) if isinstance(operator, FullyConnected) else (*operator.weights.shape[:3], -1)
    kept = rows[:, reads].reshape(shape)[writes]
    kept[~live[writes]] = 0
    return replace(operator, weights=float32(kept), bias=float32(bias))
