# SPDX-License-Identifier: Apache-2.0
"""Fit: what it says fits is what compile --board takes, and the next larger one is not; estimates keep near."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import assert_refused, command

from mbv2gen import compiler
from mbv2gen import fit as fitting
from mbv2gen.compiler import Options
from mbv2gen.errors import Mbv2genError
from mbv2gen.estimate_cache import EstimateCache
from mbv2gen.fit import Wish, estimate, fit, largest
from mbv2gen.hardware import boards
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.board_fit import check_fits
from mbv2gen.program import Program
from mbv2gen.seeded_mobilenet import mobilenet_v2

Capture = pytest.CaptureFixture[str]
MICROBIT = boards.load("microbit")


def compiled(wish: Wish) -> Program:
    network = mobilenet_v2(wish.width, wish.resolution, wish.classes)
    return compiler.plan_program(network, Options(target=wish.target, feed=wish.feed))


def does_fit(wish: Wish, board: Board) -> bool:
    try:
        check_fits(compiled(wish), board)
    except Mbv2genError:
        return False
    return True


@pytest.mark.parametrize(("target", "feed"), [("cortex-m0", "rows"), ("cortex-m7", "frame")])
def test_an_estimate_is_near_what_compile_makes(target: str, feed: str) -> None:
    """The arena is the very one; weights and parameters are within 2 % (code is counted by linking, in docs)."""
    wish = Wish(0.1, 48, 7, target, feed)
    made, program = estimate(wish), compiled(wish)
    assert made.arena_bytes == program.arena_bytes
    layers = len(program.network.operators)
    tables = made.flash_bytes - fitting.CODE_BYTES - layers * fitting.LAYER_BYTES
    assert tables == pytest.approx(program.weights_bytes + program.parameters_bytes, rel=0.02)
    assert made.macs == program.network.macs
    assert (made.rows_per_mhz is None) == (feed == "frame")


def test_the_largest_that_fits_does_and_the_next_does_not(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fits = fit(
        MICROBIT, target="cortex-m0", classes=10, feed="frame", widths=(0.35, 0.1), resolutions=(96, 48, 32, 64),
        cache=EstimateCache(tmp_path), tell=lambda *now: told.append(now),
    )  # fmt: skip
    small, wide = fits
    assert (small.width, wide.width) == (0.1, 0.35)
    assert small.best is not None
    assert does_fit(small.best.wish, MICROBIT)
    assert small.next_resolution is not None
    assert (small.limit, does_fit(replace(small.best.wish, resolution=small.next_resolution), MICROBIT)) == (
        "RAM",
        False,
    )
    assert (wide.best, wide.limit) == (None, "flash")
    assert largest(fits) == small.best
    assert told[-1] == (2, 2)


def test_what_was_planned_is_not_planned_again(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = ("fit", "--board", "mps2-an500", "--width", "0.1", "--resolution", "32", "--json")
    first = command(capsys, *words)
    assert first.code == 0, first.err
    found = json.loads(first.out)
    assert found["largest"]["wish"] == {
        "width": 0.1, "resolution": 32, "classes": 10, "target": "cortex-m7", "feed": "frame"
    }  # fmt: skip
    assert found["widths"][0]["limit"] is None
    monkeypatch.setattr(fitting, "estimate", lambda wish: pytest.fail("planned again"))
    assert json.loads(command(capsys, *words).out) == found
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_cache_that_cannot_be_read_or_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = EstimateCache(tmp_path / "file")
    cache.put("a", {"b": 1})
    assert cache.get("a") == {"b": 1}
    good = EstimateCache(tmp_path / "folder")
    good.put("a", {"b": 2})
    next((tmp_path / "folder").iterdir()).write_text("no JSON")
    assert EstimateCache(tmp_path / "folder").get("a") is None


def test_what_cannot_be_asked_is_told(capsys: Capture) -> None:
    assert_refused(command(capsys, "fit", "--board", "arduino"), "there is no board 'arduino'")
    assert_refused(command(capsys, "fit", "--board", "microbit", "--target", "cortex-m7"), "has a cortex-m0")
    assert_refused(command(capsys, "fit", "--board", "microbit", "--resolution", "16"), "32<=x<=512")
