# SPDX-License-Identifier: Apache-2.0
"""Placement: byte by byte against a grid of (byte, time), and hand cases drawn as address x time.

In the drawings time runs to the right, one character a tick, and addresses upwards, one line a row of bytes; a letter
is an item's live row, '.' is free.
"""

from __future__ import annotations

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbv2gen.planning import placement
from mbv2gen.planning.placement import ALIGN, Item, place


def item(name: str, rows: list[tuple[int, int, int, int]], over: str | None = None, size: int | None = None) -> Item:
    """Rows are (begin, end, first, last): bytes [begin, end) alive from first to last, both inclusive."""
    begin, end, first, last = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Item(name, size or int(end.max()), begin, end, first, last, over)


def tensor(name: str, row: int, times: list[tuple[int, int]], over: str | None = None) -> Item:
    """One row of ``row`` bytes after the other, alive from ... to."""
    return item(name, [(r * row, r * row + row, first, last) for r, (first, last) in enumerate(times)], over)


def collisions(items: tuple[Item, ...], offsets: dict[str, int]) -> list[str]:
    """Bytes that two rows of different items hold at one time: the O(n^2) way, byte by byte and tick by tick.

    Row i of an item that may lie ``over`` another shares with row i of that, where it lies exactly on it, the tick of
    its last read.
    """
    found = []
    for a in items:
        for b in items:
            if a.name >= b.name:
                continue
            for i in range(len(a.begin)):
                for j in range(len(b.begin)):
                    bytes_a = range(offsets[a.name] + int(a.begin[i]), offsets[a.name] + int(a.end[i]))
                    bytes_b = range(offsets[b.name] + int(b.begin[j]), offsets[b.name] + int(b.end[j]))
                    ticks = set(range(int(a.first[i]), int(a.last[i]) + 1))
                    ticks &= set(range(int(b.first[j]), int(b.last[j]) + 1))
                    if a.over == b.name and i == j and bytes_a == bytes_b and b.last[j] == a.first[i]:
                        ticks.discard(int(a.first[i]))
                    if b.over == a.name and i == j and bytes_a == bytes_b and a.last[i] == b.first[j]:
                        ticks.discard(int(b.first[j]))
                    if ticks and set(bytes_a) & set(bytes_b):
                        found.append(f"row {i} of {a.name} and row {j} of {b.name} at {min(ticks)}")
    return found


def live_bytes(items: tuple[Item, ...]) -> int:
    """The most bytes alive in one tick, in-place rows not taken off."""
    last = max(int(i.last.max()) for i in items)
    return max(
        sum(int((i.end - i.begin)[(i.first <= t) & (t <= i.last)].sum()) for i in items) for t in range(last + 1)
    )


@st.composite
def random_items(draw: st.DrawFn) -> tuple[Item, ...]:
    """Whole tensors, rings, scratches with gaps, some of them over another item's dying rows."""
    items: list[Item] = []
    for index in range(draw(st.integers(1, 6))):
        over = draw(st.sampled_from([None, *items]))
        alike = over is not None and draw(st.booleans())  # element by element; else columns onto rows, or the other way
        row = int(over.end[0] - over.begin[0]) if over and alike else draw(st.integers(1, 20))
        count = draw(st.integers(1, 5))
        ring = draw(st.integers(1, count))
        start = draw(st.integers(0, 12))
        firsts = np.cumsum([start, *(draw(st.integers(1, 4)) for _ in range(count - 1))]).tolist()
        # the row that comes after it in its slot of the ring begins later than it ends
        ends = [*firsts[ring:], *[firsts[-1] + 5] * ring]
        lasts = [draw(st.integers(first, max(first, end - 1))) for first, end in zip(firsts, ends, strict=False)]
        slots = [r % ring * row for r in range(count)]
        rows = [(slot, slot + row, f, e) for slot, f, e in zip(slots, firsts, lasts, strict=True)]
        items.append(item(f"item{index}", rows, over.name if over else None, size=ring * row))
    return tuple(items)


@given(random_items(), st.sampled_from([1, 4, 8, 16]))
def test_no_two_rows_alive_at_one_time_share_a_byte(items: tuple[Item, ...], alignment: int) -> None:
    offsets, size = place(items, alignment)
    assert collisions(items, offsets) == []
    assert set(offsets) == {i.name for i in items}
    assert all(offset % alignment == 0 and offset >= 0 for offset in offsets.values())
    assert all(offsets[i.name] + i.size <= size for i in items)


@given(random_items(), st.sampled_from([0, placement.FEW_PAIRS]))
def test_just_those_distances_are_forbidden_at_which_bytes_collide(items: tuple[Item, ...], few_pairs: int) -> None:
    """Whether ranges are looked at pair by pair or run by run."""
    if len(items) < 2:
        return
    a, b = items[:2]
    with patch.object(placement, "FEW_PAIRS", few_pairs):
        found = placement._conflicts((a, b)).get((0, 1), placement._Distances())
    for distance in range(-b.size - 1, a.size + 2):
        forbidden = ((found.low <= distance) & (distance <= found.high)).any()
        assert forbidden == bool(collisions((a, b), {a.name: 0, b.name: distance}))


@given(random_items())
def test_the_arena_is_never_larger_than_without_sharing_nor_smaller_than_what_is_alive(items: tuple[Item, ...]) -> None:
    _, size = place(items)
    apart = sum(-(-i.size // ALIGN) * ALIGN for i in items)
    assert size <= apart
    if not any(i.over for i in items):
        assert size >= live_bytes(items)


@given(random_items())
def test_the_same_items_have_the_same_places(items: tuple[Item, ...]) -> None:
    assert place(items) == place(items)


@given(random_items(), st.integers(1, 300))
def test_a_goal_only_ends_the_search_earlier(items: tuple[Item, ...], goal: int) -> None:
    offsets, size = place(items, goal=goal)
    assert collisions(items, offsets) == []
    assert size >= place(items)[1] or size <= goal


def test_no_items_need_no_bytes() -> None:
    assert place(()) == ({}, 0)


def test_items_that_are_never_alive_together_share_all_their_bytes() -> None:
    #   8 | aabb
    #   0 | aabb
    items = (item("a", [(0, 16, 0, 1)]), item("b", [(0, 16, 2, 3)]))
    assert place(items) == ({"a": 0, "b": 0}, 16)


def test_items_that_meet_in_one_tick_share_none() -> None:
    #   8 | .bb        a is read in the tick in which b is written: both need their bytes
    #   0 | aa.
    items = (item("a", [(0, 8, 0, 1)]), item("b", [(0, 8, 1, 2)]))
    offsets, size = place(items)
    assert (size, sorted(offsets.values())) == (16, [0, 8])


def test_an_output_slides_over_dying_input_by_exactly_one_row() -> None:
    #  24 | aaaa.      unit t reads row t of a and writes row t of b; b's first row needs one row of its own,
    #  16 | aaab       every other one takes the row of a that died a tick before
    #   8 | aabb
    #   0 | abbb
    #  -8 | bbbb
    a = tensor("a", 8, [(-1, 0), (-1, 1), (-1, 2), (-1, 3)])
    b = tensor("b", 8, [(0, 4), (1, 4), (2, 4), (3, 4)])
    offsets, size = place((a, b))
    assert size == 5 * 8
    assert offsets["a"] - offsets["b"] == 8


def test_an_element_wise_output_lies_exactly_on_its_input() -> None:
    #  24 | aaab       the same, but each row of b may be written onto the very row it is made of
    #  16 | aabb
    #   8 | abbb
    #   0 | bbbb
    a = tensor("a", 8, [(-1, 0), (-1, 1), (-1, 2), (-1, 3)])
    b = tensor("b", 8, [(0, 4), (1, 4), (2, 4), (3, 4)], over="a")
    assert place((a, b)) == ({"a": 0, "b": 0}, 4 * 8)


def test_a_row_is_not_written_onto_another_than_its_own_that_dies_at_the_same_time() -> None:
    #  b's first row is made of a's first, which is read once more; a's second dies just as b's first is made
    a = tensor("a", 8, [(-1, 1), (-1, 0)])
    b = tensor("b", 8, [(0, 4), (1, 4)], over="a")
    offsets, size = place((a, b))
    assert collisions((a, b), offsets) == []
    assert size == 32


def test_columns_do_not_lie_on_the_end_of_the_row_they_are_made_of() -> None:
    #  a row of a becomes two columns of b at once: the second may not begin where the row begins
    a = tensor("a", 16, [(-1, 0), (-1, 1)])
    b = tensor("b", 8, [(0, 4), (0, 4), (1, 4), (1, 4)], over="a")
    offsets, size = place((a, b))
    assert collisions((a, b), offsets) == []
    assert size == 48


def test_columns_that_a_unit_makes_of_columns_lie_each_on_its_own() -> None:
    #  two columns of a become two of b at once: b may lie on a, but its first column not on a's second
    a = tensor("a", 8, [(-1, 0), (-1, 0)])
    b = tensor("b", 8, [(0, 4), (0, 4)], over="a")
    free = [shift for shift in range(-16, 17, 8) if collisions((a, b), {"a": 0, "b": shift}) == []]
    assert free == [-16, 0, 16]
    forbidden = placement._conflicts((a, b))[0, 1]
    allowed = [
        s
        for s in range(-16, 17, 8)
        if not any(low <= s <= high for low, high in zip(forbidden.low, forbidden.high, strict=True))
    ]
    assert allowed == free


def test_a_row_that_is_read_again_later_is_not_overwritten_in_place() -> None:
    #   8 | bbb        b is written onto a element by element at 0, but a is read once more at 1 (a residual)
    #   0 | aa.
    a, b = tensor("a", 8, [(-1, 1)]), tensor("b", 8, [(0, 2)], over="a")
    assert place((a, b))[1] == 16


def test_an_output_of_larger_rows_waits_for_enough_dead_input() -> None:
    #  unit t reads row t of a (8 bytes) and writes row t of b (16 bytes): all of b and the rest of a
    a = tensor("a", 8, [(-1, t) for t in range(4)])
    b = tensor("b", 16, [(t, 4) for t in range(4)])
    offsets, size = place((a, b))
    assert collisions((a, b), offsets) == []
    assert size == 64 + 8  # at t = 3: row 3 of a and four rows of b


def test_a_ring_lies_in_input_that_is_dead_by_then() -> None:
    #  24 | aaaaaa     ring r (two slots) is first written when the first two rows of a are dead
    #  16 | aaaa..
    #   8 | aa.r.r
    #   0 | a.r.r.
    a = tensor("a", 8, [(-1, 0), (-1, 1), (-1, 3), (-1, 5)])
    r = item("r", [(0, 8, 2, 2), (8, 16, 3, 3), (0, 8, 4, 4), (8, 16, 5, 5)])
    assert place((a, r)) == ({"a": 0, "r": 0}, 32)


@pytest.mark.parametrize("sizes", [[32, 8, 24, 16], [8, 8, 8], [40, 40, 8, 40], [8, 16, 24, 32, 40]])
def test_simple_chains_reach_the_bytes_alive(sizes: list[int]) -> None:
    #  each tensor is whole and alive from the tick that writes it to the one that reads it:  aa
    #                                                                                         .bb
    #                                                                                         ..cc
    items = tuple(item(f"t{t}", [(0, size, t, t + 1)]) for t, size in enumerate(sizes))
    offsets, size = place(items)
    assert collisions(items, offsets) == []
    assert size == max(a + b for a, b in itertools.pairwise(sizes))


def test_each_layer_of_a_row_by_row_chain_slides_one_row_further() -> None:
    #  80 | aaaa.....    unit t reads row t and writes row t: b begins one row below a, c one row below b, and no
    #  64 | aaab....     less will do, since c's first row is written while all of b is alive
    #  48 | aabbbb...
    #  32 | abbbbb.c.
    #  16 | bbbbb.cc.
    #   0 | ....ccccc
    rows = range(4)
    a = tensor("a", 16, [(-1, t) for t in rows])
    b = tensor("b", 16, [(t, 4 + t) for t in rows])
    c = tensor("c", 16, [(4 + t, 8) for t in rows])
    assert place((a, b, c)) == ({"a": 32, "b": 16, "c": 0}, 6 * 16)


def test_sizes_that_are_no_multiples_are_rounded_up_between_items_not_behind_the_last() -> None:
    items = (item("a", [(0, 5, 0, 1)]), item("b", [(0, 5, 0, 1)]))
    offsets, size = place(items, alignment=8)
    assert sorted(offsets.values()) == [0, 8]
    assert size in (13, 16)
