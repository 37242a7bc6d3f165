# SPDX-License-Identifier: Apache-2.0
"""The files of other tools that a QuantizedNetwork can be written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mbv2gen.quantized_network import QuantizedNetwork


@dataclass(frozen=True)
class Export:
    """``ending`` of the file's name behind the network's; ``emit`` gives its bytes."""

    ending: str
    emit: Callable[[QuantizedNetwork], bytes]


def _tflite(network: QuantizedNetwork) -> bytes:
    from mbv2gen.quantization import tflite_file  # noqa: PLC0415 - slow to load, and seldom wanted

    return tflite_file.emit(network)


def _qdq(network: QuantizedNetwork) -> bytes:
    from mbv2gen.quantization import qdq_file  # noqa: PLC0415 - as above

    return qdq_file.emit(network)


EXPORTS = {"tflite": Export(".tflite", _tflite), "qdq": Export("_qdq.onnx", _qdq)}
