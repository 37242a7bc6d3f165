# SPDX-License-Identifier: Apache-2.0
"""Fetches: how often the weights of layers are read, against what the kernels' loops say, counted by hand."""

from __future__ import annotations

import functools

import pytest
from mobilenets import mobilenet_v2

from mbv2gen.candidates import candidates, choose
from mbv2gen.dsp.kernels import DSP
from mbv2gen.dsp.ranges import ranges
from mbv2gen.planning.fetches import readings, weights_fetched
from mbv2gen.planning.kernels import PLAIN
from mbv2gen.planning.objective import AGAIN, FAST, LEAN, SPLIT

FAMILIES = {
    "plain": (PLAIN, FAST),
    "lean": (DSP + PLAIN, LEAN),
    "fast": (DSP + PLAIN, FAST),
    "split": (DSP + PLAIN, SPLIT[1]),
    "again": (DSP + PLAIN, AGAIN),
}


@functools.cache
def counted(family: str) -> dict[str, tuple[int, int]]:
    """Of MobileNetV2 0.1 @ 96."""
    network = mobilenet_v2(0.1, 96, 5)
    contracts, style = FAMILIES[family]
    chosen = choose(network, candidates(network, contracts, ranges(network)), style)
    every = readings(network, chosen)
    assert weights_fetched(network, chosen) == sum(times * size for times, size in every.values())
    return every


@pytest.mark.parametrize(
    ("family", "operator", "times"),
    [
        ("plain", "stem_conv", 48 * 48),  # pixel by pixel
        ("plain", "block2_expand", 24 * 12),  # two pixels at a time, row by row
        ("plain", "block2_depthwise", 24),  # the nine taps stay in registers for a line
        ("plain", "classifier", 1),
        ("lean", "block2_expand", 24 * 6),  # four pixels at a time
        ("lean", "block2_project", 24 * 6),
        ("lean", "block8_expand", 6 * 2),  # rows of six pixels: four and two
        ("fast", "block8_expand", 9),  # 36 pixels of a plane, across rows
        ("fast", "block8_project", 3 * 3),  # three bands of two rows
        ("fast", "block15_expand", 3),  # nine pixels: four, four and one
        ("fast", "classifier", 1),
        ("split", "block8_expand", 9),  # those of a group of channels while its planes are made
        ("split", "block8_depthwise", 3 * 2),  # three bands of two rows, six pixels at a time
        ("split", "block8_project", 3 * 3),
        ("again", "block1_expand", (24 * 3 - 1) * 12),  # 24 windows of three rows at stride 2, one row above the plane
        ("again", "block2_expand", (24 * 3 - 2) * 6),  # at stride 1, one row above and one below
    ],
)
def test_weights_are_read_as_often_as_the_loops_say(family: str, operator: str, times: int) -> None:
    assert counted(family)[operator][0] == times
