# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from float_networks import RELU6, network, small_mobilenet
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen import float_reference, int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Activation, Add, Clamp, Conv2D, DepthwiseConv2D, FullyConnected, Network, Window
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph
from mbv2gen.pixels.pictures import Pictures, open_pictures
from mbv2gen.pixels.preprocessing import Preprocessing, from_options
from mbv2gen.quantization import bounds, effort, integer_prefix, quantized_network_file
from mbv2gen.quantization.tensor_scales import dequantize, pixel_input, quantize_values, quantized_tensor
from mbv2gen.quantized_network import QActivation, QConv2D, QDepthwiseConv2D, QFullyConnected, QuantizedNetwork


def quantize(
    net: Network, pictures: Pictures | None, preprocessing: Preprocessing, level: int = effort.DEFAULT
) -> QuantizedNetwork:
    return effort.quantize(net, pictures, preprocessing, level).integer


TF = Preprocessing((127.5,) * 3, (127.5,) * 3)
TORCHVISION = from_options(3, small_mobilenet(np.random.default_rng(0)).model_input, preprocess="torchvision")


def from_array(data: np.ndarray, preprocessing: Preprocessing = TF) -> Pictures:
    """Pictures (uint8) or float inputs that lie in memory, [n][h][w][c]."""

    def read(array: np.ndarray, indices: list[int]) -> list[np.ndarray]:
        return [array[index] for index in indices]

    names = tuple(str(index) for index in range(len(data)))
    is_pixels = data.dtype == np.uint8
    reader = partial(read, data)
    return Pictures("array", data.shape[1:], preprocessing, names, None, None, is_pixels, reader, range(len(data)))


def random_pictures(rng: np.random.Generator, n: int, size: int = 12) -> np.ndarray:
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


def integer_output(net: QuantizedNetwork, pixels: np.ndarray) -> np.ndarray:
    assert net.pixel_input is not None
    q = net.pixel_input.table[np.arange(pixels.shape[3]), pixels]
    return dequantize(int8_reference.run_outputs(net, q), net.tensor(net.outputs[0])).reshape(len(pixels), -1)


def signal_to_noise(wanted: np.ndarray, found: np.ndarray) -> float:
    """dB, of rows without their means."""
    a, b = (y - y.mean(axis=1, keepdims=True) for y in (wanted, found))
    return float(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))


def one_layer(weights: np.ndarray, bias: np.ndarray, clamp: Clamp = RELU6) -> Network:
    """A pointwise convolution on (12, 12, 3)."""
    conv = Conv2D("c", ("x",), ("y",), weights[:, None, None, :].astype(np.float32), bias.astype(np.float32), Window())
    return network((12, 12, 3), replace(conv, clamp=clamp))


@pytest.mark.parametrize(
    ("mean", "std", "zero_point"),
    [
        (127.5, 127.5, -1),
        (0.0, 255.0, -128),
        (0.0, 1.0, -128),
        (128.0, 128.0, 0),
        (127.5, 255.0, -1),
        (255.0, 1.0, 127),
    ],
)
def test_one_mean_and_std_make_the_input_an_exact_xor(mean: float, std: float, zero_point: int) -> None:
    preprocessing = Preprocessing((mean,) * 3, (std,) * 3)
    net = small_mobilenet(np.random.default_rng(0))
    tensor = quantized_tensor(net, net.tensor("x"), *preprocessing.interval)
    table = pixel_input(preprocessing, tensor)
    assert table.xor
    assert table.table[0].tolist() == [(pixel ^ 0x80) - 256 * (pixel < 128) for pixel in range(256)]
    assert tensor.zero_point == zero_point


def test_pixels_around_their_middle_are_an_exact_xor_whatever_the_std() -> None:
    net = small_mobilenet(np.random.default_rng(0))
    for std in np.linspace(0.1, 300, 997):
        preprocessing = Preprocessing((127.5,) * 3, (float(std),) * 3)
        tensor = quantized_tensor(net, net.tensor("x"), *preprocessing.interval)
        assert (pixel_input(preprocessing, tensor).xor, tensor.zero_point) == (True, -1), std


@given(
    mean=st.tuples(*[st.floats(0, 255)] * 3),
    std=st.tuples(*[st.floats(1, 300)] * 3),
)
def test_every_pixel_of_every_channel_is_within_half_a_step_and_zero_is_exact(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    preprocessing = Preprocessing(mean, std)
    net = small_mobilenet(np.random.default_rng(0))
    tensor = quantized_tensor(net, net.tensor("x"), *preprocessing.interval)
    table = pixel_input(preprocessing, tensor).table
    reals = (np.arange(256) - np.array(mean)[:, None]) / np.array(std)[:, None]
    found = tensor.scale * (table.astype(int) - tensor.zero_point)
    clipped = (table == -128) | (table == 127)  # the zero point is rounded: one end may be half a step short
    assert np.abs(found - reals).max() <= 1.01 * tensor.scale
    assert np.abs(found - reals)[~clipped].max(initial=0) <= 0.502 * tensor.scale
    assert (np.diff(table.astype(int), axis=1) >= 0).all()
    assert quantize_values(np.zeros(1), tensor)[0] == tensor.zero_point


def test_preprocessed_floats_and_pixels_become_the_same_int8() -> None:
    net = small_mobilenet(np.random.default_rng(0))
    pixels = np.arange(256).repeat(3).reshape(1, 16, 16, 3).astype(np.uint8)
    for preprocessing in (TF, TORCHVISION):
        tensor = quantized_tensor(net, net.tensor("x"), *preprocessing.interval)
        floats = next(from_array(pixels, preprocessing).batches(1))
        assert np.array_equal(
            quantize_values(floats, tensor), pixel_input(preprocessing, tensor).table[np.arange(3), pixels]
        )


@pytest.mark.parametrize("preprocessing", [TF, TORCHVISION])
def test_int8_follows_float_on_pictures_it_has_not_seen(preprocessing: Preprocessing) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net = small_mobilenet(rng)
        calibration, test = random_pictures(rng, 40), random_pictures(rng, 60)
        quantized = quantize(net, from_array(calibration, preprocessing), preprocessing)
        wanted = float_reference.run_outputs(net, next(from_array(test, preprocessing).batches(60)))
        assert signal_to_noise(wanted.reshape(60, -1), integer_output(quantized, test)) > 22


def float_and_int(net: Network, quantized: QuantizedNetwork, pixels: np.ndarray) -> tuple[dict, dict]:
    """Every tensor of both networks, whole."""
    assert quantized.pixel_input is not None
    real = float_reference.run(net, next(from_array(pixels).batches(len(pixels))))
    return real, int8_reference.run(quantized, quantized.pixel_input.table[np.arange(3), pixels])


@pytest.mark.parametrize("sampled", [1, 2])
def test_mean_outputs_of_every_layer_equal_the_float_networks(sampled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the activation, over all pictures, or every second where memory holds no more.

    The oracle runs both networks whole. Without correction the same means are several times further off.
    """
    rng = np.random.default_rng(1)
    net, pixels = small_mobilenet(rng), random_pictures(rng, 64)
    pixels[1::2] //= 3
    if sampled == 2:
        monkeypatch.setattr(integer_prefix, "PREFIX_BYTES", 1)
    worst = {}
    for level in (0, 2):
        quantized = quantize(net, from_array(pixels), TF, level)
        real, ints = float_and_int(net, quantized, pixels[::sampled])
        for q in quantized.operators:
            if isinstance(q, QConv2D | QDepthwiseConv2D | QFullyConnected):
                tensor = quantized.tensor(q.outputs[0])
                off = (dequantize(ints[tensor.name], tensor) - real[tensor.name]).mean(axis=(0, 1, 2))
                worst[level, q.name] = np.abs(off).max() / tensor.scale
    for (level, name), steps in worst.items():
        assert level == 0 or steps < 0.35, name
    assert max(worst[0, name] for _, name in worst) > 1


def test_analytic_correction_makes_the_mean_accumulators_equal_on_float_inputs() -> None:
    rng = np.random.default_rng(1)
    net, pixels = small_mobilenet(rng), random_pictures(rng, 32)
    quantized = quantize(net, from_array(pixels), TF, 1)
    real, _ = float_and_int(net, quantized, pixels)
    for operator, q in zip(net.operators, quantized.operators, strict=True):
        if isinstance(q, QConv2D | QDepthwiseConv2D | QFullyConnected):
            assert isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected)
            scale = q.weight_scale.astype(np.float64)
            by_channel = scale if isinstance(q, QDepthwiseConv2D) else scale.reshape(-1, *[1] * (q.weights.ndim - 1))
            unit = scale * quantized.tensor(q.inputs[0]).scale
            parts = operator.weights, operator.bias, q.weights * by_channel, q.bias * unit
            wanted, made = (
                float_reference.apply(
                    replace(operator, weights=w.astype(np.float32), bias=b.astype(np.float32), clamp=Clamp()),
                    (real[q.inputs[0]],),
                ).mean(axis=(0, 1, 2))
                for w, b in (parts[:2], parts[2:])
            )
            assert np.abs(made - wanted).max() < 1e-5 + unit.max(), q.name


@pytest.mark.parametrize("level", [0, 1])
def test_weights_are_symmetric_and_within_half_a_step(level: int) -> None:
    rng = np.random.default_rng(2)
    net = small_mobilenet(rng)
    quantized = quantize(net, from_array(random_pictures(rng, 4)), TF, level)
    for operator, q in zip(net.operators, quantized.operators, strict=True):
        if isinstance(q, QConv2D | QFullyConnected):
            assert isinstance(operator, Conv2D | FullyConnected)
            scale = q.weight_scale.reshape(-1, *[1] * (q.weights.ndim - 1))
            assert np.abs(q.weights.astype(int)).reshape(len(q.bias), -1).max(axis=1).tolist() == [127] * len(q.bias)
            assert (np.abs(q.weights * scale - operator.weights) <= 0.501 * scale).all()


def test_each_effort_is_nearer_to_the_float_network_and_the_highest_never_further_than_the_default() -> None:
    """Over several networks, in decibels of the centred output; each of the highest by itself."""
    figures: dict[int, list[float]] = {level: [] for level in range(4)}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net, pixels = small_mobilenet(rng), random_pictures(rng, 40)
        wanted = float_reference.run_outputs(net, next(from_array(pixels).batches(40))).reshape(40, -1)
        for level, found in figures.items():
            quantized = quantize(net, from_array(pixels), TF, level)
            found.append(signal_to_noise(wanted, integer_output(quantized, pixels)))
    assert all(best >= default for default, best in zip(figures[2], figures[3], strict=True))
    means = [np.mean(found) for found in figures.values()]
    assert means == sorted(means)


@pytest.mark.parametrize("level", [2, 3])
def test_the_same_pictures_give_the_same_bytes(level: int) -> None:
    net, pixels = small_mobilenet(np.random.default_rng(0)), random_pictures(np.random.default_rng(0), 8)
    one, two = (quantized_network_file.dump(quantize(net, from_array(pixels), TF, level)) for _ in range(2))
    assert one == two


@given(
    exponents=st.lists(st.floats(-38, 1), min_size=1, max_size=5),
    biases=st.lists(st.floats(-9, 9), min_size=5, max_size=5),
    seed=st.integers(0, 99),
)
def test_channels_of_any_magnitude_keep_their_output(exponents: list[float], biases: list[float], seed: int) -> None:
    """Weights from 1e-38 to 10 in one layer, a constant one among them: every output within two steps of float."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(exponents), 3)) * 10.0 ** np.array(exponents)[:, None]
    rows[0] = 0
    net = one_layer(rows, np.array(biases[: len(rows)]), Clamp())
    pixels = random_pictures(rng, 4)
    quantized = quantize(net, from_array(pixels), TF)
    wanted = float_reference.run_outputs(net, next(from_array(pixels).batches(4)))
    step, steps = quantized.tensor("y").scale, 2 + np.abs(rows).sum(axis=1).max() / 127 / quantized.tensor("y").scale
    assert np.abs(integer_output(quantized, pixels) - wanted.reshape(4, -1)).max() <= steps * step
    assert (bounds.check(quantized).magnitude("c") < 1 << 30).all()


def test_a_channel_of_vanishing_weights_leaves_room_for_paired_accumulators() -> None:
    net = one_layer(np.array([[1e-14, -1e-14, 1e-15], [1.0, 1.0, 1.0]]), np.array([5.5, 0.0]))
    pixels = random_pictures(np.random.default_rng(0), 4)
    quantized = quantize(net, from_array(pixels), TF)
    assert (bounds.check(quantized).magnitude("c") < 1 << 23).all()
    assert integer_output(quantized, pixels).reshape(4, 12, 12, 2)[..., 0] == pytest.approx(5.5, abs=0.013)


def test_a_bias_beyond_int32_is_made_to_fit() -> None:
    net = one_layer(np.array([[1e-3, 0, 0], [1.0, 0, 0]]), np.array([1e6, 0.0]), Clamp())
    quantized = quantize(net, from_array(random_pictures(np.random.default_rng(0), 4)), TF)
    found = integer_output(quantized, np.zeros((1, 12, 12, 3), np.uint8)).reshape(-1, 2)[:, 0]
    assert found == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_bias_far_beyond_the_clamp_saturates_the_channel(weight: float) -> None:
    net = one_layer(np.array([[weight, 0, 0], [1.0, 0, 0]]), np.array([1e5, 0.0]))
    quantized = quantize(net, from_array(random_pictures(np.random.default_rng(0), 4)), TF)
    assert (bounds.check(quantized).magnitude("c") < 1 << 30).all()
    found = integer_output(quantized, random_pictures(np.random.default_rng(1), 1)).reshape(-1, 2)[:, 0]
    assert found == pytest.approx(6.0)


def test_a_tensor_that_is_always_zero_gets_the_scale_of_what_it_could_hold() -> None:
    for weights, bias, most in ((np.zeros((2, 3)), np.zeros(2), 1.0), (np.ones((2, 3)), np.full(2, -100.0), 6.0)):
        quantized = quantize(one_layer(weights, bias), from_array(random_pictures(np.random.default_rng(0), 4)), TF)
        assert quantized.tensor("y").scale == pytest.approx(most / 255)
        assert not integer_output(quantized, random_pictures(np.random.default_rng(1), 4)).any()


def test_a_sum_that_cancels_is_still_quantized() -> None:
    eye = np.eye(3, dtype=np.float32)[:, None, None, :]
    zero = np.zeros(3, np.float32)
    net = network(
        (12, 12, 3),
        Conv2D("a", ("x",), ("p",), eye, zero, Window()),
        Conv2D("b", ("x",), ("n",), -eye, zero, Window()),
        Add("sum", ("p", "n"), ("y",)),
    )
    pixels = random_pictures(np.random.default_rng(0), 4)
    quantized = quantize(net, from_array(pixels), TF)
    assert np.abs(integer_output(quantized, pixels)).max() <= 3 * 2 / 255


def test_an_activation_of_its_own_keeps_its_inputs_scale() -> None:
    eye = np.eye(3, dtype=np.float32)[:, None, None, :]
    linear = Conv2D("a", ("x",), ("p",), eye, np.zeros(3, np.float32), Window())
    net = network((12, 12, 3), linear, Activation("relu", ("p",), ("y",), Clamp(0.0)))
    quantized = quantize(net, from_array(random_pictures(np.random.default_rng(0), 4)), TF)
    assert replace(quantized.tensor("y"), name="p") == quantized.tensor("p")
    relu = quantized.operators[1]
    assert isinstance(relu, QActivation)
    assert (relu.act_min, relu.act_max) == (quantized.tensor("p").zero_point, 127)


def test_float_inputs_without_a_stated_preprocessing_give_the_input_scale() -> None:
    net = small_mobilenet(np.random.default_rng(0))
    unstated = from_options(3, net.model_input)
    data = np.random.default_rng(1).uniform(-2, 3.1, (8, 12, 12, 3)).astype(np.float32)
    quantized = quantize(net, from_array(data, unstated), unstated)
    assert quantized.pixel_input is None
    assert quantized.tensor("x").scale == pytest.approx(5.1 / 255, rel=0.01)
    assert quantize(net, from_array(data, TF), TF).tensor("x").scale == pytest.approx(2 / 255)


def test_without_pictures_relu6_gives_the_range_and_the_output_still_follows() -> None:
    rng = np.random.default_rng(3)
    net, test = small_mobilenet(rng), random_pictures(rng, 60)
    quantized = quantize(net, None, TF)
    assert [quantized.tensor(name).scale for name in "sed"] == pytest.approx([6 / 255] * 3)
    wanted = float_reference.run_outputs(net, next(from_array(test).batches(60)))
    assert signal_to_noise(wanted.reshape(60, -1), integer_output(quantized, test)) > 14


@pytest.mark.parametrize("level", range(4))
def test_progress_rises_to_the_total(level: int) -> None:
    told: list[tuple[int, int]] = []
    net = small_mobilenet(np.random.default_rng(0))
    pictures = from_array(random_pictures(np.random.default_rng(0), 9))
    effort.quantize(net, pictures, TF, level, lambda *step: told.append(step))
    done = [step[0] for step in told]
    assert done == sorted(done)
    total = 9 + 7 if level < 3 else 2 * (9 + 2 * (7 + 9))
    assert told[-1] == (total, total)


def test_a_range_beyond_float32_arithmetic_is_refused_by_name() -> None:
    net = one_layer(np.full((1, 3), 1e25), np.zeros(1), Clamp())
    with pytest.raises(Mbv2genError, match=r"net\.onnx: tensor 'y'"):
        quantize(net, from_array(random_pictures(np.random.default_rng(0), 4)), TF)


@pytest.mark.parametrize("name", ["flowers_w010_r96"])
def test_trained_flowers_lose_next_to_nothing(name: str, shared_data: Path) -> None:
    net = lower(read_graph(shared_data / "models" / f"{name}.onnx"), name)
    data = str(shared_data / "images" / "flowers96_test_calib.npz")
    shape = net.shape(net.inputs[0])
    calibration, test = (open_pictures(f"{data}:{key}", shape, TF, net.model_input) for key in ("x_calib", "x_test"))
    calibration, test = calibration.subset(range(0, 200, 2)), test.subset(range(0, 606, 6))
    quantized = quantize(net, calibration, TF)
    wanted = float_reference.run_outputs(net, np.concatenate(list(test.batches(32)))).reshape(len(test), -1)
    found = integer_output(quantized, np.concatenate(list(test.pixels(32))))
    assert test.labels is not None
    top1 = [(y.argmax(axis=1) == test.labels).mean() for y in (wanted, found)]
    assert (wanted.argmax(axis=1) == found.argmax(axis=1)).mean() >= 0.97
    assert abs(top1[0] - top1[1]) <= 0.02
    assert signal_to_noise(wanted, found) > 25.5
