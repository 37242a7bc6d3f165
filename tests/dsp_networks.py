# SPDX-License-Identifier: Apache-2.0
"""Networks for the tests of the ``dsp`` family, and what a caller of the packers does with each of their layers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dsp_emulation
import numpy as np
import pytest
from conftest import SHARED_DATA
from random_networks import random_network, single_layer_networks

from mbv2gen import compiler
from mbv2gen.dsp import check as dsp_check
from mbv2gen.dsp import fully_connected as dsp_fully_connected
from mbv2gen.dsp import packing as dsp_packing
from mbv2gen.dsp import partial as dsp_partial
from mbv2gen.dsp import ranges as dsp_ranges
from mbv2gen.dsp.streams import position_pairs
from mbv2gen.dsp.tiles import STEM3_PAIRS, byte_pairs, expand_pairs
from mbv2gen.quantized_network import QConv2D, QDepthwiseConv2D, QFullyConnected, QuantizedNetwork

TRAINED = {
    "flowers_w035_r96": "models/flowers_w035_r96.onnx",
    "st_flowers_w035_r128": "models_found/st_flowers_w035_r128.onnx",
}
WEIGHTED = (QConv2D, QDepthwiseConv2D, QFullyConnected)


@cache
def trained(name: str) -> QuantizedNetwork:
    """A really trained network, quantized with a few pictures."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the shared test data (../shared/data), absent here")
    pictures = np.load(SHARED_DATA / "images" / "flowers96_test_calib.npz")["x_calib"][:40:10]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "few.npz", images=pictures)
        options = compiler.Options(calibration=str(Path(folder) / "few.npz"), mean="127.5", std="127.5")
        model = SHARED_DATA / TRAINED[name]
        return compiler.quantize(model, compiler.read_network(model), options)[0]


def random_networks(count: int) -> Iterator[QuantizedNetwork]:
    for seed in range(count):
        yield random_network(np.random.default_rng(seed), name=f"random{seed}")


def edges() -> list[QuantizedNetwork]:
    return single_layer_networks()


def weighted(network: QuantizedNetwork) -> list:
    return [operator for operator in network.operators if isinstance(operator, WEIGHTED)]


def pairs_of(layer: dsp_ranges.Layer, rng: np.random.Generator):
    """A tile's order for the columns of ``layer``: one of the bodies' own, or neighbours in any order of columns."""
    k = layer.weights.shape[1]
    if k == 27:
        return STEM3_PAIRS
    if k % 4 == 0 and rng.integers(2):
        return expand_pairs(k)
    return position_pairs(rng.permutation(k)) if rng.integers(2) else byte_pairs(k)


def packings(network, operator, ranges, rng) -> Iterator[tuple[object, object, object]]:
    """(packed, run(x), check()) for every form of body that takes ``operator``, each with choices drawn at random."""
    layer = ranges.layer(operator)
    n, k = layer.weights.shape
    if isinstance(operator, QDepthwiseConv2D):
        if dsp_packing.refuses_depthwise(layer) is None:
            order = [*rng.permutation(n), *([-1] if n % 2 else [])]
            for solver in (True, False):
                p = dsp_packing.pack_depthwise(layer, order, solver=solver)
                yield (
                    p,
                    lambda x, p=p: dsp_emulation.run_depthwise(layer, p, x),
                    lambda p=p: dsp_check.check_depthwise(network, operator, ranges, p),
                )
        return
    pairs = pairs_of(layer, rng)
    if dsp_packing.refuses_relu(layer) is None:
        for unpacked, solver, head in ((False, True, 2), (k < 16, k < 16, 4)):
            p = dsp_packing.pack_relu(layer, pairs, unpacked=unpacked, solver=solver, head=head)
            yield (
                p,
                lambda x, p=p: dsp_emulation.run_relu(layer, p, x),
                lambda p=p: dsp_check.check_relu(network, operator, ranges, p),
            )
    if dsp_packing.refuses_linear(layer) is None:
        for offset in (0, 128):
            p = dsp_packing.pack_linear(layer, pairs, offset=offset)
            yield (
                p,
                lambda x, p=p, offset=offset: dsp_emulation.run_linear(layer, p, x, offset),
                lambda p=p, offset=offset: dsp_check.check_linear(network, operator, ranges, p, offset=offset),
            )
    columns = rng.permutation(k)
    size = int(rng.integers(1, 5)) * 8
    if isinstance(operator, QConv2D) and n > 1 and dsp_partial.refuses_partial(layer, size) is None:
        groups = [position_pairs(columns[first : first + size]) for first in range(0, k, size)]
        p = dsp_partial.pack_partial(layer, groups)
        yield (
            p,
            lambda x, p=p: dsp_emulation.run_partial(p, x),
            lambda p=p: dsp_check.check_partial(network, operator, ranges, p),
        )
    if isinstance(operator, QFullyConnected) and dsp_fully_connected.refuses_fully_connected(layer, columns) is None:
        p = dsp_fully_connected.pack_fully_connected(layer, columns)
        yield (
            p,
            lambda x, p=p: dsp_emulation.run_fully_connected(layer, p, x),
            lambda p=p: dsp_check.check_fully_connected(network, operator, ranges, p),
        )
