# SPDX-License-Identifier: Apache-2.0
"""Integer prefix: what the operators that are quantized already make of the pictures, as far as others still read it.

Layer by layer, so that memory holds the tensors of one place in the network and not all activations. Where all
pictures would not fit, evenly spaced ones stand for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mbv2gen import int8_reference
from mbv2gen.int8_reference import Weighted
from mbv2gen.network import Network
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.quantization.tensor_scales import quantize_values
from mbv2gen.quantized_network import Int8Array, QOperator, QuantizedNetwork

BATCH = 8  # pictures read at once
CHUNK_ELEMENTS = 1 << 18  # of an operator's larger side that are computed at once
PREFIX_BYTES = 1 << 29  # for the activations of all pictures at one place, accumulators included
PREFIX_PICTURES = 32  # held at least


class IntegerPrefix:
    """Tensors int8 [n][h][w][c] by name; each leaves after its last reader."""

    def __init__(self, draft: QuantizedNetwork, network: Network, sample: Pictures) -> None:
        self._draft = draft
        self._unread = Counter(name for operator in network.operators for name in operator.inputs)
        source = draft.tensor(network.inputs[0])
        self._values = {source.name: np.concatenate(list(integer_input(sample, draft, BATCH)))}

    def __getitem__(self, name: str) -> Int8Array:
        return self._values[name]

    def accumulators(self, operator: Weighted) -> NDArray[np.int32]:
        """bias + sum of products for all pictures, [n][h][w][c]."""
        x, zero_point = self._values[operator.inputs[0]], self._draft.tensor(operator.inputs[0]).zero_point
        result = np.empty((len(x), *self._draft.shape(operator.outputs[0])), np.int32)
        for part in self._parts(operator):
            result[part] = int8_reference.accumulators(operator, x[part], zero_point)
        return result

    def extend(self, operator: QOperator, acc: NDArray[np.int32] | None = None) -> None:
        """The output of ``operator``, out of its accumulators where they are known, takes the place of its inputs."""
        target = self._draft.tensor(operator.outputs[0])
        inputs = [self._values[name] for name in operator.inputs]
        result = np.empty((len(inputs[0]), *target.shape), np.int8)
        for part in self._parts(operator):
            if acc is None:
                made = int8_reference.evaluate_operator(self._draft, operator, [x[part] for x in inputs])
            else:
                assert isinstance(operator, Weighted)
                made = int8_reference.requantized(operator, acc[part], target.zero_point)
            result[part] = made
        self._values[target.name] = result
        for name in operator.inputs:
            self._unread[name] -= 1
            if not self._unread[name]:
                self._values.pop(name, None)

    def _parts(self, operator: QOperator) -> list[slice]:
        largest = max(int(np.prod(self._draft.shape(name))) for name in (*operator.inputs, *operator.outputs))
        step = max(1, CHUNK_ELEMENTS // largest)
        return [slice(start, start + step) for start in range(0, len(self._values[operator.inputs[0]]), step)]


def sample(data: Pictures, network: Network) -> Pictures:
    """The pictures that the integer prefix is run on: all, or as many evenly spaced ones as memory holds."""
    count = max(PREFIX_PICTURES, PREFIX_BYTES // _live_bytes(network))
    return data if count >= len(data) else data.subset([index * len(data) // count for index in range(count)])


def _live_bytes(network: Network) -> int:
    """Most bytes of one picture that are alive at once: int8 activations, and accumulators of four bytes."""
    sizes = {tensor.name: int(np.prod(tensor.shape)) for tensor in network.tensors}
    last = {name: index for index, operator in enumerate(network.operators) for name in operator.inputs}
    alive, most = set(network.inputs), 1
    for index, operator in enumerate(network.operators):
        alive |= set(operator.outputs)
        most = max(most, sum(sizes[name] for name in alive) + 4 * sizes[operator.outputs[0]])
        alive -= {name for name in operator.inputs if last[name] == index}
    return most


def integer_input(pictures: Pictures, network: QuantizedNetwork, size: int) -> Iterator[Int8Array]:
    """The pictures as the integer net gets them: batches int8 [n][h][w][c], n <= size."""
    tensor, pixels = network.tensor(network.inputs[0]), network.pixel_input
    if pictures.is_pixels and pixels is not None:
        channel = np.arange(tensor.shape[2])
        yield from (pixels.table[channel, batch] for batch in pictures.pixels(size))
    else:
        yield from (quantize_values(batch, tensor) for batch in pictures.batches(size))
