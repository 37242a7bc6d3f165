# SPDX-License-Identifier: Apache-2.0
"""Candidates: for each operator the kernels that could run it, and the choice of one each.

A choice is legal where every tensor has one layout: its producer writes what all its consumers read. The network's
own inputs and outputs are canonical (RowNHWC). Among the legal choices the cheapest in instructions is taken, exactly,
by dynamic programming over the layouts of the tensors that are alive between two operators.
"""

from __future__ import annotations

from mbv2gen.dsp.ranges import Ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.planning.kernels import Candidate, Contract, can_write, rows_made, wanted_layout
from mbv2gen.planning.layouts import Layout, RowNHWC
from mbv2gen.planning.objective import FAST, Style
from mbv2gen.quantized_network import QOperator, QuantizedNetwork

Price = tuple[int, float]  # kernels that the style does not prefer, instructions


def candidates(
    network: QuantizedNetwork, family: tuple[Contract, ...], known: Ranges
) -> dict[str, tuple[Candidate, ...]]:
    """Operator name -> its candidates; ``known`` is what the network's values can be.

    Raises Mbv2genError where no kernel of the family takes an operator.
    """
    wanted = _wanted_layouts(network, family)
    result = {}
    taking = {
        operator.name: [c for c in family if c.takes(operator) and c.applies(operator, network, known)]
        for operator in network.operators
    }
    for operator in network.operators:
        if not taking[operator.name]:
            raise Mbv2genError(f"{network.source.file}: node '{operator.name}': no kernel takes this {operator.kind}")
    for operator in network.operators:
        found = tuple(
            Candidate(
                operator.name,
                contract,
                input_layout,
                output_layout,
                contract.instructions(operator, network) * _times_made(operator, output_layout, network),
            )
            for contract in taking[operator.name]
            for input_layout in (wanted_layout(contract, operator, network.shape(operator.inputs[0])),)
            for output_layout in wanted[operator.outputs[0]]
            if can_write(contract, output_layout, network.shape(operator.outputs[0]))
        )
        if not found:
            raise Mbv2genError(f"{network.source.file}: node '{operator.name}': no kernel writes what its readers read")
        result[operator.name] = found
    return result


def _times_made(operator: QOperator, layout: Layout, network: QuantizedNetwork) -> float:
    """How often the rows of an operator's output are computed, on average."""
    shape = network.shape(operator.outputs[0])
    return rows_made(layout, shape) / shape[0]


def _wanted_layouts(network: QuantizedNetwork, family: tuple[Contract, ...]) -> dict[str, tuple[Layout, ...]]:
    """Tensor -> the layouts that some kernel of some consumer would read it in."""
    wanted: dict[str, list[Layout]] = {t.name: [] for t in network.tensors}
    for name in network.outputs:
        wanted[name].append(RowNHWC())
    for operator in network.operators:
        for contract in family:
            if not contract.takes(operator):
                continue
            for name in operator.inputs:
                layout = wanted_layout(contract, operator, network.shape(name))
                if layout not in wanted[name]:
                    wanted[name].append(layout)
    return {name: tuple(layouts) for name, layouts in wanted.items()}


def choose(
    network: QuantizedNetwork, options: dict[str, tuple[Candidate, ...]], style: Style = FAST
) -> tuple[Candidate, ...]:
    """The best legal candidate of every operator, in the network's order: the one of the least price in ``style``."""
    last_use = _last_uses(network)
    states: dict[frozenset[tuple[str, Layout]], tuple[Price, tuple[Candidate, ...]]] = {
        frozenset((name, RowNHWC()) for name in network.inputs): ((0, 0.0), ())
    }
    for index, operator in enumerate(network.operators):
        following: dict[frozenset[tuple[str, Layout]], tuple[Price, tuple[Candidate, ...]]] = {}
        admitted = [candidate for candidate in options[operator.name] if style.admits(candidate.contract)]
        for state, (price, chosen) in states.items():
            for candidate in admitted:
                if any((name, candidate.input_layout) not in state for name in operator.inputs):
                    continue
                grown = state | {(name, candidate.output_layout) for name in operator.outputs}
                key = frozenset(item for item in grown if last_use[item[0]] > index)
                total = price[0] + (not style.prefers(candidate.contract)), price[1] + candidate.instructions
                if key not in following or total < following[key][0]:
                    following[key] = (total, (*chosen, candidate))
        states = following
        if not states:
            raise Mbv2genError(f"{network.source.file}: node '{operator.name}': no kernel reads its input's layout")
    outputs = frozenset((name, RowNHWC()) for name in network.outputs)
    canonical = [value for key, value in states.items() if key >= outputs]
    if not canonical:
        raise Mbv2genError(f"{network.source.file}: no kernels leave the outputs in canonical rows")
    return min(canonical, key=lambda value: value[0])[1]


def _last_uses(network: QuantizedNetwork) -> dict[str, int]:
    """Tensor -> index of the last operator that reads it; outputs are read after all."""
    last = {t.name: -1 for t in network.tensors}
    operators: tuple[QOperator, ...] = network.operators
    for index, operator in enumerate(operators):
        last.update(dict.fromkeys(operator.inputs, index))
    last.update(dict.fromkeys(network.outputs, len(operators)))
    return last
