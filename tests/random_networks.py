# SPDX-License-Identifier: Apache-2.0
"""Random MobileNetV2-like int8 networks, and one-operator networks for the edges of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from network_builder import NONE, POINTWISE, RELU, RELU6, NetworkBuilder, random_images

from mbv2gen.network import Block, Clamp, Shape, Window
from mbv2gen.quantized_network import QuantizedNetwork

__all__ = ["HEADS", "random_images", "random_network", "random_window", "single_layer_networks"]

HEADS = ("mobilenet", "pooled_conv", "dense", "conv")


def random_network(
    rng: np.random.Generator,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    blocks: int | None = None,
    max_channels: int = 20,
    head: str | None = None,
    classes: int | None = None,
    name: str = "random",
) -> QuantizedNetwork:
    """Stem, ``blocks`` inverted residuals and a head (one of HEADS) on an image of ``size`` = (h, w).

    What is not given is drawn: 5..24 pixels a side, 1 or 3 channels, 1..4 blocks, up to ``max_channels`` channels in
    bottlenecks (expanded up to six times), 2..10 classes.
    """
    b = NetworkBuilder(rng)
    h, w = size or (int(rng.integers(5, 25)), int(rng.integers(5, 25)))
    x = b.input((h, w, channels or int(rng.choice([1, 3]))))
    relu = (RELU6, RELU, NONE)[rng.choice(3, p=[0.65, 0.25, 0.1])]
    x = b.conv(x, "stem", _channels(rng, max_channels), random_window(rng, (h, w), int(rng.integers(1, 3))), relu)
    b.block("stem", "Stem", "conv")
    for i in range(int(rng.integers(1, 5)) if blocks is None else blocks):
        x = _inverted_residual(b, x, f"block{i}", relu, max_channels, expands=i > 0 or bool(rng.integers(2)))
    classes = classes or int(rng.integers(2, 11))
    _head(b, x, head or str(rng.choice(HEADS)), relu, most=max_channels, classes=classes)
    return b.network(name, b.operators[-1].outputs[0], tail=str(rng.choice(["none", "softmax"])))


def random_window(rng: np.random.Generator, plane: tuple[int, int], stride: int, kernel: int = 3) -> Window:
    """A square kernel, padded as torch does, as TFLite's SAME, on each side at random, or (on a large plane) not."""
    kinds = ["torch", "same", "any", "valid"] if min(plane) >= kernel + 2 else ["torch", "same"]
    kind = rng.choice(kinds)
    pads = [kernel // 2] * 4
    if kind == "same":
        totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in plane]
        pads = [totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2]
    elif kind == "any":
        pads = [int(p) for p in rng.integers(0, kernel, 4)]
    elif kind == "valid":
        pads = [0] * 4
    return Window(kernel, kernel, stride, stride, *pads)


def _channels(rng: np.random.Generator, most: int) -> int:
    return int(rng.integers(1, most + 1))


def _inverted_residual(b: NetworkBuilder, x: str, name: str, relu: Clamp, most: int, *, expands: bool) -> str:
    rng, source, roles = b.rng, x, []
    h, w, c = b.tensors[x].shape
    residual = bool(rng.random() < 0.5)
    stride = 1 if residual or min(h, w) < 3 else int(rng.integers(1, 3))
    if expands:
        x = b.conv(x, f"{name}_expand", int(rng.integers(2, 6 * c + 2)), POINTWISE, relu)
        roles.append("expand")
    window = random_window(rng, (h, w), stride, 5 if rng.random() < 0.2 and min(h, w) >= 3 else 3)
    if residual:
        window = Window(window.kernel_h, window.kernel_w, 1, 1, *[window.kernel_h // 2] * 4)
    x = b.depthwise(x, f"{name}_depthwise", window, relu)
    after_project = relu if rng.random() < 0.15 else NONE
    x = b.conv(x, f"{name}_project", c if residual else _channels(rng, most), POINTWISE, after_project)
    roles += ["depthwise", "project"]
    if residual:
        x = b.add(source, x, f"{name}_add", relu if rng.random() < 0.15 else NONE)
        roles.append("residual")
    separable = not expands and not residual and after_project != NONE
    b.block(name, "SeparableConv" if separable else "InvertedResidual", *roles)
    if rng.random() < 0.1:
        low, high = (int(q) for q in np.quantile(b.values[x], [0.1, 0.95]))
        x = b.activation(x, f"{name}_activation", low, min(high + 1, 127))
        b.block(f"{name}_activation", "Layer", "layer")
    return x


def _head(b: NetworkBuilder, x: str, head: str, relu: Clamp, *, most: int, classes: int) -> str:
    if head == "dense":
        x = b.fully_connected(x, "dense", _channels(b.rng, most) + 2, relu)
        b.block("dense", "Layer", "layer")
        x = b.fully_connected(x, "classifier", classes)
        b.block("classifier", "Layer", "layer")
        return x
    x = b.conv(x, "head", int(b.rng.integers(4, 4 * most + 4)), POINTWISE, relu)
    if head == "conv":
        x = b.conv(x, "classifier", classes, POINTWISE)
        b.block("head", "Head", "pointwise", "classifier")
        return x
    x = b.mean(x, "pool")
    if head == "pooled_conv":
        x = b.conv(x, "classifier", classes, POINTWISE)
    else:
        x = b.fully_connected(x, "classifier", classes)
    b.block("head", "Head", "pointwise", "pool", "classifier")
    return x


def single_layer_networks() -> list[QuantizedNetwork]:
    """One-operator networks at the edges; the name of each says which. Always the same ones."""
    layers = {**_conv_layers(), **_requantizing_layers(), **_other_layers()}
    networks = []
    for seed, (name, (shape, zero_point, append)) in enumerate(layers.items()):
        b = NetworkBuilder(np.random.default_rng(seed))
        append(b, b.input(shape, zero_point, scale=0.02))
        for operator in b.operators:
            b.blocks.append(Block(operator.name, "Layer", (("layer", operator.name),)))
        networks.append(b.network(name, b.operators[-1].outputs[0]))
    return networks


Layer = tuple[Shape, int | None, Callable[[NetworkBuilder, str], str]]  # input shape, its zero point, what appends

TORCH = Window(3, 3, 1, 1, 1, 1, 1, 1)
TORCH_S2 = Window(3, 3, 2, 2, 1, 1, 1, 1)
KERAS_S2 = Window(3, 3, 2, 2, 0, 0, 1, 1)


def _conv_layers() -> dict[str, Layer]:
    return {
        "conv_on_one_pixel": ((1, 1, 3), 5, lambda b, x: b.conv(x, "y", 4, TORCH, RELU6)),
        "conv_stride_2_odd": ((7, 9, 3), -1, lambda b, x: b.conv(x, "y", 5, TORCH_S2, RELU6)),
        "conv_stride_2_even": ((8, 6, 3), -1, lambda b, x: b.conv(x, "y", 5, TORCH_S2, RELU)),
        "conv_stride_2_even_keras": ((8, 6, 3), -1, lambda b, x: b.conv(x, "y", 5, KERAS_S2, RELU6)),
        "conv_stride_2_x_1": ((8, 5, 1), 7, lambda b, x: b.conv(x, "y", 3, Window(3, 3, 2, 1, 1, 1, 1, 1))),
        "conv_kernel_3_x_1": ((6, 5, 2), 7, lambda b, x: b.conv(x, "y", 3, Window(3, 1, 1, 1, 2, 0, 0, 0))),
        "conv_pads_left_only": ((5, 6, 2), 127, lambda b, x: b.conv(x, "y", 3, Window(3, 3, 1, 1, 0, 2, 0, 0))),
        "conv_stride_2_pointwise": ((5, 6, 4), 0, lambda b, x: b.conv(x, "y", 3, Window(1, 1, 2, 2))),
        "pointwise_one_channel": ((5, 3, 1), -128, lambda b, x: b.conv(x, "y", 1, POINTWISE, RELU6)),
        "pointwise_odd_channels": ((3, 5, 13), 127, lambda b, x: b.conv(x, "y", 7, POINTWISE)),
        "pointwise_clamp_0_4": ((3, 5, 6), 3, lambda b, x: b.conv(x, "y", 7, POINTWISE, Clamp(0.0, 4.0), scale=0.05)),
        "pointwise_clamp_below": ((3, 5, 6), 3, lambda b, x: b.conv(x, "y", 7, POINTWISE, Clamp(high=1.0), scale=0.05)),
        "depthwise_on_one_pixel": ((1, 1, 5), -128, lambda b, x: b.depthwise(x, "y", TORCH, RELU6)),
        "depthwise_one_channel": ((4, 3, 1), -128, lambda b, x: b.depthwise(x, "y", TORCH, RELU6)),
        "depthwise_stride_2_odd": ((7, 5, 9), -128, lambda b, x: b.depthwise(x, "y", TORCH_S2, RELU6)),
        "depthwise_stride_2_even": ((8, 6, 9), 127, lambda b, x: b.depthwise(x, "y", TORCH_S2, RELU6)),
        "depthwise_stride_2_keras": ((8, 6, 9), 127, lambda b, x: b.depthwise(x, "y", KERAS_S2)),
        "depthwise_5x5": ((6, 7, 4), -20, lambda b, x: b.depthwise(x, "y", Window(5, 5, 1, 1, 2, 2, 2, 2), RELU)),
        "depthwise_row": ((1, 9, 3), 1, lambda b, x: b.depthwise(x, "y", TORCH, RELU6)),
        "depthwise_column": ((9, 1, 3), 1, lambda b, x: b.depthwise(x, "y", TORCH_S2, RELU6)),
        "depthwise_whole_plane": ((4, 3, 6), 1, lambda b, x: b.depthwise(x, "y", Window(4, 3))),
    }  # fmt: skip


def _requantizing_layers() -> dict[str, Layer]:
    """Extreme multipliers, and weights that drive the accumulator as far as it goes."""
    layers: dict[str, Layer] = {}
    for zero_point, sign in ((-128, 1), (-128, -1), (127, 1), (127, -1)):
        layers[f"worst_pointwise_{zero_point}_{sign}"] = (
            (2, 2, 200), zero_point,
            lambda b, x, sign=sign: b.conv(x, "y", 4, POINTWISE, weights=127 * sign, multiplier=2e-5),
        )  # fmt: skip
        layers[f"worst_depthwise_{zero_point}_{sign}"] = (
            (4, 4, 3), zero_point,
            lambda b, x, sign=sign: b.depthwise(x, "y", TORCH, weights=127 * sign, multiplier=4e-4),
        )  # fmt: skip
    for zero_point in (-128, 0, 127):
        layers[f"output_zero_point_{zero_point}"] = (
            (3, 3, 5), 10, lambda b, x, z=zero_point: b.conv(x, "y", 6, POINTWISE, zero_point=z),
        )  # fmt: skip
    multipliers = [1e-12, 2.0**-32, 2.0**-31, 1e-7, 0.5, 1 - 2.0**-24, 1.0, 1.5, 100.0, 2.0**20]
    weights, biases = np.array([1, -1] * 5), np.array([3, -3, 1, 0, 2**29, -(2**29), 7, -7, -1, 1])
    layers["multipliers_pointwise"] = (
        (4, 5, 1), 0,
        lambda b, x: b.conv(
            x, "y", 10, POINTWISE, weights=weights.reshape(10, 1, 1, 1), multiplier=multipliers,
            bias=np.where(np.array(multipliers) < 1, biases, biases % 5), zero_point=3,
        ),
    )  # fmt: skip
    layers["multipliers_depthwise"] = (
        (4, 5, 10), 0,
        lambda b, x: b.depthwise(
            x, "y", TORCH, weights=weights, multiplier=multipliers,
            bias=np.where(np.array(multipliers) < 1, biases, biases % 5),
        ),
    )  # fmt: skip
    layers["biases_at_tiny_multipliers"] = (
        (2, 3, 2), 9,
        lambda b, x: b.conv(x, "y", 4, POINTWISE, multiplier=1e-7, bias=[2**29, -(2**29), 2**29 - 1, 12345]),
    )  # fmt: skip
    return layers


def _other_layers() -> dict[str, Layer]:
    def two_branches(b: NetworkBuilder, x: str, ratio: float, clamp: Clamp, **fixed: float) -> str:
        left = b.conv(x, "left", 3, POINTWISE, scale=0.03, zero_point=127)
        right = b.conv(x, "right", 3, POINTWISE, scale=0.03 * ratio, zero_point=-128)
        return b.add(left, right, "y", clamp, **fixed)

    return {
        "add_equal_scales": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 1.0, NONE)),
        "add_to_itself": ((5, 3, 2), -128, lambda b, x: b.add(x, x, "y")),
        "add_scale_1000": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 1000.0, NONE)),
        "add_scale_0.001_relu6": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 1e-3, RELU6)),
        "add_relu": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 1.7, RELU, zero_point=-128)),
        "add_fine_output": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 0.6, NONE, scale=0.0001)),
        "add_coarse_output": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 0.6, NONE, scale=10.0)),
        "add_clamp_0_4": ((5, 3, 2), 0, lambda b, x: two_branches(b, x, 0.6, Clamp(0.0, 4.0), scale=0.04)),
        "mean_one_pixel": ((1, 1, 7), -128, lambda b, x: b.mean(x, "y")),
        "mean_3x3": ((3, 3, 7), 127, lambda b, x: b.mean(x, "y", scale=0.02, zero_point=127)),
        "mean_odd_plane": ((5, 11, 3), 3, lambda b, x: b.mean(x, "y")),
        "mean_fine_output": ((7, 7, 3), -128, lambda b, x: b.mean(x, "y", scale=0.001, zero_point=-128)),
        "mean_coarse_output": ((12, 12, 3), -128, lambda b, x: b.mean(x, "y", scale=0.5, zero_point=0)),
        "mean_large_plane": ((56, 56, 2), 17, lambda b, x: b.mean(x, "y")),
        "fully_connected": ((1, 1, 21), -128, lambda b, x: b.fully_connected(x, "y", 5)),
        "fully_connected_plane": ((3, 2, 5), 127, lambda b, x: b.fully_connected(x, "y", 6, RELU6)),
        "fully_connected_one_class": ((1, 1, 9), 4, lambda b, x: b.fully_connected(x, "y", 1)),
        "fully_connected_one_input": ((1, 1, 1), 4, lambda b, x: b.fully_connected(x, "y", 4)),
        "fully_connected_then_conv": (
            (2, 2, 3), 4, lambda b, x: b.conv(b.fully_connected(x, "dense", 4), "y", 3, POINTWISE),
        ),
        "activation": ((3, 4, 2), 10, lambda b, x: b.activation(x, "y", 10, 100)),
        "activation_of_nothing": ((3, 4, 2), 10, lambda b, x: b.activation(x, "y", -128, 127)),
        "activation_above": ((3, 4, 2), 10, lambda b, x: b.activation(x, "y", -128, 50)),
    }  # fmt: skip
