# SPDX-License-Identifier: Apache-2.0
"""The int8 reference against TensorFlow Lite Micro, tensor by tensor, and against a loop over every tap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_builder import NetworkBuilder
from random_networks import HEADS, random_images, random_network, single_layer_networks
from tflite_micro_oracle import every_tensor

from mbv2gen import int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Window
from mbv2gen.quantized_network import QConv2D, QuantizedNetwork


def corner_images(network: QuantizedNetwork, n: int) -> np.ndarray:
    """All -128, all 127, noise of full range, then ``n`` structured images."""
    rng = np.random.default_rng(7)
    shape = network.shape(network.inputs[0])
    noise = rng.integers(-128, 128, (1, *shape), dtype=np.int8)
    corners = [np.full((1, *shape), value, np.int8) for value in (-128, 127)]
    return np.concatenate([*corners, noise, random_images(rng, shape, n)])


def assert_equals_micro(network: QuantizedNetwork, x: np.ndarray) -> None:
    ours = int8_reference.run(network, x)
    for name, theirs in every_tensor(network, x).items():
        np.testing.assert_array_equal(ours[name], theirs, err_msg=f"{network.name}: tensor {name}")


@pytest.mark.parametrize("network", single_layer_networks(), ids=lambda network: network.name)
def test_single_layer_equals_tflite_micro(network: QuantizedNetwork) -> None:
    assert_equals_micro(network, corner_images(network, 2))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(3, 24), st.integers(3, 24)),
    channels=st.sampled_from([1, 2, 3]),
    blocks=st.integers(0, 4),
    head=st.sampled_from(HEADS),
)
def test_every_tensor_of_a_random_network_equals_tflite_micro(
    seed: int, size: tuple[int, int], channels: int, blocks: int, head: str
) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, size=size, channels=channels, blocks=blocks, head=head)
    assert_equals_micro(network, corner_images(network, 1))


@pytest.mark.parametrize("head", HEADS)
def test_random_networks_are_alive(head: str) -> None:
    """Otherwise the comparisons above would prove little: outputs differ between images and are seldom at a bound."""
    spreads, saturated = [], []
    for seed in range(12):
        network = random_network(np.random.default_rng(seed), head=head)
        x = random_images(np.random.default_rng(seed), network.shape("input"), 8)
        y = int8_reference.run_outputs(network, x)
        spreads.append(len(np.unique(y)))
        saturated.append(np.isin(y, (-128, 127)).mean())
    assert np.median(spreads) > 15
    assert np.mean(saturated) < 0.5


@pytest.mark.parametrize("chunk_elements", [1, 3000])
def test_outputs_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch, chunk_elements: int) -> None:
    network = random_network(np.random.default_rng(3), size=(12, 10), blocks=3)
    x = random_images(np.random.default_rng(4), network.shape("input"), 7)
    whole = int8_reference.run(network, x)[network.outputs[0]]
    monkeypatch.setattr(int8_reference, "CHUNK_ELEMENTS", chunk_elements)
    np.testing.assert_array_equal(int8_reference.run_outputs(network, x), whole)


def test_an_output_may_have_readers() -> None:
    network = random_network(np.random.default_rng(3), size=(8, 8), blocks=1)
    x = random_images(np.random.default_rng(4), network.shape("input"), 2)
    inner = int8_reference.run_outputs(replace(network, outputs=("stem",)), x)
    np.testing.assert_array_equal(inner, int8_reference.run(network, x)["stem"])


def test_no_images_give_no_outputs() -> None:
    network = random_network(np.random.default_rng(3), size=(8, 8))
    x = np.empty((0, *network.shape("input")), np.int8)
    assert int8_reference.run_outputs(network, x).shape == (0, *network.shape(network.outputs[0]))


def test_accumulators_equal_a_loop_over_every_tap() -> None:
    window = Window(3, 2, 2, 1, 1, 0, 0, 2)
    b = NetworkBuilder(np.random.default_rng(1))
    b.conv(b.input((5, 4, 2), zero_point=-9), "y", 3, window)
    operator = b.operators[0]
    assert isinstance(operator, QConv2D)
    x = random_images(np.random.default_rng(2), (5, 4, 2), 2)
    got = int8_reference.accumulators(operator, x, -9)
    assert got.shape == (2, 2, 5, 3)
    for n, y, z, o in np.ndindex(got.shape):
        total = int(operator.bias[o])
        for kh, kw, i in np.ndindex(3, 2, 2):
            row, column = y * 2 + kh - 1, z + kw
            if 0 <= row < 5 and 0 <= column < 4:
                total += int(operator.weights[o, kh, kw, i]) * (int(x[n, row, column, i]) + 9)
        assert got[n, y, z, o] == total


def test_sums_beyond_float32_are_exact() -> None:
    """6000 products of 127 and 255, one less by 1: an odd sum beyond 2**24, which float32 cannot hold."""
    b = NetworkBuilder(np.random.default_rng(1))
    weights = np.full((1, 6000), 127)
    weights[0, 0] = 126
    b.fully_connected(b.input((1, 1, 6000), zero_point=-128), "y", 1, weights=weights, bias=0, multiplier=1e-7)
    x = np.full((1, 1, 1, 6000), 127, np.int8)
    (operator,) = b.operators
    assert int8_reference.accumulators(operator, x, -128).item() == 6000 * 127 * 255 - 255  # type: ignore[arg-type]  # the only operator is weighted


@pytest.mark.parametrize("x", [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), np.int8), np.zeros((1, 8, 9, 3), np.int8)])
def test_an_input_of_wrong_type_or_shape_is_refused_in_one_line(x: np.ndarray) -> None:
    network = random_network(np.random.default_rng(3), size=(8, 8), channels=3)
    with pytest.raises(Mbv2genError, match=r"^random\.onnx: input 'input' must be int8 of shape \(n, 8, 8, 3\)"):
        int8_reference.run_outputs(network, x)
