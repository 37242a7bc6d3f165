# SPDX-License-Identifier: Apache-2.0
"""Blocks: operators grouped as the paper draws them, whatever their widths."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_models import Builder, build, lowered

from mbv2gen.network import Network


def inverted_residual(g: Builder, x: str, c_in: int, c_out: int, *, factor: int, stride: int, add: bool) -> str:
    y, wide = x, c_in * factor
    if factor != 1:
        y = g.relu6(g.conv(y, c_in, wide))
    y = g.relu6(g.conv(y, wide, wide, kernel=3, group=wide, pads=[1, 1, 1, 1], strides=[stride, stride]))
    y = g.conv(y, wide, c_out)
    return g("Add", x, y) if add else y


def separable(g: Builder, x: str, c_in: int, c_out: int) -> str:
    y = g("Relu", g.conv(x, c_in, c_in, kernel=3, group=c_in, pads=[1, 1, 1, 1]))
    return g("Relu", g.conv(y, c_in, c_out))


def classifier(g: Builder, x: str, c_in: int) -> str:
    y = g("GlobalAveragePool", g.relu6(g.conv(x, c_in, 7)))
    return g("Gemm", g("Flatten", y), g.random(7, 5), g.random(5))


def kinds(network: Network) -> list[str]:
    return [block.kind for block in network.blocks]


def roles(network: Network) -> list[list[str]]:
    return [[role for role, _ in block.roles] for block in network.blocks]


def assert_each_operator_is_in_one_block_in_order(network: Network) -> None:
    listed = [name for block in network.blocks for _, name in block.roles]
    assert listed == [operator.name for operator in network.operators]
    assert len({block.name for block in network.blocks}) == len(network.blocks)


def test_mobilenet_v2_is_stem_inverted_residuals_and_head(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = g.relu6(g.conv(x, 3, 4, kernel=3, strides=[2, 2], pads=[1, 1, 1, 1]))
        y = inverted_residual(g, y, 4, 2, factor=1, stride=1, add=False)
        y = inverted_residual(g, y, 2, 3, factor=6, stride=2, add=False)
        y = inverted_residual(g, y, 3, 3, factor=6, stride=1, add=True)
        return classifier(g, y, 3)

    network = lowered(build(body, shape=(1, 3, 16, 16)), tmp_path)
    assert kinds(network) == ["Stem", "InvertedResidual", "InvertedResidual", "InvertedResidual", "Head"]
    assert roles(network) == [
        ["conv"],
        ["depthwise", "project"],
        ["expand", "depthwise", "project"],
        ["expand", "depthwise", "project", "residual"],
        ["pointwise", "pool", "classifier"],
    ]
    assert_each_operator_is_in_one_block_in_order(network)


def test_mobilenet_v1_is_stem_separable_convolutions_and_head(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = g("Relu", g.conv(x, 3, 4, kernel=3))
        y = separable(g, separable(g, y, 4, 6), 6, 9)
        return g("Gemm", g("Flatten", g("GlobalAveragePool", y)), g.random(9, 5))

    network = lowered(build(body), tmp_path)
    assert kinds(network) == ["Stem", "SeparableConv", "SeparableConv", "Head"]
    assert roles(network)[1:] == [["depthwise", "pointwise"], ["depthwise", "pointwise"], ["pool", "classifier"]]


def test_a_convolutional_head_is_a_head(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = inverted_residual(g, g.relu6(g.conv(x, 3, 4, kernel=3)), 4, 4, factor=2, stride=1, add=True)
        return g.conv(g("Relu", g.conv(g.relu6(g.conv(y, 4, 9)), 9, 6)), 6, 2)

    network = lowered(build(body), tmp_path)
    assert kinds(network) == ["Stem", "InvertedResidual", "Head"]
    assert roles(network)[-1] == ["pointwise", "classifier", "classifier"]


def test_an_addition_of_something_else_is_no_residual(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        stem = g.relu6(g.conv(x, 3, 4, kernel=3))
        y = inverted_residual(g, stem, 4, 4, factor=2, stride=1, add=False)
        z = inverted_residual(g, y, 4, 4, factor=2, stride=1, add=False)
        return classifier(g, g("Add", stem, z), 4)

    network = lowered(build(body), tmp_path)
    assert kinds(network) == ["Stem", "InvertedResidual", "InvertedResidual", "Layer", "Head"]
    assert roles(network)[2] == ["expand", "depthwise", "project"]


def test_an_expansion_that_two_read_is_no_inverted_residual(tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        wide = g.relu6(g.conv(g.relu6(g.conv(x, 3, 4, kernel=3)), 4, 6))
        y = g.relu6(g.conv(wide, 6, 6, kernel=3, group=6, pads=[1, 1, 1, 1]))
        return g("Add", g.conv(y, 6, 6), wide)

    network = lowered(build(body), tmp_path)
    assert kinds(network)[:2] == ["Stem", "Layer"]
    assert_each_operator_is_in_one_block_in_order(network)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(2, 9), st.sampled_from([1, 2, 6]), st.booleans()), min_size=1, max_size=4),
    stem=st.integers(2, 9),
)
def test_blocks_do_not_depend_on_widths_or_factors(
    steps: list[tuple[int, int, bool]], stem: int, tmp_path: Path
) -> None:
    def body(g: Builder, x: str) -> str:
        y, channels = g.relu6(g.conv(x, 3, stem, kernel=3, pads=[1, 1, 1, 1])), stem
        for width, factor, same in steps:
            c_out = channels if same else width
            y = inverted_residual(g, y, channels, c_out, factor=factor, stride=1, add=same)
            channels = c_out
        return classifier(g, y, channels)

    network = lowered(build(body), tmp_path)
    assert kinds(network) == ["Stem", *["InvertedResidual"] * len(steps), "Head"]
    assert [("expand" in block, "residual" in block) for block in roles(network)[1:-1]] == [
        (factor != 1, same) for _, factor, same in steps
    ]
    assert_each_operator_is_in_one_block_in_order(network)


@pytest.mark.parametrize("activation", ["Relu", "Identity"])
def test_the_activation_of_the_second_pointwise_tells_separable_from_inverted(activation: str, tmp_path: Path) -> None:
    def body(g: Builder, x: str) -> str:
        y = g.relu6(g.conv(x, 3, 4, kernel=3))
        y = g.relu6(g.conv(y, 4, 4, kernel=3, group=4, pads=[1, 1, 1, 1]))
        return classifier(g, g(activation, g.conv(y, 4, 3)), 3)

    expected = "SeparableConv" if activation == "Relu" else "InvertedResidual"
    assert kinds(lowered(build(body), tmp_path)) == ["Stem", expected, "Head"]
