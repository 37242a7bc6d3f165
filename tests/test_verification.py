# SPDX-License-Identifier: Apache-2.0
"""Verification: equal networks pass, and a planted difference is found where it was planted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder
from random_networks import random_images, random_network
from small_models import write_network
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import int8_reference, output_folder
from mbv2gen.hardware import boards, execution
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.hardware.runner import Taps
from mbv2gen.network import Window, frozen
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.quantization import quantized_network_file
from mbv2gen.quantized_network import QConv2D, QOperator, QuantizedNetwork
from mbv2gen.verification import verify

Capture = pytest.CaptureFixture[str]


def network() -> QuantizedNetwork:
    """Three layers on 7x6 pixels: a 3x3 convolution padded by 1, a linear 1x1 one, a mean."""
    b = NetworkBuilder(np.random.default_rng(5))
    x = b.conv(b.input((7, 6, 3), 0, 0.02), "stem", 5, Window(3, 3, 1, 1, 1, 1, 1, 1), RELU6)
    b.block("stem", "Stem", "conv")
    x = b.conv(x, "linear", 4, POINTWISE, NONE)
    b.block("linear", "Layer", "layer")
    b.mean(x, "mean")
    b.block("mean", "Layer", "layer")
    return b.network("net", "mean")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("verified") / "out")


def forge(folder: OutputFolder, file: str, data: bytes) -> None:
    """Change a file so that the marker agrees with it."""
    (folder.path / file).write_bytes(data)
    marker = json.loads((folder.path / output_folder.MARKER).read_text())
    marker["files"][file] = hashlib.sha256(data).hexdigest()
    (folder.path / output_folder.MARKER).write_text(json.dumps(marker))


def with_reference(path: Path, change: Callable[[QConv2D], QConv2D], layer: int) -> OutputFolder:
    """The C of the network, and a reference in which one convolution is another."""
    original = network()
    operators: list[QOperator] = list(original.operators)
    changed = operators[layer]
    assert isinstance(changed, QConv2D)
    operators[layer] = change(changed)
    folder = write_network(original, path)
    forge(folder, output_folder.NETWORK, quantized_network_file.dump(replace(original, operators=tuple(operators))))
    return folder


@needs_host_compiler
def test_equal_c_is_found_equal_and_everything_is_counted(folder: OutputFolder) -> None:
    inputs = network_inputs.synthetic(folder.network(), 12)
    told: list[tuple[int, int]] = []
    result = verify(folder, HOST, iter([inputs[:8], inputs[8:]]), 12, lambda done, total: told.append((done, total)))
    assert result.difference is None
    assert (result.inputs, result.output_values) == (12, 12 * 4)
    assert (result.layers, result.layer_values) == (3, 7 * 6 * 5 + 7 * 6 * 4 + 4)
    assert told[-1] == (12, 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@needs_host_compiler
def test_a_wrong_bias_is_found_in_its_layer_and_channel(tmp_path: Path) -> None:
    def other_bias(operator: QConv2D) -> QConv2D:
        bias = operator.bias.copy()
        bias[2] += 40_000 if bias[2] < 0 else -40_000
        return replace(operator, bias=frozen(bias, np.int32))

    folder = with_reference(tmp_path / "out", other_bias, layer=1)
    difference = verify(folder, HOST, iter([network_inputs.synthetic(network(), 2)]), 2).difference
    assert difference is not None
    assert (difference.input, difference.layer, difference.name) == (0, 1, "linear")
    assert (difference.row, difference.column, difference.channel) == (0, 0, 2)
    assert difference.c != difference.numpy


def pooled(w: int) -> QuantizedNetwork:
    """A last convolution on 5 x ``w`` pixels, of which a Cortex-M7 keeps pool sums only, its mean and classifier."""
    b = NetworkBuilder(np.random.default_rng(w))
    x = b.conv(b.input((5, w, 8), 0, 0.02), "last", 11, POINTWISE, RELU6, zero_point=-128, scale=6 / 255)
    b.block("last", "Layer", "layer")
    b.fully_connected(b.mean(x, "mean"), "classifier", 3)
    b.block("head", "Head", "pool", "classifier")
    return b.network("pooled", "classifier")


@needs_host_compiler
@pytest.mark.parametrize("w", [1, 3, 6])
def test_rows_that_only_exist_as_sums_are_compared(tmp_path: Path, w: int) -> None:
    made = pooled(w)
    folder = write_network(made, tmp_path / "out", "cortex-m7")
    assert folder.report()["layers"][0]["kernel"] == "mbv2_conv_1x1_sums_s8_dsp"
    inputs = network_inputs.synthetic(made, 3)
    result = verify(folder, HOST, iter([inputs]), 3)
    assert (result.difference, result.layers, result.layer_values) == (None, 3, 5 * w * 11 + 11 + 3)

    last = made.operators[0]
    assert isinstance(last, QConv2D)
    values = int8_reference.run(made, inputs[:1])["last"][0]
    channel = int(values.max(axis=(0, 1)).argmax())
    row, column = (int(i) for i in np.argwhere(values[:, :, channel] > -128)[0])
    bias = last.bias.copy()
    bias[channel] = -(1 << 24)
    dark = replace(last, bias=frozen(bias, np.int32))
    forged = quantized_network_file.dump(replace(made, operators=(dark, *made.operators[1:])))
    forge(folder, output_folder.NETWORK, forged)
    difference = verify(folder, HOST, iter([inputs]), 3).difference
    assert difference is not None
    assert (difference.name, difference.row, difference.column, difference.channel) == ("last", row, column, channel)
    assert (difference.c, difference.numpy) == (values[row, column, channel], -128)


@needs_host_compiler
def test_a_wrong_weight_is_found_in_the_first_row_and_column_that_read_it(tmp_path: Path) -> None:
    """The top left weight of a 3x3 window meets padding in row 0 and column 0: the first place is (1, 1)."""

    def other_weight(operator: QConv2D) -> QConv2D:
        weights = operator.weights.copy()
        weights[:, 0, 0, :] = np.where(weights[:, 0, 0, :] > 0, -127, 127)
        return replace(operator, weights=frozen(weights, np.int8))

    folder = with_reference(tmp_path / "out", other_weight, layer=0)
    x = np.full((1, 7, 6, 3), 1, np.int8)  # near the zero point: nothing saturates everywhere
    x[0, 0, 0] = (100, -100, 90)
    difference = verify(folder, HOST, iter([x]), 1).difference
    assert difference is not None
    assert (difference.layer, difference.name, difference.row, difference.column) == (0, "stem", 1, 1)


@needs_host_compiler
def test_a_difference_in_a_later_input_is_found_there(tmp_path: Path) -> None:
    """The reference's layer is clamped at the largest value of one input, which so stays equal; another has more."""
    shape = network().shape("input")
    inputs = random_images(np.random.default_rng(3), shape, 20)
    largest = int8_reference.run(network(), inputs)["linear"].max(axis=(1, 2, 3))
    quiet, loud = int(largest.argmin()), int(largest.argmax())
    assert largest[quiet] < largest[loud]
    folder = with_reference(tmp_path / "out", lambda op: replace(op, act_max=int(largest[quiet])), layer=1)
    order = inputs[[quiet] * 5 + [loud]]
    difference = verify(folder, HOST, iter([order[:3], order[3:]]), 6).difference
    assert difference is not None
    assert (difference.input, difference.layer, difference.numpy) == (5, 1, largest[quiet])


@needs_host_compiler
def test_an_output_changed_after_its_last_row_is_told_as_that(tmp_path: Path) -> None:
    folder = write_network(network(), tmp_path / "out")
    source = (folder.path / "net.c").read_text()
    at = source.index("    } while (status == NET_MORE);")
    line_end = source.index("\n", at)
    flipped = source[:line_end] + "\n    *(int8_t *)(uintptr_t)net_output(ctx) ^= 1;" + source[line_end:]
    forge(folder, "net.c", flipped.encode())
    difference = verify(folder, HOST, iter([network_inputs.synthetic(network(), 1)]), 1).difference
    assert difference is not None
    assert difference.layer is None
    assert (difference.row, difference.column, difference.channel) == (0, 0, 0)
    assert difference.c == difference.numpy ^ 1


@needs_host_compiler
def test_the_command_ends_with_1_names_the_place_and_gives_it_as_json(tmp_path: Path, capsys: Capture) -> None:
    folder = with_reference(tmp_path / "out", lambda op: replace(op, act_max=op.act_min), layer=1)
    ended = command(capsys, "verify", folder.path, "--count", "3")
    assert_refused(ended, "layer 1 ('linear')", "row", "column", "channel", code=1)
    ended = command(capsys, "verify", folder.path, "--count", "3", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["difference"]["name"] == "linear"
    assert json.loads(ended.out)["equal"] is False


def test_a_changed_source_fails_the_check_by_name(tmp_path: Path, capsys: Capture) -> None:
    folder = write_network(network(), tmp_path / "out")
    with (folder.path / "net_weights.c").open("a") as file:
        file.write("/* edited */\n")
    assert_refused(command(capsys, "verify", folder.path), "net_weights.c", "was changed", code=1)


@needs_host_compiler
def test_the_command_passes_and_says_what_it_compared(folder: OutputFolder, capsys: Capture) -> None:
    ended = command(capsys, "verify", folder.path, "--count", "5")
    assert ended.code == 0, ended.err
    assert "all 20 output values of 5 inputs" in ended.out
    document = json.loads(command(capsys, "verify", folder.path, "--count", "5", "--json").out)
    assert (document["equal"], document["inputs"], document["on"]) == (True, 5, "host")


@needs_host_compiler
def test_an_input_written_by_the_user_is_verified(folder: OutputFolder, tmp_path: Path, capsys: Capture) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 7, 6, 3)).astype(np.float32))
    document = json.loads(command(capsys, "verify", folder.path, "--images", tmp_path / "x.npy", "--json").out)
    assert (document["equal"], document["inputs"]) == (True, 9)


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize(("board", "target"), [("mps2-an500", "cortex-m7"), ("microbit", "cortex-m0")])
def test_the_board_equals_numpy_in_every_row(tmp_path: Path, board: str, target: str) -> None:
    place, folder = Place(boards.load(board)), write_network(network(), tmp_path / "out", target)
    result = verify(folder, place, iter([network_inputs.synthetic(folder.network(), 4)]), 4)
    assert (result.difference, result.board, result.on) == (None, board, "qemu")


@needs_host_compiler
def test_a_network_that_is_fed_rows_equals_numpy_in_every_row(tmp_path: Path) -> None:
    folder = write_network(network(), tmp_path / "out", feed="rows")
    result = verify(folder, HOST, iter([network_inputs.synthetic(network(), 6)]), 6)
    assert (result.difference, result.inputs) == (None, 6)
    assert "push_rows" in (folder.path / "net.h").read_text()


def check_random_network(seed: int, folder: Path) -> None:
    """C under sanitizers, dead bytes overwritten, equals NumPy: every row of every layer of every input."""
    rng = np.random.default_rng(seed)
    made = random_network(rng, name=f"net{seed}")
    output = write_network(made, folder / f"out{seed}")
    inputs = random_images(rng, made.shape(made.inputs[0]), 3)
    result = execution.execute(output, HOST, inputs, sanitize=True, taps=Taps(), poison=True)
    wanted = int8_reference.run(made, inputs)
    assert result.taps is not None
    for index, taps in enumerate(result.taps):
        for layer, operator in enumerate(made.operators):
            expected = wanted[operator.outputs[0]][index]
            np.testing.assert_array_equal(
                taps[layer].reshape(expected.shape), expected, err_msg=f"seed {seed}, input {index}, {operator.name}"
            )
    np.testing.assert_array_equal(result.outputs, wanted[made.outputs[0]].reshape(3, -1))


@needs_host_compiler
@pytest.mark.parametrize("seed", range(5))
def test_c_of_a_random_network_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    check_random_network(seed, tmp_path)


@pytest.mark.prove
@needs_host_compiler
@pytest.mark.parametrize("seed", range(100, 200))
def test_c_of_a_hundred_random_networks_equals_numpy_in_every_row(seed: int, tmp_path: Path) -> None:
    check_random_network(seed, tmp_path)
