# SPDX-License-Identifier: Apache-2.0
"""Float models quantized by onnxruntime's own quantizer, in every manner it has that mbv2gen takes or must refuse."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from onnx_models import random_input, saved

PICTURES = 8  # that onnxruntime calibrates on


@dataclass(frozen=True)
class Manner:
    """How onnxruntime quantizes: QDQ or QOperator, types of activations and weights, per channel or per tensor.

    ``reduce_range`` is weights of seven bits, without which onnxruntime's kernels for uint8 activations and int8
    weights saturate sums of two products at 16 bits on x86 processors of before VNNI.
    """

    format: str = "QDQ"
    activations: str = "QInt8"
    weights: str = "QInt8"
    per_channel: bool = True
    reduce_range: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.format, self.activations, self.weights, "per channel" if self.per_channel else "per tensor"]
        return ", ".join((*words, *self.extra))


SYMMETRIC = {"ActivationSymmetric": True}
MANNERS = (
    Manner(),
    Manner(per_channel=False),
    Manner(activations="QUInt8"),
    Manner(activations="QUInt8", per_channel=False),
    Manner(extra=SYMMETRIC),
    Manner(activations="QUInt8", extra=SYMMETRIC),
    Manner(extra={"DedicatedQDQPair": True}),
    Manner(extra={"AddQDQPairToWeight": True}),
    Manner(extra={"QDQKeepRemovableActivations": True}),
    Manner(extra={"QuantizeBias": False}),
    Manner(format="QOperator"),
    Manner(format="QOperator", per_channel=False),
    Manner(format="QOperator", activations="QUInt8", reduce_range=True),
    Manner(format="QOperator", extra=SYMMETRIC),
)


class _Reader:
    """onnxruntime's CalibrationDataReader over arrays."""

    def __init__(self, name: str, arrays: list[NDArray[np.generic]]) -> None:
        self.feeds: Iterator[dict[str, NDArray[np.generic]]] = iter([{name: array} for array in arrays])

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self.feeds, None)


def quantized(model: ModelProto, folder: Path, manner: Manner, arrays: list[NDArray[np.generic]] | None = None) -> Path:
    """The file of ``model`` as onnxruntime quantizes it on ``arrays`` (random ones where there are none)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime import quantization  # noqa: PLC0415 - it warns when it is imported

        source, target = saved(model, folder, "float.onnx"), folder / "quantized.onnx"
        data = arrays or [random_input(model, seed) for seed in range(PICTURES)]
        logging.disable(logging.WARNING)
        try:
            quantization.quantize_static(
                source,
                target,
                _Reader(model.graph.input[0].name, data),  # type: ignore[arg-type]  # onnxruntime's reader has no types
                quant_format=quantization.QuantFormat[manner.format],
                activation_type=quantization.QuantType[manner.activations],
                weight_type=quantization.QuantType[manner.weights],
                per_channel=manner.per_channel,
                reduce_range=manner.reduce_range,
                extra_options=dict(manner.extra),
            )
        finally:
            logging.disable(logging.NOTSET)
    return target
