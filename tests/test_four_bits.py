# SPDX-License-Identifier: Apache-2.0
"""Weights of 4 bits: chosen by budgets, on their grid, and the same values in NumPy, in C and in the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
from four_bits import is_stored_so, with_four_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import MODES, planned, rows_that_differ
from random_networks import random_images, random_network
from small_models import save_pixels, save_small_model, write_network
from tflite_micro_oracle import every_tensor
from toy_network import needs_host_compiler

from mbv2gen import compiler, int8_reference
from mbv2gen.compiler import Options
from mbv2gen.hardware.execution import HOST
from mbv2gen.network import Conv2D, FullyConnected, Network, Window
from mbv2gen.output_folder import open_folder, write_folder
from mbv2gen.packing.check import check_packing
from mbv2gen.pixels import network_inputs
from mbv2gen.quantization import weight_storage
from mbv2gen.quantization.weight_rounding import EIGHT_BITS, FOUR_BITS, input_covariance, round_weights
from mbv2gen.quantization.weight_storage import Budget, Storage
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QFullyConnected, QTensor, weight_bits
from mbv2gen.verification import verify

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
Capture = pytest.CaptureFixture[str]


def digits() -> Network:
    return compiler.read_network(DIGITS / "digits.onnx")


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_run_as_planned_and_equal_the_reference_in_every_row(seed: int) -> None:
    rng = np.random.default_rng([31, seed])
    network = with_four_bits(random_network(rng, size=(7, 8), max_channels=8, blocks=1 + seed % 3))
    _, complete = planned(network, list(MODES)[seed % len(MODES)])
    check_packing(complete)
    assert {body for body in complete.bodies if body.endswith("_s4")}
    assert rows_that_differ(complete, random_images(rng, network.shape(network.inputs[0]), 1)[0]) == []


@needs_host_compiler
@pytest.mark.parametrize("seed", range(3))
def test_the_c_equals_the_reference_in_every_row(seed: int, tmp_path: Path) -> None:
    """Some layers of 4 bits, some of 8."""
    rng = np.random.default_rng([32, seed])
    network = random_network(rng, size=(8, 7), max_channels=8, blocks=2, name="net")
    network = with_four_bits(network, lambda operator: is_stored_so(operator) and bool(rng.integers(4)))
    folder = write_network(network, tmp_path / "out", target="cortex-m0", feed="rows")
    found = verify(folder, HOST, iter([network_inputs.synthetic(network, 6)]), 6)
    assert found.difference is None


@given(seed=st.integers(0, 10_000), is_adapted=st.booleans())
@settings(max_examples=30, deadline=None)
def test_rounded_weights_are_multiples_of_sixteen_and_near_the_real_ones(seed: int, *, is_adapted: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.standard_t(4, (6, 1, 1, 20)).astype(np.float32)
    operator = Conv2D("l", ("x",), ("y",), weights, rng.normal(size=6).astype(np.float32), Window())
    source, target = QTensor("x", (4, 4, 20), 0.02, -128), QTensor("y", (4, 4, 6), 0.05, -128)
    x = rng.integers(-128, 128, (3, 4, 4, 20)).astype(np.int8)
    h = input_covariance(operator, x, -128) if is_adapted else None
    found = round_weights(operator, source, target, h, FOUR_BITS)
    assert (np.abs(found.weights) <= 112).all()
    assert (found.weights % 16 == 0).all()
    step = 16 * found.scale.astype(np.float64)
    largest = np.abs(weights.reshape(6, 20)).max(axis=1)
    assert (step <= largest / 7 * 1.001).all()
    assert (step >= largest / 14 * 0.999).all()
    if not is_adapted:
        errors = np.abs(found.real - weights.reshape(6, 20))
        clipped = np.abs(found.weights) == 112
        assert (errors[~clipped] <= (step[:, None] / 2 * 1.001 + 0 * errors)[~clipped]).all()


def test_a_narrower_grid_is_taken_where_it_makes_the_error_less() -> None:
    """One weight far out and many small ones: its grid ends before it."""
    weights = np.concatenate([[4.0], np.tile([0.3, -0.3], 60)]).astype(np.float32).reshape(1, 1, 1, -1)
    operator = Conv2D("l", ("x",), ("y",), weights, np.zeros(1, np.float32), Window())
    source, target = QTensor("x", (1, 1, 121), 0.02, -128), QTensor("y", (1, 1, 1), 0.05, -128)
    wide, narrow = (
        round_weights(operator, source, target, grid=grid) for grid in (replace(FOUR_BITS, narrows=False), FOUR_BITS)
    )
    errors = [float(((one.real - weights.reshape(1, -1)) ** 2).sum()) for one in (wide, narrow)]
    assert errors[1] < 0.7 * errors[0]


def test_the_largest_layers_have_four_bits_until_the_budget_is_kept() -> None:
    network = digits()
    whole = weight_storage.weight_bytes(network)
    sizes = {o.name: o.weights.size for o in network.operators if isinstance(o, Conv2D | FullyConnected)}
    for share in (0.95, 0.8, 0.7):
        chosen = weight_storage.four_bits(network, Storage("mixed", Budget("", share=share)))
        kept = [name for name in weight_storage.candidates(network) if name not in chosen]
        assert weight_storage.weight_bytes(network, chosen) <= share * whole
        assert min(sizes[name] for name in chosen) >= max(sizes[name] for name in kept)
        smallest = min(chosen, key=lambda name: sizes[name])
        assert weight_storage.weight_bytes(network, chosen - {smallest}) > share * whole
    by_bytes = weight_storage.four_bits(network, Storage("mixed", Budget("", at_most=int(0.8 * whole))))
    assert by_bytes == weight_storage.four_bits(network, Storage("mixed", Budget("", share=0.8)))
    assert weight_storage.four_bits(network, Storage()) == frozenset()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with all of its weights that can have 4 bits."""
    work = tmp_path_factory.mktemp("four")
    model, pixels = save_small_model(work), save_pixels(work, 40)
    options = Options(target="cortex-m0", calibration=str(pixels), preprocess="unit", weights="int4", name="net")
    return write_folder(work / "out", "net", compiler.compile_model(model, options).files).path


def test_the_folder_tells_the_bits_of_each_layer_and_their_bytes(compiled: Path) -> None:
    folder = open_folder(compiled)
    network, report = folder.network(), folder.report()
    assert "--weights int4" in (compiled / "net.h").read_text()
    bits = {layer["name"]: layer["weight_bits"] for layer in report["layers"]}
    for operator in network.operators:
        if isinstance(operator, QConv2D | QDepthwiseConv2D | QFullyConnected):
            assert bits[operator.name] == weight_bits(operator)
            if weight_bits(operator) == 4:
                assert (operator.weights % 16 == 0).all()
        else:
            assert bits[operator.name] is None
    halved = [layer for layer in report["layers"] if layer["weight_bits"] == 4]
    sizes = {o.name: o.weights.size for o in network.operators if hasattr(o, "weights")}
    assert len(halved) >= 1
    assert all(sizes[layer["name"]] <= 2 * layer["weights_bytes"] <= 1.2 * sizes[layer["name"]] for layer in halved)
    assert report["flash"]["weights_bytes"] == sum(layer["weights_bytes"] for layer in report["layers"])


def test_decibels_take_as_many_layers_as_keep_them(tmp_path: Path, capsys: Capture) -> None:
    model, pixels = save_small_model(tmp_path), save_pixels(tmp_path, 40)
    base = ("compile", model, "--calibration", pixels, "--preprocess", "unit", "-o", tmp_path / "out", "--json")
    counts = []
    for budget in ("1dB", "15 dB"):
        ended = command(capsys, *base, "--weights", "mixed", "--weights-budget", budget)
        assert ended.code == 0, ended.err
        layers = json.loads(ended.out)["report"]["layers"]
        counts.append(sum(layer["weight_bits"] == 4 for layer in layers))
    assert counts[0] == len(weight_storage.candidates(compiler.read_network(model)))
    assert counts[1] <= counts[0]
    refused = command(capsys, *base[:-1], "--weights", "mixed", "--weights-budget", "90dB")
    assert_refused(refused, "--weights-budget 90dB", "small.onnx", "dB with 8 bits in all layers")


def test_budgets_that_cannot_be_kept_or_read_are_refused(tmp_path: Path, capsys: Capture) -> None:
    model = save_small_model(tmp_path)
    base = ("compile", model, "-o", tmp_path / "out", "--weights")
    assert_refused(command(capsys, *base, "mixed", "--weights-budget", "0.3"), "--weights-budget 0.3", "at least")
    assert_refused(command(capsys, *base, "mixed", "--weights-budget", "100"), "--weights-budget 100", "at least")
    assert_refused(command(capsys, *base, "int4", "--weights-budget", "0.7"), "goes with --weights mixed")
    wrong = command(capsys, *base, "mixed", "--weights-budget", "half")
    assert (wrong.code, wrong.out) == (2, "")
    assert "0.6 (of the bytes with int8), 250k (bytes) or 20dB" in " ".join(wrong.err.split())
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_quantized_keeps_its_weights(tmp_path: Path, capsys: Capture) -> None:
    model, pixels = save_small_model(tmp_path), save_pixels(tmp_path, 40)
    made = command(capsys, "compile", model, "--calibration", pixels, "--preprocess", "unit",
                   "-o", tmp_path / "out", "--emit", "qdq", "--name", "net")  # fmt: skip
    assert made.code == 0, made.err
    (given,) = (tmp_path / "out").glob("*.onnx")
    refused = command(capsys, "compile", given, "-o", tmp_path / "again", "--weights", "int4")
    assert_refused(refused, "--weights int4", "is quantized already", given.name)


def test_eight_bits_are_as_they_were() -> None:
    """The grid of 8 bits has no step and does not narrow: the scale is the largest weight's by 127."""
    weights = np.random.default_rng(3).normal(size=(4, 1, 1, 30)).astype(np.float32)
    operator = Conv2D("l", ("x",), ("y",), weights, np.zeros(4, np.float32), Window())
    found = round_weights(
        operator, QTensor("x", (2, 2, 30), 0.02, 3), QTensor("y", (2, 2, 4), 0.05, 0), grid=EIGHT_BITS
    )
    np.testing.assert_allclose(found.scale, np.abs(weights.reshape(4, 30)).max(axis=1) / 127, rtol=1e-6)
    assert np.abs(found.weights).max() == 127


def test_tensorflow_lite_micro_computes_the_same_of_the_exported_file(compiled: Path) -> None:
    """There the weights stand as int8."""
    network = open_folder(compiled).network()
    x = random_images(np.random.default_rng(4), network.shape(network.inputs[0]), 3)
    for name, values in every_tensor(network, x).items():
        np.testing.assert_array_equal(values, int8_reference.run(network, x)[name], err_msg=name)
