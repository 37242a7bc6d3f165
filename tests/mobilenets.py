# SPDX-License-Identifier: Apache-2.0
"""Networks of inverted residuals with random weights, small ones beside MobileNetV2 itself."""

from __future__ import annotations

import numpy as np

from mbv2gen.network import Window
from mbv2gen.quantized_network import QTensor, QuantizedNetwork
from mbv2gen.seeded_mobilenet import (
    BOTTLENECKS,
    LINEAR,
    RELU6,
    Builder,
    divisible,
    inverted_residual,
    mobilenet_v2,
)

__all__ = ["BOTTLENECKS", "divisible", "mobilenet_v1", "mobilenet_v2", "one_block", "random_blocks"]


def mobilenet_v1(resolution: int, *, kernel: int = 3, seed: int = 0) -> QuantizedNetwork:
    """A small MobileNetV1: depthwise convolutions of ``kernel``, pointwise ones, ReLU6 behind each."""
    b = Builder(np.random.default_rng(seed), "torch")
    b.tensors["input"] = QTensor("input", (resolution, resolution, 3), float(np.float32(1 / 64)), 0)
    x = b.conv("input", "stem", 8, b.window((resolution, resolution), 2), RELU6)
    b.block("stem", "Stem", "conv")
    for index, (channels, stride) in enumerate(((16, 1), (24, 2), (24, 1), (40, 2))):
        pad = kernel // 2
        x = b.depthwise(x, f"depthwise{index}", Window(kernel, kernel, stride, stride, pad, pad, pad, pad))
        x = b.conv(x, f"pointwise{index}", channels, Window(), RELU6)
        b.block(f"separable{index}", "Layer", "depthwise", "pointwise")
    x = b.fully_connected(b.mean(x, "pool"), "classifier", 5)
    b.block("head", "Head", "pool", "classifier")
    return b.network("mobilenet_v1")


def one_block(size: tuple[int, int], stride: int, padding: str, *, residual: bool = False) -> QuantizedNetwork:
    """A pointwise convolution to 4 channels and an inverted residual of 16, for pictures of ``size`` = (h, w)."""
    b = Builder(np.random.default_rng(0), padding)
    b.tensors["input"] = QTensor("input", (*size, 4), float(np.float32(1 / 64)), 0)
    x = b.conv("input", "first", 4, Window(), LINEAR)
    b.block("first", "Layer", "layer")
    inverted_residual(b, x, "block", expansion=4, channels=4 if residual else 6, stride=stride)
    return b.network("one_block")


def random_blocks(rng: np.random.Generator, size: tuple[int, int], name: str = "random") -> QuantizedNetwork:
    """A stem, one to three inverted residuals and a head, for pictures of ``size`` = (h, w): any numbers of channels,
    padding as in torch or TensorFlow, layers as the dsp kernels take them."""
    b = Builder(rng, str(rng.choice(["torch", "same"])))
    x = "input"
    b.tensors[x] = QTensor(x, (*size, int(rng.choice([1, 3]))), float(np.float32(1 / 64)), 0)
    x = b.conv(x, "stem", int(rng.integers(2, 13)), b.window(size, 2), RELU6)
    b.block("stem", "Stem", "conv")
    for i in range(int(rng.integers(1, 4))):
        expansion = int(rng.integers(0 if i == 0 else 1, 5)) + 1
        c = b.tensors[x].shape[2]
        stride, channels = (1, c) if rng.random() < 0.4 else (int(rng.integers(1, 3)), int(rng.integers(2, 13)))
        x = inverted_residual(b, x, f"block{i}", expansion=expansion, channels=channels, stride=stride)
    x = b.conv(x, "head", 20, Window(), RELU6)
    x = b.fully_connected(b.mean(x, "pool"), "classifier", 10)
    b.block("head", "Head", "pointwise", "pool", "classifier")
    return b.network(name)
