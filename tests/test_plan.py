# SPDX-License-Identifier: Apache-2.0
"""Plan: random networks in every mode, executed on a tagged arena and compared in every row; bytes of MobileNetV2."""

from __future__ import annotations

import numpy as np
import pytest
from mobilenets import mobilenet_v2
from planned import MODES, chosen, planned, rows_that_differ
from random_networks import random_images, random_network, single_layer_networks

from mbv2gen import program_interpreter
from mbv2gen.plan import Plan, plan
from mbv2gen.planning.schedule import FEED
from mbv2gen.program import Program
from mbv2gen.quantized_network import QuantizedNetwork

LAYERS = {network.name: network for network in single_layer_networks()}


def check(network: QuantizedNetwork, mode: str, rng: np.random.Generator) -> tuple[Plan, Program]:
    made, complete = planned(network, mode)
    arena = program_interpreter.check_arena(complete)
    assert arena.high_water <= made.arena_bytes
    x = random_images(rng, network.shape(network.inputs[0]), 1)[0]
    assert rows_that_differ(complete, x) == []
    assert made.arena_bytes >= least_bytes(network, made)
    return made, complete


def least_bytes(network: QuantizedNetwork, made: Plan) -> int:
    """What no arena can do without: each layer's input row(s) and the row it makes (in place: once), and the output;
    in frame mode the whole input."""
    buffers = {b.tensor: b for b in made.buffers}
    least = max(buffers[network.outputs[0]].size, 0 if made.feed == "rows" else buffers[network.inputs[0]].size)
    for segment in made.segments:
        for step in segment.steps:
            if step.layer == FEED:
                continue
            reads = step.reads[:1] if step.in_place else step.reads
            rows_read = {(r.tensor, r.span, r.height) for r in reads}
            read = sum(buffers[name].row_bytes * min(span, h) for name, span, h in rows_read)
            least = max(least, read + (0 if step.in_place else buffers[step.writes].row_bytes))
    return least


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_run_as_planned_and_equal_the_reference_in_every_row(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    size = (int(rng.integers(5, 15)), int(rng.integers(5, 15)))
    network = random_network(rng, size=size, max_channels=8, blocks=int(rng.integers(1, 3)))
    check(network, list(MODES)[seed % len(MODES)], rng)


@pytest.mark.prove
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("block", range(20))
def test_many_more_random_networks_equal_the_reference(block: int, mode: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng([2, block, seed])
        check(random_network(rng, max_channels=16, blocks=int(rng.integers(1, 8))), mode, rng)


@pytest.mark.prove
@pytest.mark.parametrize("padding", ["torch", "same"])
@pytest.mark.parametrize(("width", "resolution"), [(0.1, 33), (0.1, 96), (0.35, 96), (0.35, 128), (0.5, 64)])
@pytest.mark.parametrize("mode", ["frame", "rows"])
def test_mobilenets_equal_the_reference(width: float, resolution: int, padding: str, mode: str) -> None:
    check(mobilenet_v2(width, resolution, 10, padding=padding), mode, np.random.default_rng(0))


@pytest.mark.parametrize("mode", ["frame", "rows"])
@pytest.mark.parametrize("name", LAYERS)
def test_single_layers_at_the_edges_equal_the_reference(name: str, mode: str) -> None:
    check(LAYERS[name], mode, np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(6))
def test_fusing_never_costs_bytes_and_keeping_the_input_never_saves_any(seed: int) -> None:
    network = random_network(np.random.default_rng([4, seed]), size=(9, 8), max_channels=8, blocks=1)
    sizes = {mode: planned(network, mode)[0].arena_bytes for mode in MODES}
    assert sizes["frame"] <= sizes["layer_by_layer"]
    assert sizes["frame"] <= sizes["keep_input"]
    assert sizes["rows"] <= sizes["rows_layer_by_layer"]


@pytest.mark.parametrize("seed", range(5))
def test_keep_input_leaves_the_input_as_it_was(seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    network = random_network(rng, size=(9, 8), max_channels=8, blocks=1)
    _, complete = planned(network, "keep_input")
    arena = program_interpreter.check_arena(complete)
    for row in range(network.shape("input")[0]):
        arena.read(arena.row(complete.input, row), "input", row, "the caller, afterwards,")


def test_the_frame_and_its_output_are_whole_and_canonical() -> None:
    network = random_network(np.random.default_rng(6), size=(7, 7), max_channels=6, blocks=1)
    made, _ = planned(network, "frame")
    for name in ("input", network.outputs[0]):
        h, w, c = network.shape(name)
        buffer = made.buffer(name)
        assert (buffer.rows, buffer.row_bytes, buffer.size) == (h, w * c, h * w * c)


def test_pushed_rows_stand_in_a_ring_and_the_frame_never_exists() -> None:
    network = mobilenet_v2(0.1, 48, 5)
    made, _ = planned(network, "rows")
    assert made.buffer("input").rows == 3  # the stem's window
    assert made.segments[0].steps[0].layer == FEED


def test_segments_hold_every_layer_once_in_order() -> None:
    network = random_network(np.random.default_rng(7), size=(7, 7), max_channels=6, blocks=1)
    for mode in MODES:
        made, complete = planned(network, mode)
        layers = [s.layer for segment in made.segments for s in segment.steps if s.layer != FEED]
        assert layers == list(range(len(network.operators)))
        assert [layer for first, end in complete.segments for layer in range(first, end)] == layers


def test_a_plan_is_the_same_every_time() -> None:
    network = random_network(np.random.default_rng(8), size=(7, 7), max_channels=6, blocks=1)
    first, second = plan(network, chosen(network)), plan(network, chosen(network))
    assert (first.buffers, first.scratches, first.arena_bytes) == (second.buffers, second.scratches, second.arena_bytes)


@pytest.mark.parametrize(("mode", "most"), [("frame", 31_000), ("rows", 18_300)])
@pytest.mark.parametrize("padding", ["torch", "same"])
def test_mobilenet_v2_035_at_96_needs_no_more_than_the_simple_plan(mode: str, most: int, padding: str) -> None:
    made, complete = planned(mobilenet_v2(0.35, 96, padding=padding), mode)
    program_interpreter.check_arena(complete)
    assert made.arena_bytes <= most
    assert made.arena_bytes >= {"frame": 27_648, "rows": 8_832}[mode]  # the image; the minimum cut


@pytest.mark.prove
@pytest.mark.parametrize(
    ("width", "resolution", "mode", "most"),
    [
        (0.35, 128, "frame", 53_500),
        (0.35, 128, "rows", 26_100),
        (0.35, 144, "frame", 67_500),
        (0.35, 144, "rows", 30_700),
        (0.35, 160, "frame", 83_000),
        (0.35, 160, "rows", 35_300),
        (1.0, 96, "rows", 42_000),
        (1.0, 224, "frame", 209_000),
        (1.0, 224, "rows", 138_000),
    ],
)
def test_larger_mobilenets_need_no_more_than_the_simple_plan(
    width: float, resolution: int, mode: str, most: int
) -> None:
    assert planned(mobilenet_v2(width, resolution), mode)[0].arena_bytes <= most
