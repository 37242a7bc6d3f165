# SPDX-License-Identifier: Apache-2.0
"""Saving a quantized network and loading it again."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import random_images, random_network, single_layer_networks

from mbv2gen import int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.quantization import quantized_network_file

DAMAGES = ("truncated", "text", "empty", "one_array", "pickled", "no_array")


def assert_equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif is_dataclass(a):
        for f in fields(a):
            assert_equal(getattr(a, f.name), getattr(b, f.name))
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("seed", range(6))
def test_a_random_network_is_equal_after_a_round_trip(tmp_path: Path, seed: int) -> None:
    network = random_network(np.random.default_rng(seed))
    quantized_network_file.save(network, tmp_path / "q.npz")
    loaded = quantized_network_file.load(tmp_path / "q.npz")
    assert_equal(loaded, network)
    x = random_images(np.random.default_rng(0), network.shape("input"), 2)
    ours, theirs = (int8_reference.run_outputs(n, x) for n in (network, loaded))
    np.testing.assert_array_equal(ours, theirs)


def test_every_kind_of_operator_is_equal_after_a_round_trip(tmp_path: Path) -> None:
    networks = single_layer_networks()
    assert {o.kind for n in networks for o in n.operators} == {
        "conv", "pointwise", "depthwise", "fully_connected", "add", "mean", "activation",
    }  # fmt: skip
    for network in networks:
        quantized_network_file.save(network, tmp_path / "q.npz")
        assert_equal(quantized_network_file.load(tmp_path / "q.npz"), network)


def test_arrays_are_read_only_after_loading(tmp_path: Path) -> None:
    network = random_network(np.random.default_rng(0))
    quantized_network_file.save(network, tmp_path / "q.npz")
    loaded = quantized_network_file.load(tmp_path / "q.npz")
    with pytest.raises(ValueError, match="read-only"):
        loaded.operators[0].weights[0] = 0  # type: ignore[union-attr]  # the first operator is weighted


def test_equal_networks_give_equal_files_in_any_folder(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        quantized_network_file.save(random_network(np.random.default_rng(5)), tmp_path / folder / f"{folder}.npz")
    assert (tmp_path / "a" / "a.npz").read_bytes() == (tmp_path / "b" / "b.npz").read_bytes()


def damaged_files(folder: Path) -> dict[str, Path]:
    network = random_network(np.random.default_rng(0))
    good = folder / "good.npz"
    quantized_network_file.save(network, good)
    paths = {name: folder / f"{name}.npz" for name in DAMAGES}
    paths["truncated"].write_bytes(good.read_bytes()[:-300])
    paths["text"].write_text("no network")
    paths["empty"].write_bytes(b"")
    with paths["one_array"].open("wb") as stream:
        np.save(stream, np.zeros(3))
    np.savez(paths["pickled"], structure=np.array([{"a": 1}], dtype=object))
    with np.load(good) as archive:
        np.savez(paths["no_array"], structure=archive["structure"])
    return paths


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(tmp_path: Path, damage: str) -> None:
    path = damaged_files(tmp_path)[damage]
    with pytest.raises(Mbv2genError, match="compile the model again") as caught:
        quantized_network_file.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_format_says_which(tmp_path: Path) -> None:
    text = json.dumps({"format": "mbv2gen quantized network 99", "network": None}).encode()
    np.savez(tmp_path / "q.npz", structure=np.frombuffer(text, np.uint8))
    with pytest.raises(Mbv2genError, match="written as 'mbv2gen quantized network 99'"):
        quantized_network_file.load(tmp_path / "q.npz")


def test_missing_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(Mbv2genError, match=r"nowhere\.npz: cannot be read"):
        quantized_network_file.load(tmp_path / "nowhere.npz")
    with pytest.raises(Mbv2genError, match=r"q\.npz: cannot be written"):
        quantized_network_file.save(random_network(np.random.default_rng(0)), tmp_path / "none" / "q.npz")
