# SPDX-License-Identifier: Apache-2.0
"""Plan drawing: what the picture says against the plan's own numbers."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from mobilenets import mobilenet_v2
from network_builder import RELU6, NetworkBuilder
from planned import planned
from random_networks import TORCH, random_network

from mbv2gen.errors import Mbv2genError
from mbv2gen.plan import Plan
from mbv2gen.planning import plan_drawing
from mbv2gen.planning.occupancy import from_json, occupancy


@functools.cache
def mobilenet(mode: str) -> Plan:
    return planned(mobilenet_v2(0.1, 32, 5), mode)[0]


def draw(plan: Plan, width: int = 100, height: int = 40) -> str:
    return plan_drawing.draw(occupancy(plan), width, height)


def grid(drawing: str) -> list[str]:
    """The cells, highest addresses first."""
    return [line.split("|", 1)[1] for line in drawing.splitlines() if line[:9].strip(" ,0123456789") == "|"]


@pytest.mark.parametrize("mode", ["frame", "rows", "layer_by_layer"])
@pytest.mark.parametrize(("width", "height"), [(100, 40), (72, 30), (160, 90)])
def test_a_drawing_keeps_to_its_width_and_height(mode: str, width: int, height: int) -> None:
    lines = draw(mobilenet(mode), width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert len(grid("\n".join(lines))) >= 16


def test_forty_lines_of_a_hundred_characters_are_the_default() -> None:
    assert draw(mobilenet("frame")) == draw(mobilenet("frame"), 100, 40)


def test_the_title_names_the_arena_and_the_layer_at_the_peak() -> None:
    plan = mobilenet("frame")
    peak = int(np.argmax(plan.live_bytes))
    title = " ".join(draw(plan).split("\n")[:2])
    assert f"{plan.arena_bytes:,} B" in title
    assert f"{plan.live_bytes[peak]:,} B, at layer {peak}:" in title
    assert plan.candidates[peak].operator in title


def test_the_legend_names_every_buffer_with_bytes_rows_and_offset() -> None:
    plan = mobilenet("frame")
    lines = draw(plan, 60, 200).splitlines()
    for buffer in plan.buffers:
        (line,) = [text for text in lines if text[2:].split(" ")[0] == buffer.tensor and "of" in text]
        letter, _, size, rows, _, height, offset = line.replace(",", "").split()
        assert (int(size), int(rows), int(offset)) == (buffer.size, buffer.rows, buffer.offset)
        assert letter.islower() == (buffer.rows < int(height))


def test_buffers_that_do_not_fit_into_the_legend_are_counted() -> None:
    plan = mobilenet("frame")
    drawing = draw(plan, 100, 30)
    left_out = int(drawing.splitlines()[-1].split()[1])
    entries = sum(line.count(" of ") for line in drawing.splitlines()[6:]) - 1  # but the line that counts
    scratches = drawing.splitlines()[-20:]
    shown = entries + sum(line.count(" scratch ") for line in scratches if "upper" not in line)
    assert left_out + shown == len(plan.buffers) + len(plan.scratches)


def test_a_dying_input_is_a_staircase_with_the_output_sliding_over_it() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.conv(b.input((32, 16, 4)), "y", 4, TORCH, RELU6)
    b.block("layer", "Layer", "layer")
    cells = grid(draw(planned(b.network("one", x), "layer_by_layer")[0]))
    inputs, outputs = ([line.count(letter) for line in cells] for letter in "AB")
    assert "".join(sorted(set("".join(cells)) - {"."})) == "AB"
    # Upwards, the input lives longer from row to row, and the output begins later.
    assert inputs == sorted(inputs, reverse=True)
    assert outputs == sorted(outputs)
    assert sum(inputs) + sum(outputs) > 0.9 * sum(map(len, cells))


def test_rings_are_lower_case_whole_tensors_upper_case_and_scratch_digits() -> None:
    letters = set("".join(grid(draw(mobilenet("rows"), 160, 90)))) - {"."}
    assert any(letter.islower() for letter in letters)
    assert any(letter.isupper() for letter in letters)
    assert any(letter.isdigit() for letter in letters)
    assert not any(letter.islower() for letter in "".join(grid(draw(mobilenet("layer_by_layer")))))


def test_segments_and_their_layers_are_marked() -> None:
    plan = mobilenet("frame")
    segment, layers = (line for line in draw(plan).splitlines() if line.strip().startswith(("segment ", "layers ")))
    assert segment.count("|") == layers.count("|") == len(plan.segments)
    assert "|0" in segment
    first = plan.segments[0].steps
    assert f"|{first[0].layer}-{first[-1].layer}" in layers or len(first) == 1


def test_a_drawing_is_the_same_every_time_and_ascii_whatever_the_names() -> None:
    network = random_network(np.random.default_rng(3), size=(6, 6), blocks=1, max_channels=4)
    plan = planned(network, "frame")[0]
    assert draw(plan) == draw(plan)
    assert draw(plan).isascii()


@pytest.mark.parametrize("mode", ["frame", "rows", "keep_input"])
def test_a_drawing_from_the_report_is_that_of_the_plan(mode: str) -> None:
    document = json.loads(json.dumps(occupancy(mobilenet(mode)).as_json()))
    assert plan_drawing.draw(from_json(document)) == draw(mobilenet(mode))


@pytest.mark.parametrize("mode", ["frame", "rows", "keep_input"])
def test_what_is_alive_never_overlaps_and_is_most_at_the_peak(mode: str) -> None:
    plan = mobilenet(mode)
    occupied = occupancy(plan)
    in_place = {step.writes: step.reads[0].tensor for s in plan.segments for step in s.steps if step.in_place}
    alive = []
    for unit in range(occupied.spans[-1].end):
        owner = np.full(plan.arena_bytes, -1)
        alive.append(0)
        for number, home in enumerate(occupied.homes):
            over = [k for k, other in enumerate(occupied.homes) if other.name == in_place.get(home.name)]
            under = [k for k, other in enumerate(occupied.homes) if home.name == in_place.get(other.name)]
            for begin in home.begin[(home.first <= unit) & (unit <= home.last)]:
                bytes_ = owner[begin : begin + home.row_bytes]
                assert len(bytes_) == home.row_bytes
                assert set(bytes_.tolist()) <= {-1, *over, *under}
                bytes_[:] = number
                alive[-1] += home.row_bytes
    peak = occupied.peak
    assert alive[peak.unit] == peak.live_bytes == max(plan.live_bytes)
    assert max(alive) == peak.live_bytes
    assert any(span.start <= peak.unit < span.end for span in occupied.spans)


@pytest.mark.parametrize("broken", [None, {}, {"buffers": [{}]}, {"arena_bytes": 1, "segments": 3}])
def test_what_is_no_plan_in_a_report_is_refused(broken: object) -> None:
    with pytest.raises(Mbv2genError, match="compile again"):
        from_json(broken)
