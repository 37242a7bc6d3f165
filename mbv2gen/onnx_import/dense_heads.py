# SPDX-License-Identifier: Apache-2.0
"""1x1 convolutions of a head, behind the pooling, are dense layers."""

from __future__ import annotations

from mbv2gen.network import Activation, Conv2D, FullyConnected, Mean
from mbv2gen.onnx_import.draft import Draft, DraftOperator, substituted


def pointwise_as_dense(draft: Draft) -> Draft:
    """Makes a pointwise convolution FullyConnected where its input comes from the pooling or another dense layer."""
    changes: dict[int, DraftOperator | None] = {}
    vectors: set[str] = set()
    for item in draft.operators:
        dense = isinstance(item, Conv2D) and item.window.is_pointwise and item.inputs[0] in vectors
        if isinstance(item, Conv2D) and dense:
            weights = item.weights.reshape(len(item.weights), -1)
            head = (item.name, item.inputs, item.outputs)
            changes[id(item)] = FullyConnected(*head, weights, item.bias, item.clamp, item.weight_scale)
        passes = isinstance(item, Activation) and item.inputs[0] in vectors
        if dense or passes or isinstance(item, (Mean, FullyConnected)):
            vectors.add(item.outputs[0])
    return substituted(draft, changes) if changes else draft
