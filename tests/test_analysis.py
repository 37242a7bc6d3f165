# SPDX-License-Identifier: Apache-2.0
"""Analysis: its figures against both networks run whole, and what the command writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
from small_models import save_pixels, save_small_model

from mbv2gen import analysis, float_reference, int8_reference
from mbv2gen.analysis import Analysis, Subject
from mbv2gen.compiler import Options
from mbv2gen.network import Conv2D
from mbv2gen.pixels import network_inputs
from mbv2gen.quantization.tensor_scales import dequantize

Capture = pytest.CaptureFixture[str]
ROLES = {"conv", "pointwise", "depthwise", "add", "mean", "fully_connected"}


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("analysis")
    options = Options(calibration=str(save_pixels(folder, 12)), preprocess="tf")
    return analysis.quantize(save_small_model(folder), options)


@pytest.fixture(scope="module")
def found(subject: Subject) -> Analysis:
    return analysis.analyze(subject)


def decibels(wanted: np.ndarray, made: np.ndarray) -> float:
    return float(10 * np.log10((wanted.astype(float) ** 2).sum() / ((made - wanted.astype(float)) ** 2).sum()))


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=3, keepdims=True)


def test_ratios_ranges_and_shares_are_those_of_the_whole_networks(subject: Subject, found: Analysis) -> None:
    made = subject.quantized
    (feed,) = network_inputs.feeds(made.integer, made.data, 100)
    real, ints = float_reference.run(made.real, feed.real), int8_reference.run(made.integer, feed.integer)
    assert (found.images, found.alone_images) == (12, 12)
    assert {layer.op for layer in found.layers} == ROLES | {"input"}
    for layer, tensor in zip(found.layers, made.integer.tensors, strict=True):
        values, low, high = real[tensor.name], layer.int8_low, layer.int8_high
        assert (layer.low, layer.high) == pytest.approx((values.min(), values.max()), abs=1e-5)
        assert (low, high) == pytest.approx(dequantize(np.array([-128, 127]), tensor).tolist())
        half = (high - low) / 510
        assert layer.saturated == pytest.approx(((values < low - half) | (values > high + half)).mean(), abs=1e-4)
        constant = [len(np.unique(ints[tensor.name][..., c])) == 1 for c in range(tensor.shape[2])]
        assert layer.constant_channels == sum(constant)
        if layer.op != "input":
            assert layer.snr_db == pytest.approx(decibels(values, dequantize(ints[tensor.name], tensor)), abs=1e-3)
    output = made.integer.tensor(made.integer.outputs[0])
    wanted = decibels(centred(real[output.name]), centred(dequantize(ints[output.name], output)))
    assert found.snr_db == pytest.approx(wanted, abs=1e-3)


def test_a_layer_alone_costs_what_it_costs_in_a_float_network(subject: Subject, found: Analysis) -> None:
    """The oracle rounds the weights and the output of the stem, and runs everything else in float32."""
    made = subject.quantized
    (feed,) = network_inputs.feeds(made.integer, made.data, 100)
    stem, q = made.real.operators[0], made.integer.operators[0]
    assert isinstance(stem, Conv2D)
    source, target = (made.integer.tensor(name) for name in (stem.inputs[0], stem.outputs[0]))
    scale = q.weight_scale.astype(np.float64)  # type: ignore[union-attr]  # the operator is weighted
    weights = (q.weights * scale[:, None, None, None]).astype(np.float32)  # type: ignore[union-attr]  # the operator is weighted
    bias = (q.bias * scale * source.scale).astype(np.float32)  # type: ignore[union-attr]  # the operator is weighted
    value = float_reference.apply(replace(stem, weights=weights, bias=bias), (feed.real,))
    steps = np.clip(np.rint(value / target.scale) + target.zero_point, -128, 127)
    rest = replace(made.real, inputs=(target.name,), operators=made.real.operators[1:])
    rounded = ((steps - target.zero_point) * target.scale).astype(np.float32)
    wanted, got = (float_reference.run_outputs(rest, x) for x in (
        float_reference.run(made.real, feed.real)[target.name], rounded))  # fmt: skip
    layer = next(layer for layer in found.layers if layer.name == stem.name)
    assert layer.alone_db == pytest.approx(decibels(centred(wanted), centred(got)), abs=0.05)


def test_the_worst_layer_is_that_of_the_least_ratio(found: Analysis) -> None:
    ratios = {layer.name: layer.alone_db for layer in found.layers if layer.alone_db is not None}
    assert found.worst == min(ratios, key=lambda name: ratios[name])


def test_a_layer_made_bad_hurts_most(subject: Subject) -> None:
    """The projection's output in steps sixteen times as coarse as they should be."""
    integer = subject.quantized.integer
    project = next(op for op in subject.quantized.real.operators if isinstance(op, Conv2D) and op.clamp.is_identity)
    tensors = tuple(
        replace(tensor, scale=tensor.scale * 16) if tensor.name == project.outputs[0] else tensor
        for tensor in integer.tensors
    )
    bad = replace(subject, quantized=replace(subject.quantized, integer=replace(integer, tensors=tensors)))
    assert analysis.analyze(bad).worst == project.name


def test_the_command_shows_a_table_names_the_worst_and_writes_json(tmp_path: Path, capsys: Capture) -> None:
    model, pictures = save_small_model(tmp_path), save_pixels(tmp_path)
    words = ("analyze", model, "--calibration", pictures, "--preprocess", "tf", "--effort", 1)
    shown = command(capsys, *words)
    assert shown.code == 0
    document = json.loads(command(capsys, *words, "--json").out)
    assert f"hurts most                     {document['worst']}" in shown.out
    assert all(layer["name"] in shown.out for layer in document["layers"])
    assert "6 pictures" in shown.err
    assert document["effort"] == 1


def test_into_adds_it_to_the_report_of_that_network_and_of_no_other(tmp_path: Path, capsys: Capture) -> None:
    model, pictures, out = save_small_model(tmp_path), save_pixels(tmp_path), tmp_path / "out"
    words = (model, "--calibration", pictures, "--preprocess", "tf", "--effort", 1)
    assert command(capsys, "compile", *words, "-o", out, "--name", "other").code == 0
    before = json.loads((out / "report.json").read_text())
    assert before["analysis"] is None
    assert_refused(command(capsys, "analyze", *words[:-1], 0, "--into", out, "--quiet"), "out", "another network")
    assert json.loads((out / "report.json").read_text()) == before
    assert command(capsys, "analyze", *words, "--into", out, "--quiet").code == 0
    after = json.loads((out / "report.json").read_text())
    assert after["analysis"]["layers"]
    assert {**after, "analysis": None} == before
    assert command(capsys, "verify", out, "--count", 1).code == 0
