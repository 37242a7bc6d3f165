# SPDX-License-Identifier: Apache-2.0
"""Flashing: images come into empty emulated boards through a gdb server and run there; what can go wrong is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_line import assert_refused, command
from flash_server import flash_server
from serial_boards import empty, free_port
from small_models import write_network
from test_verification import network
from toy_network import needs_arm_compiler, needs_qemu

from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, flashing, gdb_server, image, toolchain
from mbv2gen.hardware.flashing import Probe
from mbv2gen.output_folder import OutputFolder

serial = pytest.importorskip("serial")

Capture = pytest.CaptureFixture[str]
needs_gdb = pytest.mark.skipif(toolchain.find_gdb() is None, reason=toolchain.GDB_HELP)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return write_network(network(), tmp_path_factory.mktemp("flashing") / "out", "cortex-m4")


@needs_arm_compiler
@needs_qemu
@needs_gdb
@pytest.mark.parametrize("name", ["mps2-an500", "netduinoplus2"])
def test_an_empty_board_takes_the_image_and_every_output_byte_is_numpys(
    folder: OutputFolder, capsys: Capture, name: str
) -> None:
    with empty(boards.load(name)) as (console, gdb):
        on = f"serial:{console}"
        ended = command(capsys, "flash", folder.path, "--board", name, "--serial", "plain", "--gdb", gdb, "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out) == {"board": name, "gdb": gdb}
        ended = command(capsys, "verify", folder.path, "--count", "3", "--on", on, "--json")
        assert ended.code == 0, ended.err
        document = json.loads(ended.out)
        assert (document["equal"], document["board"], document["inputs"]) == (True, name, 3)


@needs_arm_compiler
@needs_qemu
@needs_gdb
def test_where_the_servers_map_says_flash_it_is_erased_and_programmed(
    folder: OutputFolder, tmp_path: Path, capsys: Capture
) -> None:
    board = boards.load("netduinoplus2")
    with empty(board) as (console, qemu), serial.serial_for_url(console, timeout=20) as line:
        with flash_server(qemu, board.memory("flash")) as (gdb, flash):
            ended = command(capsys, "flash", folder.path, "--board", board.name, "--gdb", gdb)
        assert ended.code == 0, ended.err
        assert line.read_until(b"NumPy's\r\n").splitlines()[-1] == b"MBV2 the output equals NumPy's"
    objcopy = toolchain.require_arm_compiler().with_name("arm-none-eabi-objcopy")
    subprocess.run([objcopy, "-O", "binary", image.build(folder, board), tmp_path / "bin"], check=True)
    assert flash.written == (tmp_path / "bin").stat().st_size


@needs_arm_compiler
@needs_qemu
@needs_gdb
def test_a_board_that_does_not_hold_what_was_loaded_is_told(folder: OutputFolder) -> None:
    """Its flash lies where the board at the server has nothing."""
    there, other = boards.load("mps2-an500"), boards.load("netduinoplus2")
    with empty(there) as (_, gdb), pytest.raises(CheckFailed, match=r"reads back otherwise, in \.text.*a netd"):
        gdb_server.load(image.build(folder, other), other, gdb_server.at(gdb))


@needs_arm_compiler
@needs_gdb
def test_where_no_server_listens_it_says_so(folder: OutputFolder, capsys: Capture) -> None:
    gdb = f"127.0.0.1:{free_port()}"
    ended = command(capsys, "flash", folder.path, "--board", "netduinoplus2", "--gdb", gdb)
    assert_refused(ended, f"--gdb {gdb}: ", "look at the server")


def test_what_cannot_be_a_server_is_refused(
    folder: OutputFolder, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("flash", folder.path, "--board", "mps2-an386", "--gdb")
    for address in ("3333", "localhost:", "localhost:3333\nshell true", "|cat:1"):
        assert_refused(command(capsys, *words, address), "is not HOST:PORT")
    assert_refused(command(capsys, *words, ":1", "--probe", "066A"), "the server has chosen")
    monkeypatch.setattr(toolchain, "GDBS", ("no-such-gdb", "none-at-all"))
    assert_refused(command(capsys, *words, "localhost:3333"), "apt-get install gdb-multiarch")


def test_without_a_probe_flash_says_so(folder: OutputFolder, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyocd")
    monkeypatch.setattr(flashing, "probes", lambda: ())
    assert_refused(command(capsys, "flash", folder.path, "--board", "nucleo-h743zi"), "no debug probe found")
    assert command(capsys, "flash", "--list", "--json").out.strip() == "[]"
    assert_refused(command(capsys, "flash", folder.path, "--board", "mps2-an500"), "names no pyOCD target")
    assert_refused(command(capsys, "flash", folder.path), "give OUT and --board")


def test_of_several_probes_one_is_to_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashing, "probes", lambda: (Probe("066A", "ST-LINK"), Probe("E661", "CMSIS-DAP")))
    assert flashing.choose_probe("E661").description == "CMSIS-DAP"
    with pytest.raises(Mbv2genError, match=r"2 debug probes: 066A \(ST-LINK\), E661 .*--probe"):
        flashing.choose_probe(None)
    with pytest.raises(Mbv2genError, match="--probe 1234: is not plugged in"):
        flashing.choose_probe("1234")


def test_pyocd_itself_lists_the_probes_of_this_machine() -> None:
    """Whatever is plugged in; without anything, and without rights on USB, an empty list."""
    pytest.importorskip("pyocd")
    assert all(isinstance(probe, Probe) for probe in flashing.probes())
