# SPDX-License-Identifier: Apache-2.0
"""Serial lines: frames survive, a board answers through noise and after sessions that were left, and what it says is
right; by a process behind a pseudo-terminal and by emulated boards' own lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_refused, command
from hypothesis import given
from hypothesis import strategies as st
from serial_boards import build_process, emulated, process_on_pty, serial_image
from small_models import write_network
from test_verification import network
from toy_network import (
    BEHAVES,
    FAILS,
    READS_NOWHERE,
    TOY,
    WRITES_BEHIND_ARENA,
    needs_arm_compiler,
    needs_host_compiler,
    needs_qemu,
    toy_inputs,
    toy_layers,
)

from mbv2gen import int8_reference, output_folder
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, runner, serial_session
from mbv2gen.hardware.runner import Taps
from mbv2gen.hardware.serial_line import ANSWER, READ, WRITE, Frame, SerialLine, decode, encode, open_line
from mbv2gen.hardware.serial_session import greet
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs

serial = pytest.importorskip("serial")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

Capture = pytest.CaptureFixture[str]
FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=240))


@given(FRAMES)
def test_a_frame_comes_back_and_holds_no_zero_but_its_end(frame: Frame) -> None:
    coded = encode(frame)
    assert coded.index(0) == len(coded) - 1
    assert len(coded) == 1 + 2 + len(frame.payload) + 4 + 1
    assert decode(coded[:-1]) == frame


@given(FRAMES, st.data())
def test_a_damaged_frame_is_none(frame: Frame, data: st.DataObject) -> None:
    """What is cut off, and a byte that is another: CRC-32 finds every burst of up to 32 bits. A byte that counts moves
    zeros, further apart than that; of those it misses one in 2^32."""
    coded = bytearray(encode(frame)[:-1])
    at = data.draw(st.integers(0, len(coded) - 1))
    assert decode(bytes(coded[:at])) is None
    coded[at] = data.draw(st.integers(1, 255).filter(lambda value: value != coded[at]))
    assert decode(bytes(coded)) is None


def test_a_payload_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 240"):
        encode(Frame(WRITE, 0, bytes(241)))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_process(TOY, "toy", tmp_path_factory.mktemp("process") / "plain")


@pytest.fixture(scope="module")
def process_with_taps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_process(TOY, "toy", tmp_path_factory.mktemp("process") / "taps", taps=True)


@needs_host_compiler
def test_outputs_over_a_pseudo_terminal_are_numpys_again_and_again(process: Path) -> None:
    with process_on_pty(process) as port:
        for count in (1, 30, 2):
            seen: list[tuple[int, int]] = []
            with open_line(port) as line:
                result = runner.run_on_line(
                    line, toy_inputs(count), title="toy", progress=lambda *now, seen=seen: seen.append(now)
                )
            np.testing.assert_array_equal(result.outputs, toy_layers(toy_inputs(count))[1])
            assert (result.arena_bytes, result.touched_arena_bytes) == (133, 128)
            assert seen[-1] == (count, count)


class NoisyStream:
    """A line that changes, loses and adds bytes, both ways."""

    def __init__(self, stream: Any, rate: float) -> None:
        self.stream, self.rate, self.rng = stream, rate, np.random.default_rng(3)
        self.hits = 0

    @property
    def in_waiting(self) -> int:
        return int(self.stream.in_waiting)

    def read(self, count: int) -> bytes:
        return self.damaged(self.stream.read(count))

    def write(self, data: bytes) -> None:
        self.stream.write(self.damaged(data))

    def damaged(self, data: bytes) -> bytes:
        made = bytearray()
        for value in data:
            kind = self.rng.random() / self.rate
            self.hits += kind < 1
            if kind < 0.4:
                made.append(value ^ 1 << int(self.rng.integers(8)))
            elif kind < 0.7:
                made += bytes((value, int(self.rng.integers(256))))
            elif kind >= 1:
                made.append(value)
        return bytes(made)


@needs_host_compiler
def test_what_the_line_damages_is_asked_again_and_nothing_happens_twice(process_with_taps: Path) -> None:
    inputs = toy_inputs(12)
    with process_on_pty(process_with_taps) as port, serial.serial_for_url(port, timeout=0.02) as stream:
        noisy = NoisyStream(stream, 0.002)
        result = runner.run_on_line(SerialLine(noisy), inputs, title="toy", taps=Taps(crcs=True))
    assert noisy.hits > 5
    np.testing.assert_array_equal(result.outputs, toy_layers(inputs)[1])
    assert result.crcs is not None
    assert [len(records) for records in result.crcs] == [9] * 12


@needs_host_compiler
def test_a_session_that_was_left_is_forgotten(process: Path) -> None:
    with process_on_pty(process) as port:
        with open_line(port) as line:
            assert greet(line, ("in", "out", "results")).build == "plain"
            question = line.receive(5)
            assert question is not None
            assert question.kind in (READ, WRITE)
            line.send(Frame(ANSWER, question.number, bytes(5)))
        with open_line(port) as line:
            result = runner.run_on_line(line, toy_inputs(3), title="toy")
    np.testing.assert_array_equal(result.outputs, toy_layers(toy_inputs(3))[1])


@needs_host_compiler
@pytest.mark.parametrize(
    ("kind", "message"),
    [(FAILS, "inference 0 of 2: NAME_run returns 7"), (WRITES_BEHIND_ARENA, "writes outside its arena")],
)
def test_what_goes_wrong_there_is_told(process: Path, kind: int, message: str) -> None:
    with (
        process_on_pty(process) as port,
        open_line(port) as line,
        pytest.raises(CheckFailed, match=message),
    ):
        runner.run_on_line(line, toy_inputs(2, kind), title="toy")


@needs_host_compiler
def test_a_network_of_another_size_is_refused(process: Path) -> None:
    with (
        process_on_pty(process) as port,
        open_line(port) as line,
        pytest.raises(Mbv2genError, match=r"an input has 64 bytes \(got 63\)"),
    ):
        runner.run_on_line(line, np.zeros((2, 63), np.int8), title="toy")


@needs_arm_compiler
@pytest.mark.parametrize(
    ("name", "kind"),
    [("microbit", "taps"), ("mps2-an500", "plain"), ("nucleo-h743zi", "taps"), ("pico2", "profile")],
)
def test_images_compile_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    strict = ("-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
    monkeypatch.setattr(firmware, "_BOARD_FLAGS", firmware._BOARD_FLAGS + strict)
    assert firmware.build_serial(TOY, "toy", boards.load(name), tmp_path, kind).is_file()


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("name", ["microbit", "mps2-an505", "netduinoplus2"])
def test_outputs_over_an_emulated_line_are_numpys_and_so_is_the_count(tmp_path: Path, name: str) -> None:
    """One board of each kind of line that QEMU has; it counts as it does behind semihosting."""
    board, inputs = boards.load(name), toy_inputs(2)
    with emulated(firmware.build_serial(TOY, "toy", board, tmp_path, "plain"), board) as port, open_line(port) as line:
        result = runner.run_on_line(line, inputs, title="toy")
    np.testing.assert_array_equal(result.outputs, toy_layers(inputs)[1])
    known = runner.run(firmware.build_board(TOY, "toy", board, tmp_path), inputs, board=board)
    assert (result.instructions, result.stack_bytes) == (known.instructions, known.stack_bytes)


@needs_arm_compiler
@needs_qemu
def test_a_fault_is_told_and_the_board_lives_on(tmp_path: Path) -> None:
    board = boards.load("mps2-an500")
    with emulated(firmware.build_serial(TOY, "toy", board, tmp_path, "plain"), board) as port:
        with open_line(port) as line, pytest.raises(CheckFailed, match=r"inference 0 of 1: fault: .*nothing is"):
            runner.run_on_line(line, toy_inputs(1, READS_NOWHERE), title="toy")
        with open_line(port) as line:
            outputs = runner.run_on_line(line, toy_inputs(1, BEHAVES), title="toy").outputs
    np.testing.assert_array_equal(outputs, toy_layers(toy_inputs(1))[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("serial") / "out", "cortex-m7")


@needs_arm_compiler
@needs_qemu
def test_commands_at_a_plain_image(folder: OutputFolder, tmp_path: Path, capsys: Capture) -> None:
    board = boards.load("mps2-an500")
    with emulated(serial_image(folder, board, "plain"), board) as port:
        on = ("--on", f"serial:{port}")
        ended = command(capsys, "verify", folder.path, "--count", "2", *on, "--json")
        assert ended.code == 0, ended.err
        document = json.loads(ended.out)
        assert (document["equal"], document["on"], document["board"]) == (True, "serial", "mps2-an500")
        assert (document["inputs"], document["layers"]) == (2, 0)
        one = network_inputs.synthetic(network(), 1)
        np.save(tmp_path / "x.npy", one)
        files = ("--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--raw")
        ended = command(capsys, "run", folder.path, *files, *on)
        assert ended.code == 0, ended.err
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), int8_reference.run_outputs(network(), one))
        assert_refused(command(capsys, "bisect", folder.path, *on), "has no taps", "--serial taps")
        assert_refused(command(capsys, "verify", folder.path, *on, "--board", "microbit"), "belongs to --on qemu")
        ended = command(capsys, "profile", folder.path, *on, "--json")
        told = json.loads(ended.out)["devices"]["mps2-an500"]
        other = write_network(network(), tmp_path / "other", "cortex-m7", feed="rows")
        assert_refused(command(capsys, "verify", other.path, *on), "compile 0x", "--board mps2-an500 --serial plain")
    known = json.loads(command(capsys, "profile", folder.path, "--on", "qemu", "--json").out)
    assert (told["whole"], told["unit"]) == (known["instructions"], "instructions (QEMU)")
    assert told["stack_bytes"] == known["ram"]["stack_bytes"]


@needs_arm_compiler
@needs_qemu
def test_profile_by_layer_adds_to_what_is_known(folder: OutputFolder, capsys: Capture) -> None:
    board = boards.load("mps2-an500")
    with emulated(serial_image(folder, board, "profile"), board) as port:
        ended = command(capsys, "profile", folder.path, "--on", f"serial:{port}")
        assert ended.code == 0, ended.err
    told = output_folder.open_folder(folder.path).report()["devices"]["mps2-an500"]["layers"]
    known = json.loads(command(capsys, "profile", folder.path, "--on", "qemu", "--json").out)
    assert told == [layer["instructions"] for layer in known["layers"]]


def test_where_nobody_is_it_says_so(
    folder: OutputFolder, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = command(capsys, "run", folder.path, "--input", "x", "--output", tmp_path / "y", "--on", "serial:/nowhere")
    assert_refused(ended, "serial:/nowhere", "look at the cable")
    assert_refused(command(capsys, "verify", folder.path, "--on", "serial:"), "is not host, qemu or serial:PORT")
    monkeypatch.setattr(serial_session, "GREETING_SECONDS", 0.1)
    with open_line("loop://") as line, pytest.raises(CheckFailed, match="no board answers within"):
        greet(line, seconds=0.1)
    monkeypatch.setitem(sys.modules, "serial", None)
    assert_refused(command(capsys, "verify", folder.path, "--on", "serial:x"), "pip install 'mbv2gen[serial]'")
