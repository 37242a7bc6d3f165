# SPDX-License-Identifier: Apache-2.0
"""Bisection: the first step that differs is found where it was planted, on the host, on a board and over a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
from mobilenets import random_blocks
from serial_boards import build_process, emulated, process_on_pty, serial_image
from small_models import write_network
from test_verification import forge, network, with_reference
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import bisection, int8_reference, tap_crcs
from mbv2gen.bisection import bisect
from mbv2gen.errors import CheckFailed
from mbv2gen.hardware import boards, execution
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.hardware.runner import RunResult, Taps
from mbv2gen.network import frozen
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.quantized_network import QConv2D
from mbv2gen.tap_crcs import TapCrc
from mbv2gen.verification import verify

Capture = pytest.CaptureFixture[str]


def inputs() -> np.ndarray:
    return network_inputs.synthetic(network(), 1)


def clamped(operator: QConv2D) -> QConv2D:
    """Differs only where values are largest."""
    return replace(operator, act_max=int(int8_reference.run(network(), inputs())["linear"].max()) - 1)


def other_bias(operator: QConv2D) -> QConv2D:
    bias = operator.bias.copy()
    bias[2] += 40_000 if bias[2] < 0 else -40_000
    return replace(operator, bias=frozen(bias, np.int32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("bisected") / "out", "cortex-m0")


@needs_host_compiler
def test_the_step_is_the_one_that_verify_finds_among_all_values(tmp_path: Path) -> None:
    folder = with_reference(tmp_path / "out", clamped, layer=1)
    wrong = bisect(folder, HOST, inputs()).wrong
    known = verify(folder, HOST, iter([inputs()]), 1).difference
    assert wrong is not None
    assert known is not None
    assert (wrong.layer, wrong.name) == (1, "linear")
    assert (wrong.row, wrong.column, wrong.channel) == (known.row, known.column, known.channel)
    assert (wrong.c, wrong.numpy) == (known.c, known.numpy)
    assert 0 < wrong.step < wrong.steps


@needs_host_compiler
@pytest.mark.parametrize(("target", "optimize"), [("cortex-m7", "ram"), ("cortex-m7", "speed")])
def test_checksums_of_rows_columns_planes_and_sums_are_numpys(
    tmp_path: Path, target: str, optimize: str | None
) -> None:
    """And each value of each layer is in one of them."""
    made = random_blocks(np.random.default_rng(8), (20, 24))
    folder = write_network(made, tmp_path / "out", target, optimize=optimize)
    found = bisect(folder, HOST, network_inputs.synthetic(made, 1))
    assert found.is_right
    assert found.steps > len(made.operators)


@needs_host_compiler
def test_a_step_that_is_right_the_second_time_is_told_as_that(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disturbance that does not come again: one checksum of the first run is another."""
    run = execution.execute

    def disturbed(*arguments: object, taps: Taps, **options: object) -> RunResult:
        result = run(*arguments, taps=taps, **options)  # type: ignore[arg-type]  # passed on as it came
        assert result.crcs is not None
        records = list(result.crcs[0])
        if taps.values_of is None:
            records[5] = replace(records[5], crc=records[5].crc ^ 1)
        return replace(result, crcs=(tuple(records),))

    monkeypatch.setattr(bisection.execution, "execute", disturbed)
    wrong = bisect(folder, HOST, inputs()).wrong
    assert wrong is not None
    assert wrong.step == 5
    assert not wrong.is_repeatable
    assert "in a second run that step was right" in str(wrong)


@needs_host_compiler
def test_an_output_changed_after_its_last_row_is_told_as_that(tmp_path: Path, capsys: Capture) -> None:
    folder = write_network(network(), tmp_path / "out")
    source = (folder.path / "net.c").read_text()
    line = "    } while (status == NET_MORE);\n"
    forge(folder, "net.c", source.replace(line, line + "    *(int8_t *)(uintptr_t)net_output(ctx) ^= 1;\n").encode())
    assert_refused(command(capsys, "bisect", folder.path), "the output is changed after it", code=1)


def records() -> list[TapCrc]:
    """Those of a run of the network, each a row, layer after layer."""
    made = int8_reference.run(network(), inputs())
    return [
        TapCrc(layer, row, 0, values.size, _crc(values))
        for layer, operator in enumerate(network().operators)
        for row, values in enumerate(made[operator.outputs[0]][0])
    ]


def _crc(values: np.ndarray) -> int:
    """CRC-32 bit by bit, from its definition."""
    state = 0xFFFFFFFF
    for byte in values.tobytes():
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0xEDB88320 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def first_wrong(of: list[TapCrc]) -> int | None:
    tensors = {name: values[0] for name, values in int8_reference.run(network(), inputs()).items()}
    return tap_crcs.first_wrong(of, network(), tensors, "net")


def test_checksums_are_crc_32_and_all_must_be_there() -> None:
    right = records()
    assert first_wrong(right) is None
    with pytest.raises(CheckFailed, match=r"layer 0 \('stem'\) value 60 is missing among the CRCs"):
        first_wrong(right[:2] + right[3:])
    with pytest.raises(CheckFailed, match=r"layer 0 \('stem'\) value 0 comes twice"):
        first_wrong([right[0], *right])
    with pytest.raises(CheckFailed, match="layer 0, row 7, values 0 to 29, which do not exist"):
        first_wrong([replace(right[0], row=7)])
    assert first_wrong([right[0], replace(right[1], crc=3), *right[2:]]) == 1


@needs_host_compiler
def test_the_command_over_a_pseudo_terminal_names_the_step(tmp_path: Path, capsys: Capture) -> None:
    folder = with_reference(tmp_path / "out", other_bias, layer=1)
    program = build_process(folder.path, folder.name, tmp_path / "process", taps=True)
    with process_on_pty(program) as port:
        ended = command(capsys, "bisect", folder.path, "--on", f"serial:{port}")
        assert_refused(ended, "layer 1 ('linear'), row 0, column 0, channel 2: C has", code=1)
        ended = command(capsys, "bisect", folder.path, "--on", f"serial:{port}", "--json")
        assert json.loads(ended.out)["wrong"]["name"] == "linear"
        ended = command(capsys, "verify", folder.path, "--on", f"serial:{port}", "--count", "2")
        assert_refused(ended, "input 0: layer 1 ('linear'), row 0, column 0, channel 2", code=1)


@needs_arm_compiler
@needs_qemu
def test_a_board_is_bisected_in_qemu_and_over_its_line(folder: OutputFolder, capsys: Capture) -> None:
    board = boards.load("microbit")
    in_qemu = bisect(folder, Place(board), inputs())
    assert in_qemu.is_right
    with emulated(serial_image(folder, board, "taps"), board) as port:
        words = ("--on", f"serial:{port}")
        ended = command(capsys, "bisect", folder.path, *words)
        assert ended.code == 0, ended.err
        assert f"all {in_qemu.steps:,} steps" in ended.out
        ended = command(capsys, "verify", folder.path, *words, "--count", "2", "--json")
        assert ended.code == 0, ended.err
    assert (json.loads(ended.out)["layers"], json.loads(ended.out)["equal"]) == (3, True)
