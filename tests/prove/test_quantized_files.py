# SPDX-License-Identifier: Apache-2.0
"""The long proof on quantized files: every layer within one step of onnxruntime, and what that comes to at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime_steps import imported, steps_apart

from mbv2gen import int8_reference
from mbv2gen.float_reference import to_nhwc
from mbv2gen.quantization.tensor_scales import dequantize, quantize_input
from mbv2gen.quantized_network import Int8Array, QActivation, QAdd, QMean, QOperator, QuantizedNetwork

DATA = Path(__file__).parents[3] / "shared" / "data"
LAYERS = 24  # pictures whose every layer is compared; of all the logits are

pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared test data (../shared/data), absent here"),
]


def snr_db(wanted: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    """Signal-to-noise of logits [n][classes], each row less its mean."""
    signal, noise = (rows - rows.mean(axis=1, keepdims=True) for rows in (wanted, made - wanted))
    return float(10 * np.log10((signal**2).sum() / (noise**2).sum()))


def rounded_once(network: QuantizedNetwork, operator: QOperator, inputs: list[Int8Array]) -> Int8Array:
    """The operator with its sum rescaled in float64 and rounded once, halves to even, where TFLite rounds twice."""
    sources, target = [network.tensor(name) for name in operator.inputs], network.tensor(operator.outputs[0])
    if isinstance(operator, QActivation):
        return int8_reference.evaluate_operator(network, operator, inputs)
    if isinstance(operator, QAdd | QMean):
        reals = sum(dequantize(x, source) for x, source in zip(inputs, sources, strict=True))
        real = np.asarray(reals if isinstance(operator, QAdd) else reals.mean(axis=(1, 2), keepdims=True))
    else:
        unit = sources[0].scale * operator.weight_scale.astype(np.float64)
        real = int8_reference.accumulators(operator, inputs[0], sources[0].zero_point) * unit
    low, high = (-128, 127) if isinstance(operator, QMean) else (operator.act_min, operator.act_max)
    return (np.rint(real / target.scale) + target.zero_point).clip(low, high).astype(np.int8)


def logits_rounded_once(network: QuantizedNetwork, x: Int8Array) -> Int8Array:
    outputs = []
    for start in range(0, len(x), 8):
        values = {network.inputs[0]: x[start : start + 8]}
        for operator in network.operators:
            values[operator.outputs[0]] = rounded_once(network, operator, [values[name] for name in operator.inputs])
        outputs.append(values[network.outputs[0]])
    return np.concatenate(outputs)


@pytest.mark.parametrize("name", ["flowers_w035_r96", "flowers_w010_r96"])
def test_a_quantized_file_is_as_accurate_here_as_in_onnxruntime(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    path = DATA / "models" / f"{name}_ortqdq.onnx"
    pictures = np.load(DATA / "images" / "flowers96_test_calib.npz")
    pixels = (pictures["x_test"].astype(np.float32) - 127.5) / 127.5
    x = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    worst, _ = steps_apart(path, x[:: len(x) // LAYERS])
    assert max(worst.values()) <= 1

    network, made = imported(path)
    entered = quantize_input(made, to_nhwc(network, x))
    logits, once = (
        dequantize(integers, made.tensors[-1]).reshape(len(x), -1)
        for integers in (int8_reference.run_outputs(made, entered), logits_rounded_once(made, entered))
    )
    recorded = np.load(DATA / "models" / f"{name}_test_logits.npz")
    theirs, real = (recorded[key].astype(np.float64) for key in ("logits_ortqdq", "logits_float"))
    right = [float((values.argmax(axis=1) == pictures["y_test"]).mean()) for values in (logits, theirs)]
    within, within_once = (
        float((np.rint(np.abs(values - theirs) / made.tensors[-1].scale) <= 1).mean()) for values in (logits, once)
    )
    assert right[0] >= right[1] - 0.007
    assert snr_db(real, logits) >= snr_db(real, theirs) - 0.3
    record_property(
        "proof",
        f"{path.name}: each layer within 1 step of onnxruntime; top-1 {right[0]:.2%}, onnxruntime {right[1]:.2%}; "
        f"against float {snr_db(real, logits):.1f} dB, onnxruntime {snr_db(real, theirs):.1f} dB; "
        f"logits within 1 step, end to end: {within:.1%}; if every layer rounded exactly, and once: {within_once:.1%}",
    )
