# SPDX-License-Identifier: Apache-2.0
"""Trade-offs: plans by objective against all ways tried one by one; each plan executed on the tagged arena."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from mobilenets import mobilenet_v2
from planned import rows_that_differ
from random_networks import random_images, random_network

from mbv2gen import program_interpreter
from mbv2gen.candidates import candidates, choose
from mbv2gen.dsp.kernels import DSP
from mbv2gen.dsp.ranges import ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.planning.cuts import Pieces, piece_items
from mbv2gen.planning.kernels import PLAIN, Contract, per_mac
from mbv2gen.planning.objective import COMPACT, FAST, LEAN, OBJECTIVES, RAM, SIZE, SPEED, TIGHT, objective
from mbv2gen.planning.placement import place
from mbv2gen.planning.timeline import Problem
from mbv2gen.planning.trade_offs import Options, front, plan_for
from mbv2gen.program import program
from mbv2gen.quantized_network import QuantizedNetwork

SEEDS = range(3)
FEEDS = ("frame", "rows")


def trading(rng: np.random.Generator) -> tuple[Contract, ...]:
    """The plain family with each convolution on rows three times: as it is, special and wide, ever faster in ever more
    memory (scratch that nothing uses)."""
    family = [c for c in PLAIN if "lines" not in c.body]
    for contract in [c for c in family if c.operator_kind in ("pointwise", "depthwise")]:
        family.remove(contract)
        for k, price in enumerate(sorted(rng.integers(10, 100, 3).tolist(), reverse=True)):
            size = int(rng.integers(0, 30)) * 8 * k
            made = replace(contract, instructions=per_mac(price, 0), scratch_bytes=lambda o, n, size=size: size)
            family.append(replace(made, special=k == 1, wide=k == 2))
    return tuple(family)


def case(seed: int, blocks: int = 1) -> tuple[QuantizedNetwork, Options]:
    rng = np.random.default_rng([20, seed])
    network = random_network(rng, size=(7, 8), max_channels=8, blocks=blocks)
    return network, candidates(network, trading(rng), ranges(network))


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_lazy_search_finds_what_trying_every_way_finds(seed: int, feed: str) -> None:
    network, options = case(seed)
    kits = tuple(
        Problem.of(network, choose(network, options, style), feed=feed, keep_input=False)
        for style in (FAST, LEAN, COMPACT)
    )
    marks = [k for k in range(len(kits[0].steps) + 1) if k not in inside_blocks(kits[0])]
    bytes_of, cost_of = {}, {}
    for (a, b), kit in itertools.product(itertools.combinations(marks, 2), range(3)):
        bytes_of[a, b, kit] = place(piece_items(kits[kit], a, b))[1]
        cost_of[a, b, kit] = sum(round(c.instructions) for c in kits[kit].kernels(a, b))
    ways = []
    for inner in itertools.chain(*(itertools.combinations(marks[1:-1], n) for n in range(len(marks) - 1))):
        spans = list(itertools.pairwise((0, *inner, marks[-1])))
        for taken in itertools.product(range(3), repeat=len(spans)):
            pieces = [(*span, kit) for span, kit in zip(spans, taken, strict=True)]
            ways.append((max(bytes_of[p] for p in pieces), sum(cost_of[p] for p in pieces)))

    pieces = Pieces(kits)
    assert pieces.least_peak(range(3)) == min(ways)[0]
    for limit in sorted({peak for peak, _ in ways}):
        path = pieces.fastest(range(3), limit)
        assert sum(cost_of[p.first, p.end, p.kit] for p in path) == min(cost for peak, cost in ways if peak <= limit)
        assert all(bytes_of[p.first, p.end, p.kit] <= limit for p in path)
        assert [(a.end, b.first) for a, b in itertools.pairwise(path)] == [(a.end, a.end) for a in path[:-1]]
    assert pieces.fastest(range(3), min(ways)[0] - 1) == ()


def inside_blocks(problem: Problem) -> set[int]:
    """Steps at which no segment may begin: the second of a pushed input, and those within a block."""
    names = [step.operator for step in problem.steps]
    blocks = [b for b in problem.network.blocks if b.kind in ("InvertedResidual", "SeparableConv")]
    starts = {min(names.index(name) for _, name in block.roles) for block in blocks}
    return {names.index(name) for block in blocks for _, name in block.roles} - starts | (
        {1} if problem.is_fed else set()
    )


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_plans_of_every_objective_equal_the_reference_and_keep_their_promise(seed: int, feed: str) -> None:
    network, options = case(seed)
    plans = {name: plan_for(network, options, objective(name, None), feed=feed) for name in OBJECTIVES}
    assert plans["ram"].arena_bytes <= plans["balanced"].arena_bytes
    assert plans["speed"].instructions == sum(round(c.instructions) for c in choose(network, options, FAST))
    assert plans["speed"].instructions <= plans["balanced"].instructions <= plans["size"].instructions
    assert not any(c.contract.wide or c.contract.special for c in plans["size"].candidates)
    x = random_images(np.random.default_rng(seed), network.shape(network.inputs[0]), 1)[0]
    for made in plans.values():
        complete = program(network, made, "host", ranges(network))
        program_interpreter.check_arena(complete)
        assert rows_that_differ(complete, x) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_front_falls_from_the_fastest_to_the_least_and_every_limit_gives_a_plan_of_it(seed: int) -> None:
    network, options = case(seed)
    plans = front(network, options)
    assert all(a.arena_bytes > b.arena_bytes and a.instructions < b.instructions for a, b in itertools.pairwise(plans))
    assert plans[0].instructions == plan_for(network, options, SPEED).instructions
    assert plans[-1].arena_bytes == plan_for(network, options, RAM).arena_bytes
    for made in (plans[0], plans[len(plans) // 2], plans[-1]):
        within = plan_for(network, options, objective(None, made.arena_bytes))
        assert within.arena_bytes <= made.arena_bytes
        assert within.instructions <= made.instructions * 1.01


def test_the_seeds_give_fronts_of_several_plans_with_pieces_in_several_styles() -> None:
    fronts = [front(*case(seed)) for seed in SEEDS]
    assert max(map(len, fronts)) >= 2
    styles = [{(c.contract.special, c.contract.wide) for c in made.candidates} for plans in fronts for made in plans]
    assert any(len(style) >= 3 for style in styles)


@pytest.mark.parametrize("optimize", [None, "ram", "size"])
def test_a_limit_that_nothing_meets_is_refused_with_the_least_there_is(optimize: str | None) -> None:
    network, options = case(0)
    with pytest.raises(Mbv2genError) as refused:
        plan_for(network, options, objective(optimize, 64), keep_input=True)
    said = [int(number.replace(",", "")) for number in re.findall(r"([0-9,]+) B", str(refused.value))]
    whole = plan_for(network, options, SIZE if optimize == "size" else RAM, keep_input=True).arena_bytes
    assert said[0] == whole
    assert sorted(said, reverse=True) == said
    assert plan_for(network, options, objective(optimize, whole), keep_input=True).arena_bytes <= whole


@pytest.fixture(scope="module")
def tight_options() -> tuple[QuantizedNetwork, Options]:
    """A small MobileNetV2 with the kernels of a Cortex-M7."""
    network = mobilenet_v2(0.35, 48, 5)
    return network, candidates(network, DSP + PLAIN, ranges(network))


def test_tight_kernels_stand_where_they_lower_the_arena_and_nowhere_else(
    tight_options: tuple[QuantizedNetwork, Options],
) -> None:
    (network, options), feed = tight_options, "rows"
    plans = {name: plan_for(network, options, objective(name, None), feed=feed) for name in OBJECTIVES}
    tight = {name: {c.operator for c in made.candidates if c.contract.tight} for name, made in plans.items()}
    assert not tight["balanced"] | tight["speed"] | tight["size"]
    assert tight["ram"]
    assert plans["ram"].arena_bytes < 0.9 * plans["balanced"].arena_bytes
    between = (plans["ram"].arena_bytes + plans["balanced"].arena_bytes) // 2
    made = plan_for(network, options, objective(None, between), feed=feed)
    assert made.arena_bytes <= between
    assert plans["balanced"].instructions < made.instructions <= plans["ram"].instructions
    for each in (made, plans["ram"]):
        program_interpreter.check_arena(program(network, each, "cortex-m7", ranges(network)))


def test_single_blocks_of_a_piece_take_faster_kernels_where_it_still_fits(
    tight_options: tuple[QuantizedNetwork, Options],
) -> None:
    network, options = tight_options
    chosen = [choose(network, options, style) for style in (FAST, TIGHT)]
    kits = tuple(Problem.of(network, kernels, feed="rows", keep_input=False) for kernels in chosen)
    pieces = Pieces(kits)
    least, most = pieces.least_peak([0, 1]), pieces.least_peak([0])
    saved = []
    for limit in np.linspace(least, most - 1, 4).astype(int).tolist():
        path = pieces.fastest([0, 1], limit)
        better = pieces.relaxed(path, [0, 1], limit)
        mixed = kits[0].with_kernels(pieces.kernels(better))
        assert [(p.first, p.end) for p in better] == [(p.first, p.end) for p in path]
        assert all(place(piece_items(mixed, p.first, p.end), goal=limit)[1] <= limit for p in better)
        before, after = (sum(round(c.instructions) for c in pieces.kernels(way)) for way in (path, better))
        saved.append(before - after)
    assert min(saved) >= 0
    assert max(saved) > 0
