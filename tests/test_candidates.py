# SPDX-License-Identifier: Apache-2.0
"""Candidates: the chosen kernels against all legal combinations, tried one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from network_builder import NONE, POINTWISE, RELU6, NetworkBuilder
from random_networks import TORCH, random_network

from mbv2gen.candidates import candidates, choose
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.planning.kernels import PLAIN, Candidate, Contract
from mbv2gen.planning.layouts import RowNHWC
from mbv2gen.quantized_network import QuantizedNetwork


def is_legal(network: QuantizedNetwork, combination: tuple[Candidate, ...]) -> bool:
    """Every tensor has one layout, that of its producer, and all its readers name it; the ends are canonical."""
    layouts = {name: RowNHWC() for name in network.inputs}
    for operator, candidate in zip(network.operators, combination, strict=True):
        if any(layouts[name] != candidate.input_layout for name in operator.inputs):
            return False
        layouts[operator.outputs[0]] = candidate.output_layout
    return all(layouts[name] == RowNHWC() for name in network.outputs)


def priced(rng: np.random.Generator) -> tuple[Contract, ...]:
    """The plain family, some bodies twice, each with a random price that has nothing to do with reason."""
    contracts = [*PLAIN, *(c for c in PLAIN if c.operator_kind in ("pointwise", "depthwise") and rng.random() < 0.3)]
    prices = rng.integers(1, 100, len(contracts)).tolist()
    return tuple(
        replace(c, instructions=lambda operator, network, p=p: float(p)) for c, p in zip(contracts, prices, strict=True)
    )


@pytest.mark.parametrize("seed", range(25))
def test_the_choice_costs_what_the_cheapest_of_all_legal_combinations_costs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, size=(5, 6), blocks=1 + seed % 2, max_channels=4)
    options = candidates(network, priced(rng), ranges(network))
    combinations = itertools.product(*(options[operator.name] for operator in network.operators))
    cheapest = min(sum(c.instructions for c in all_) for all_ in combinations if is_legal(network, all_))
    taken = choose(network, options)
    assert is_legal(network, taken)
    assert sum(candidate.instructions for candidate in taken) == cheapest


def test_the_random_prices_lead_to_both_layouts_of_an_expanded_tensor() -> None:
    taken = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = random_network(rng, size=(5, 6), blocks=2, max_channels=4)
        taken |= {c.contract.body for c in choose(network, candidates(network, priced(rng), ranges(network)))}
    assert {"depthwise_conv_s8", "depthwise_conv_lines_s8", "conv_1x1_s8", "conv_1x1_lines_s8"} <= taken


def separable(source_is_input: bool) -> QuantizedNetwork:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.input((5, 5, 3))
    if not source_is_input:
        x = b.conv(x, "expand", 6, POINTWISE, RELU6)
    x = b.depthwise(x, "depthwise", TORCH, RELU6)
    b.conv(x, "project", 4, POINTWISE, NONE)
    b.block("layers", "Layer", *(["layer"] * len(b.operators)))
    return b.network("separable", "project")


def test_planar_lines_are_chosen_where_the_plain_costs_say_so() -> None:
    network = separable(source_is_input=False)
    bodies = [c.contract.body for c in choose(network, candidates(network, PLAIN, ranges(network)))]
    assert bodies == ["conv_1x1_lines_s8", "depthwise_conv_lines_s8", "conv_1x1_s8"]


def test_a_depthwise_convolution_of_the_input_reads_canonical_rows() -> None:
    network = separable(source_is_input=True)
    bodies = [c.contract.body for c in choose(network, candidates(network, PLAIN, ranges(network)))]
    assert bodies == ["depthwise_conv_s8", "conv_1x1_s8"]


def without(*bodies: str) -> tuple[Contract, ...]:
    return tuple(contract for contract in PLAIN if contract.body not in bodies)


def test_an_operator_that_no_kernel_takes_is_an_error_that_names_it() -> None:
    network, family = separable(source_is_input=False), without("depthwise_conv_s8", "depthwise_conv_lines_s8")
    with pytest.raises(Mbv2genError, match=r"^separable\.onnx: node 'depthwise': no kernel takes this depthwise$"):
        candidates(network, family, ranges(network))


def test_a_layout_that_nobody_writes_is_an_error_that_names_the_reader() -> None:
    network = separable(source_is_input=True)  # the input is canonical, and the only kernel wants lines
    options = candidates(network, without("depthwise_conv_s8"), ranges(network))
    with pytest.raises(Mbv2genError, match=r"^separable\.onnx: node 'depthwise': no kernel reads its input's layout$"):
        choose(network, options)


def test_readers_that_want_different_layouts_of_one_tensor_are_an_error() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.conv(b.input((5, 5, 3)), "expand", 6, POINTWISE, RELU6)
    y = b.depthwise(x, "depthwise", TORCH, RELU6)
    b.add(x, b.conv(y, "project", 6, POINTWISE), "add")
    b.block("layers", "Layer", *(["layer"] * len(b.operators)))
    network = b.network("torn", "add")
    options = candidates(network, without("depthwise_conv_s8"), ranges(network))
    with pytest.raises(Mbv2genError, match=r"^torn\.onnx: node 'add': no kernel reads its input's layout$"):
        choose(network, options)


def test_an_output_that_no_kernel_leaves_in_canonical_rows_is_an_error() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.conv(b.input((5, 5, 3)), "expand", 6, POINTWISE, RELU6)
    b.depthwise(x, "depthwise", TORCH, RELU6)
    network = replace(b.network("lines", "depthwise"), outputs=("expand", "depthwise"))
    options = candidates(network, without("depthwise_conv_s8", "conv_1x1_s8"), ranges(network))
    with pytest.raises(Mbv2genError, match=r"^lines\.onnx: no kernels leave the outputs in canonical rows$"):
        choose(network, options)
