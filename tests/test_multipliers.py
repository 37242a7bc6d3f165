# SPDX-License-Identifier: Apache-2.0
"""Multipliers from 1e-7 to above 1, in every kind of layer: NumPy, TensorFlow Lite Micro and each family's C agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder
from random_networks import TORCH, TORCH_S2, random_images
from small_models import write_network
from tflite_micro_oracle import every_tensor
from toy_network import needs_host_compiler

from mbv2gen import int8_reference
from mbv2gen.hardware.execution import HOST
from mbv2gen.quantization import bounds
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.verification import verify

MULTIPLIERS = np.array([1e-7, 2.8e-7, 1e-5, 3e-4, 2e-3, 0.01, 0.05, 0.3, 1 - 1e-6, 1, 1.5, 2, 6.2, 25, 0.02, 0.1])


def weights(rng: np.random.Generator, k: int) -> np.ndarray:
    """[16][k]: full weights where the multiplier is small; one or two of 1 and -1 where it is large."""
    rows = rng.integers(-127, 128, (len(MULTIPLIERS), k))
    for row, multiplier in zip(rows, MULTIPLIERS, strict=True):
        if multiplier > 0.2:
            row[:] = 0
            row[rng.integers(k)] = rng.choice([-1, 1])
    return rows


def biases(rng: np.random.Generator) -> np.ndarray:
    """Some 100 output steps, but within the bound that kernels can take."""
    return np.clip(rng.uniform(-60, 100, len(MULTIPLIERS)) / MULTIPLIERS, -(2**28), 2**28).astype(int)


def network(seed: int) -> QuantizedNetwork:
    rng = np.random.default_rng(seed)
    c = len(MULTIPLIERS)
    b = NetworkBuilder(rng)

    def parts(k: int, *shape: int) -> dict[str, np.ndarray]:
        rows = weights(rng, k)
        made = rows.T.reshape(shape) if shape == (3, 3, c) else rows.reshape(c, *shape)
        return {"weights": made, "bias": biases(rng), "multiplier": MULTIPLIERS}

    x = b.conv(b.input((8, 8, 3), -128), "stem", c, TORCH_S2, RELU6, zero_point=-128, **parts(27, 3, 3, 3))
    b.block("stem", "Stem", "conv")
    x = b.conv(x, "expand", c, POINTWISE, RELU6, zero_point=-128, **parts(c, 1, 1, c))
    x = b.depthwise(x, "depthwise", TORCH, RELU6, zero_point=-128, **parts(9, 3, 3, c))
    x = b.conv(x, "project", c, POINTWISE, NONE, zero_point=4, **parts(c, 1, 1, c))
    b.block("block", "InvertedResidual", "expand", "depthwise", "project")
    x = b.mean(x, "mean")
    b.fully_connected(x, "dense", c, **parts(c, c))
    b.block("head", "Head", "pool", "classifier")
    return b.network("net", "dense")


@pytest.mark.parametrize("seed", [0, 1])
def test_numpy_and_the_tflite_agree_in_every_tensor(seed: int) -> None:
    net = network(seed)
    bounds.check(net)
    x = random_images(np.random.default_rng(seed), net.shape("input"), 5)
    ours = int8_reference.run(net, x)
    for name, theirs in every_tensor(net, x).items():
        np.testing.assert_array_equal(ours[name], theirs, err_msg=name)
    assert all(len(np.unique(ours[name])) > 20 for name in ("stem", "expand", "depthwise", "project"))


@needs_host_compiler
@pytest.mark.parametrize("target", ["cortex-m7", "cortex-m0"])
def test_the_c_of_each_family_agrees_in_every_row_of_every_layer(target: str, tmp_path: Path) -> None:
    net = network(0)
    folder = write_network(net, tmp_path / "out", target)
    x = random_images(np.random.default_rng(7), net.shape("input"), 5)
    result = verify(folder, HOST, iter([x]), len(x), lambda done, total: None)
    assert result.difference is None
    assert result.layers == len(net.operators)
