# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite Micro, the oracle: what it computes from a .tflite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime

from mbv2gen.quantization import tflite_file
from mbv2gen.quantized_network import QuantizedNetwork


def every_tensor(network: QuantizedNetwork, x: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """int8 [n][h][w][c] of every operator's output, by name: a .tflite in which all of them are outputs is run."""
    names = [operator.outputs[0] for operator in network.operators]
    data = tflite_file.emit(replace(network, outputs=tuple(names)))
    arena_bytes = len(data) + 4 * sum(int(np.prod(tensor.shape)) + 1024 for tensor in network.tensors) + (1 << 18)
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
    values = {name: np.empty((len(x), *network.shape(name)), np.int8) for name in names}
    for i in range(len(x)):
        interpreter.set_input(x[i : i + 1], 0)
        interpreter.invoke()
        for k, name in enumerate(names):
            values[name][i] = interpreter.get_output(k).reshape(network.shape(name))
    return values
