# SPDX-License-Identifier: Apache-2.0
"""The files of other tools that a QuantizedNetwork can be written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mbv2gen.quantization import qdq_file, tflite_file
from mbv2gen.quantized_network import QuantizedNetwork


@dataclass(frozen=True)
class Export:
    """``ending`` of the file's name behind the network's; ``emit`` gives its bytes."""

    ending: str
    emit: Callable[[QuantizedNetwork], bytes]


EXPORTS = {
    "tflite": Export(".tflite", tflite_file.emit),
    "qdq": Export("_qdq.onnx", qdq_file.emit),
}
