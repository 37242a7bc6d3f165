# SPDX-License-Identifier: Apache-2.0
"""The shared models of real exporters: each reproduces onnxruntime's recorded output, each bad one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mbv2gen import mac_count
from mbv2gen.errors import Mbv2genError
from mbv2gen.float_reference import run_outputs, to_model_output, to_nhwc
from mbv2gen.network import FullyConnected, Network
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = sorted(path for folder in ("exports", "models", "models_found") for path in (DATA / folder).glob("*.onnx"))
QUANTIZED = [path for path in FILES if "qdq" in path.stem]
NEGATIVE = [path for path in FILES if path.stem.startswith("neg_")]
FLOAT = [path for path in FILES if path not in (*QUANTIZED, *NEGATIVE)]

pytestmark = pytest.mark.skipif(not FILES, reason="the shared models are not here")


def network_of(path: Path) -> Network:
    return lower(read_graph(path), "net")


def operator_macs(network: Network) -> int:
    """MACs from the operators' own weights and planes, as drawn in the paper: positions times weights."""
    total = 0
    for operator in network.operators:
        weights = getattr(operator, "weights", None)
        if weights is not None:
            h, w, _ = network.shape(operator.outputs[0])
            total += weights.size * (1 if isinstance(operator, FullyConnected) else h * w)
    return total


@pytest.mark.parametrize("path", FLOAT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_float_export_reproduces_its_recorded_output(path: Path) -> None:
    network = network_of(path)
    record = np.load(path.with_suffix(".npz"))
    got = to_model_output(network, run_outputs(network, to_nhwc(network, record["input"])))
    assert got.shape == record["output"].shape
    np.testing.assert_allclose(got, record["output"], rtol=1e-4, atol=1e-4 * np.abs(record["output"]).max())


@pytest.mark.parametrize("path", FLOAT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_macs_counted_on_the_file_equal_those_of_the_operators(path: Path) -> None:
    network = network_of(path)
    assert mac_count.count(path) == network.macs == operator_macs(network)


@pytest.mark.parametrize("path", FLOAT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_export_has_one_stem_one_head_and_inverted_residuals_between(path: Path) -> None:
    kinds = [block.kind for block in network_of(path).blocks if block.kind != "Layer"]
    count = 6 if path.stem.startswith("fomo") else 17
    assert kinds == ["Stem", *["InvertedResidual"] * count, "Head"]


@pytest.mark.parametrize("path", NEGATIVE, ids=lambda path: path.stem)
def test_a_negative_example_is_refused_in_one_line(path: Path) -> None:
    with pytest.raises(Mbv2genError) as caught:
        network_of(path)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ")
    assert "\n" not in message
    assert "node '" in message or path.stem == "neg_truncated"


def test_flowers_with_a_thousand_classes_would_have_11_93_million_macs() -> None:
    network = network_of(DATA / "models" / "flowers_w035_r96.onnx")
    classifier = network.operators[-1]
    assert isinstance(classifier, FullyConnected)
    assert network.macs + 995 * classifier.weights.shape[1] == 11_934_128


def test_bn_kept_and_bn_folded_exports_are_one_network() -> None:
    kept = network_of(DATA / "exports" / "torch_legacy_op17_bn.onnx")
    folded = network_of(DATA / "exports" / "torch_legacy_op17_folded.onnx")
    for one, other in zip(kept.operators, folded.operators, strict=True):
        assert one.kind == other.kind
        if hasattr(one, "weights") and hasattr(other, "weights"):
            np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4, atol=1e-5 * np.abs(one.weights).max())


def test_normalisation_inside_the_graph_becomes_mean_and_std() -> None:
    entry = network_of(DATA / "exports" / "torch_legacy_uint8_nhwc_prepost.onnx").model_input
    assert (entry.layout, entry.dtype) == ("NHWC", "uint8")
    assert entry.mean == entry.std == (127.5, 127.5, 127.5)


def test_the_activation_on_the_image_stays_where_nothing_bounds_the_image() -> None:
    network = network_of(DATA / "models_found" / "ei_rubbish4_w035_r96.onnx")
    assert [operator.kind for operator in network.operators[:2]] == ["activation", "conv"]
    assert [operator.kind for operator in network.operators].count("activation") == 1
    assert [role for role, _ in network.blocks[-1].roles] == ["pointwise", "classifier", "classifier"]


def test_fused_names_of_tf2onnx_are_shortened() -> None:
    network = network_of(DATA / "models_found" / "ei_rubbish4_w035_r96.onnx")
    names = [operator.name for operator in network.operators]
    assert not any(";" in name for name in names)
    assert len(set(names)) == len(names)
