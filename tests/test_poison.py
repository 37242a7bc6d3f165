# SPDX-License-Identifier: Apache-2.0
"""Poison: with dead bytes overwritten the C computes the same, and whoever reads a dead byte, or calls a live one dead,
is found out."""

from __future__ import annotations

import ctypes
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from c_libraries import Inference, library
from numpy.typing import NDArray
from random_networks import random_images, random_network
from small_models import write_network
from toy_network import needs_host_compiler

from mbv2gen import int8_reference, output_folder
from mbv2gen.hardware.execution import HOST
from mbv2gen.output_folder import OutputFolder
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.verification import verify

READER = np.dtype(
    [("tensor", "u2"), ("step", "u2"), ("stride", "u2"), ("pad", "i2"), ("columns", "u2"), ("column_stride", "u2"),
     ("column_pad", "i2")]
)  # fmt: skip
OWNED = np.dtype(
    [("offset", "u4"), ("row_bytes", "u4"), ("rows", "u4"), ("form", "i4"), ("height", "u2"), ("writer", "i2"),
     ("accumulates", "u1"), ("kept", "u1"), ("unused", "u2")]
)  # fmt: skip
ROWS = 0  # the form of tensors whose rows die one by one


class Poisoned:
    """A network built with poison, its tables of lives open to be changed."""

    def __init__(self, network: QuantizedNetwork, work: Path, target: str) -> None:
        folder = write_network(network, work / "out", target)
        source = folder.path / f"{network.name}.c"
        text = source.read_text(encoding="utf-8")
        for table in ("mbv2_owned owned_rows", "mbv2_reader readers_of"):
            assert text.count(f"static const {table}") == 1
            text = text.replace(f"static const {table}", table)
        source.write_text(text, encoding="utf-8")
        made = library([folder.path], work, "-DMBV2_POISON")
        arena_bytes = folder.report()["ram"]["arena_bytes"]
        self.inference = Inference(made, network, arena_bytes)
        self.owned = self._table(made, "owned_rows", OWNED, len(network.operators) + 1)
        self.readers = self._table(made, "readers_of", READER, sum(len(op.inputs) for op in network.operators))
        self.inputs = random_images(np.random.default_rng(8), network.shape(network.inputs[0]), 3)
        self.wanted = int8_reference.run_outputs(network, self.inputs)
        assert self.inference.init() == 0

    @staticmethod
    def _table(made: ctypes.CDLL, name: str, kind: np.dtype, count: int) -> NDArray[np.void]:
        memory = (ctypes.c_uint8 * (count * kind.itemsize)).in_dll(made, name)
        return np.frombuffer(memory, kind)

    def is_right(self) -> bool:
        for x, wanted in zip(self.inputs, self.wanted, strict=True):
            self.inference.fill(x)
            assert self.inference.run() == 0
            if not np.array_equal(self.inference.output(), wanted):
                return False
        return True


@needs_host_compiler
@pytest.mark.parametrize("target", ["host", "cortex-m7"])
def test_whatever_is_said_to_die_a_row_too_early_is_found(tmp_path: Path, target: str) -> None:
    """Of every tensor that one layer reads row after row; the dsp lines die by slots, not by rows."""
    network = random_network(np.random.default_rng(5), size=(12, 11), blocks=3, head="mobilenet", name="net")
    subject = Poisoned(network, tmp_path, target)
    assert subject.is_right()
    mutants = [
        index
        for index, reader in enumerate(subject.readers)
        if subject.owned[reader["tensor"]]["form"] == ROWS
        and reader["stride"]
        and (subject.readers["tensor"] == reader["tensor"]).sum() == 1
    ]
    assert len(mutants) >= 5
    for index in mutants:
        subject.readers["pad"][index] -= 1
        assert not subject.is_right(), f"reader {subject.readers[index]}"
        subject.readers["pad"][index] += 1
    assert subject.is_right()


@needs_host_compiler
@pytest.mark.parametrize("target", ["host", "cortex-m7"])
def test_an_owner_who_stands_elsewhere_loses_his_bytes(tmp_path: Path, target: str) -> None:
    """Each tensor in turn is said to stand one byte further on: its first byte is overwritten while it is alive."""
    network = random_network(np.random.default_rng(5), size=(12, 11), blocks=3, head="mobilenet", name="net")
    subject = Poisoned(network, tmp_path, target)
    found = 0
    for index in range(len(subject.owned)):
        subject.owned["offset"][index] += 1
        found += not subject.is_right()
        subject.owned["offset"][index] -= 1
    assert found >= len(subject.owned) / 2  # else another owner's bytes lie in front, or the byte is padding
    assert subject.is_right()


@needs_host_compiler
def test_a_dead_byte_that_still_holds_its_value_is_found_by_verify(tmp_path: Path) -> None:
    """The classifier runs a second time: a normal build computes the same again, from a row that nobody owns."""
    network = random_network(np.random.default_rng(12), size=(6, 5), blocks=1, head="mobilenet", name="net")
    folder = write_network(network, tmp_path / "out", "host")
    inputs = random_images(np.random.default_rng(1), network.shape(network.inputs[0]), 1)
    source = (folder.path / "net.c").read_text()
    end = "    start(ctx);\n#ifdef MBV2_PROFILE"
    assert source.count(end) == 1
    forge(folder, "net.c", source.replace(end, f"    run_unit(ctx->arena, {len(network.operators) - 1}, 0);\n{end}"))
    difference = verify(folder, HOST, iter([inputs]), 1).difference
    assert difference is not None
    assert difference.poisoned
    assert "what nobody owns" in str(difference)


def forge(folder: OutputFolder, file: str, text: str) -> None:
    """Change a file so that the marker agrees with it."""
    (folder.path / file).write_text(text)
    marker = json.loads((folder.path / output_folder.MARKER).read_text())
    marker["files"][file] = hashlib.sha256(text.encode()).hexdigest()
    (folder.path / output_folder.MARKER).write_text(json.dumps(marker))
