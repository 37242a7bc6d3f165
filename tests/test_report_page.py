# SPDX-License-Identifier: Apache-2.0
"""report.html: its figures are report.json's, its drawing is the plan's, no name breaks out, and it stands alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from browser import browser, needs_chromium
from command_line import assert_refused, command
from PIL import Image
from small_models import CLASSES, save_pixels, save_small_model, small_model

import mbv2gen
from mbv2gen.output_folder import open_folder
from mbv2gen.planning.occupancy import from_json
from mbv2gen.report_page import page, scale
from mbv2gen.report_page.accuracy_view import MOST_CLASSES
from mbv2gen.report_page.arena_view import BEFORE, arena_view

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as View

Capture = pytest.CaptureFixture[str]
Report = dict[str, Any]
HOW_TO_MEASURE = ("mbv2gen profile OUT", "mbv2gen evaluate OUT", "mbv2gen analyze ")


class Elements(HTMLParser):
    """Counts of elements, all attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text += data


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, mbv2gen.Result]:
    """The small model by feed, written."""
    folder = tmp_path_factory.mktemp("page")
    model, data = save_small_model(folder), save_pixels(folder)
    frame = mbv2gen.compile(model, calibration=data, preprocess="tf", effort=0, output=folder / "frame")
    rows = mbv2gen.compile(model, calibration=data, preprocess="tf", effort=0, feed="rows", output=folder / "rows")
    return {"frame": frame, "rows": rows}


@pytest.fixture(params=["frame", "rows"])
def compiled(request: pytest.FixtureRequest, results: dict[str, mbv2gen.Result]) -> mbv2gen.Result:
    return results[request.param]


@pytest.fixture(scope="module")
def fed(results: dict[str, mbv2gen.Result]) -> mbv2gen.Result:
    return results["rows"]


def measured(report: Report) -> Report:
    """As evaluate, profile and analyze leave it; the figures are made up and differ from each other."""
    layers = [{**layer, "instructions": 1000 + n} for n, layer in enumerate(report["layers"])]
    noise = [
        {"name": layer["name"], "snr_db": 30.25 - n, "alone_db": None if n == 1 else 50.75 + n}
        for n, layer in enumerate(layers)
    ]
    classes = [{"class": f"kind {n}", "images": 4, "float": 0.75, "int8": 0.5} for n in range(CLASSES)]
    accuracy = {
        "source": "test", "images": 4321, "cells": 1, "top1": {"float": 0.9123, "int8": 0.8765, "c": 0.8765},
        "top5": None, "agreement": 0.9511, "agreement_interval": [0.91, 0.98], "snr_db": 27.5, "snr_mean_db": 1.0,
        "snr_median_db": 1.0, "classes": classes, "skipped": [], "note": None,
        "confusion": {f"kind {n}": {f"kind {n}": 2, f"kind {(n + 1) % CLASSES}": 2} for n in range(CLASSES)},
        "worst": [{"image": "rose.png", "snr_db": 3.5, "class": "kind 1", "float": "kind 1", "int8": "kind 2"}],
        "c": {"on": "qemu", "board": "mps2-an500", "equal": 4320},
    }  # fmt: skip
    return {
        **report,
        "layers": layers,
        "instructions": 7654321,
        "ram": {**report["ram"], "static_bytes": 0, "stack_bytes": 223},
        "flash": {**report["flash"], "descriptions_bytes": 777, "code_bytes": 9876},
        "analysis": {
            "source": "c", "images": 9, "effort": 0, "snr_db": 25.5, "worst": layers[2]["name"], "layers": noise,
        },
        "accuracy": accuracy,
        "profile": {"board": "mps2-an500", "counted_by": "QEMU"},
        "devices": {"nucleo-f446re": {"unit": "cycles", "whole": 5_432_109, "touched_arena_bytes": 901}},
    }  # fmt: skip


def points(path: str) -> list[list[tuple[float, float]]]:
    """The corners of an SVG path of M, H, V, h, v and z."""
    shapes: list[list[tuple[float, float]]] = []
    x = y = 0.0
    for letter, numbers in re.findall(r"([MHVhvz])([-\d. ]*)", path):
        values = [float(number) for number in numbers.split()]
        if letter == "M":
            x, y = values
            shapes.append([])
        elif letter in "Hh":
            x = values[0] + (x if letter == "h" else 0)
        elif letter in "Vv":
            y = values[0] + (y if letter == "v" else 0)
        if letter != "z":
            shapes[-1].append((x, y))
    return shapes


def area(shape: list[tuple[float, float]]) -> float:
    """Of a polygon, by the shoelace formula."""
    x, y = np.array(shape).T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def height_at(shape: list[tuple[float, float]], x: float) -> float:
    """Of a polygon whose edges are upright or level: its extent on the line at ``x``."""
    levels = sorted(a[1] for a, b in zip(shape, shape[1:] + shape[:1], strict=True) if (a[0] < x) != (b[0] < x))
    return sum(high - low for low, high in zip(levels[::2], levels[1::2], strict=True))


def test_the_drawings_areas_are_bytes_times_units_and_its_height_the_bytes_alive(
    compiled: mbv2gen.Result,
) -> None:
    occupied = from_json(compiled.report["plan"])
    drawn = arena_view(occupied)
    assert len(drawn.buffers) == len(occupied.homes) > 10
    for home, buffer in zip(occupied.homes, drawn.buffers, strict=True):
        wanted = home.row_bytes * int((home.last - home.first + 1).sum())
        assert sum(map(area, points(buffer.path))) == wanted, buffer
        corners = np.array([corner for shape in points(buffer.path) for corner in shape])
        assert corners.min() >= 0
        assert (corners.max(axis=0) <= (drawn.width, drawn.height)).all()
    at = drawn.peak_left * drawn.width
    assert at == pytest.approx(occupied.peak.unit + BEFORE + 0.5)
    shapes = [shape for buffer in drawn.buffers for shape in points(buffer.path)]
    unit = occupied.peak.unit
    alive = sum(home.row_bytes * int(((home.first <= unit) & (unit <= home.last)).sum()) for home in occupied.homes)
    assert sum(height_at(shape, at) for shape in shapes) == alive > 0


def test_a_bare_compile_shows_what_it_knows_and_how_to_measure_the_rest(compiled: mbv2gen.Result) -> None:
    assert compiled.folder is not None
    text = (compiled.folder.path / "report.html").read_text(encoding="utf-8")
    shown, report = Elements(text), compiled.report
    for figure in (
        report["ram"]["arena_bytes"],
        report["flash"]["weights_bytes"],
        report["plan"]["peak"]["live_bytes"],
    ):
        assert f"{figure:,} B" in shown.text
    for layer in report["layers"]:
        assert layer["name"] in shown.text
    assert all(how in shown.text for how in HOW_TO_MEASURE)
    assert report["command"] in shown.text
    assert report["command"] in (compiled.folder.path / "small.h").read_text(encoding="utf-8").replace("\n *", "")
    assert "estimated" in shown.text
    assert ("Row by row" in shown.text) == (report["feed"] == "rows")
    assert shown.attributes.count(("role", "option")) == len(report["plan"]["buffers"])


def test_what_was_measured_is_shown_and_no_longer_asked_for(compiled: mbv2gen.Result) -> None:
    report = measured(compiled.report)
    shown = Elements(page.page(report))
    assert not any(how in shown.text for how in HOW_TO_MEASURE)
    used = report["ram"]["arena_bytes"] + 223
    for words in ("7.65 M", "91.23 %", "87.65", "95.11 %", "27.5 dB", "4,320 of 4,321, on mps2-an500", "rose.png",
                  f"{used:,} B of 4,194,304 B", "9,876 B", "25.5 dB", "kind 4",
                  "5,432,109 cycles"):  # fmt: skip
        assert words in shown.text, words
    assert all(f"{layer['instructions']:,}" in shown.text for layer in report["layers"])
    assert "estimated" not in shown.text.replace("instructions, estimated", "")
    assert [attribute for attribute in shown.attributes if attribute == ("class", "alone worst")]


def test_the_page_asks_no_network_and_says_so(fed: mbv2gen.Result) -> None:
    text = page.page(measured(fed.report))
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|@import|src=|<link", text)


def test_the_same_report_makes_the_same_page(fed: mbv2gen.Result) -> None:
    again = json.loads(json.dumps(measured(fed.report)))
    assert page.page(again) == page.page(measured(fed.report))
    assert fed.files["report.html"] == page.page(fed.report).encode()


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp"


def test_names_cannot_break_out(tmp_path: Path) -> None:
    model = small_model()
    for node in model.graph.node:
        node.name = f"{HOSTILE} {node.name}"
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    report = measured(mbv2gen.compile(tmp_path / "small.onnx", preprocess="tf", effort=0).report)
    assert any(HOSTILE in layer["name"] for layer in report["layers"])
    report["accuracy"]["worst"][0]["image"] = HOSTILE
    report["accuracy"]["source"] = report["accuracy"]["note"] = HOSTILE
    shown = Elements(page.page(report))
    assert shown.tags.count("script") == 1
    assert "img" not in shown.tags
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count(HOSTILE) >= len(report["layers"]) + 3


def test_many_classes_are_the_worst_of_them(fed: mbv2gen.Result) -> None:
    report = measured(fed.report)
    count = MOST_CLASSES + 6
    report["accuracy"]["classes"] = [
        {"class": f"kind {n}", "images": 4, "float": 1.0, "int8": n / count} for n in range(count)
    ]
    report["accuracy"]["confusion"] = {f"kind {n}": {f"kind {n + 1}": 3, f"kind {n}": 1} for n in range(count)}
    shown = Elements(page.page(report))
    assert f"The worst of {count} classes" in shown.text
    assert "kind 1 3" in shown.text
    assert f"kind {count - 1}" not in shown.text


@pytest.mark.parametrize("key", ["plan", "layers", "ram", "command", "board", "input"])
def test_a_report_of_another_version_is_refused_in_one_line(fed: mbv2gen.Result, key: str) -> None:
    report = {name: value for name, value in fed.report.items() if name != key}
    with pytest.raises(mbv2gen.Mbv2genError, match=r"report\.json: .*compile again") as refused:
        page.page(report)
    assert "\n" not in str(refused.value)


def test_the_page_follows_the_report_unless_it_was_thrown_away(fed: mbv2gen.Result, tmp_path: Path) -> None:
    folder = fed.write(tmp_path / "out").folder
    assert folder is not None
    folder.write_report(measured(folder.report()))
    assert "7.65 M" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "out" / "report.html").unlink()
    folder.write_report(fed.report)
    assert not (tmp_path / "out" / "report.html").exists()


def test_report_writes_the_page_again_and_remembers_a_board(
    fed: mbv2gen.Result, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    fed.write(out)
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert command(capsys, "report", out).code == 0
    assert (out / "report.html").read_bytes() == before
    ended = command(capsys, "report", out, "--board", "nucleo-f446re", "--json")
    assert json.loads(ended.out) == {"page": str(out / "report.html"), "board": "nucleo-f446re"}
    assert open_folder(out).report()["board"] == "nucleo-f446re"
    assert "of 131,072 B" in Elements((out / "report.html").read_text(encoding="utf-8")).text
    assert_refused(command(capsys, "report", out, "--board", "abacus"), "abacus")
    (out / "report.json").write_text("{}")
    assert_refused(command(capsys, "report", out), "report.json", "compile again")


def test_what_does_not_fit_the_board_is_said(fed: mbv2gen.Result) -> None:
    report = measured({**fed.report, "board": "microbit"})
    report["ram"] = {**report["ram"], "arena_bytes": 20_000}
    assert "it does not fit" in Elements(page.page(report)).text


def test_a_host_program_has_no_board(tmp_path: Path) -> None:
    result = mbv2gen.compile(save_small_model(tmp_path), target="host", preprocess="tf", effort=0)
    assert "no board to compare with" in Elements(page.page(result.report)).text


@pytest.mark.parametrize("top", [1, 7, 99, 1000, 6640, 31_248, 262_144, 205_232])
@pytest.mark.parametrize("most", [5, 8])
def test_ticks_are_few_and_round_and_on_the_axis(top: int, most: int) -> None:
    marks = scale.ticks(top, most)
    values = [int(mark.label.replace(",", "")) for mark in marks]
    assert values[0] == 0
    assert 2 <= len(marks) <= most + 1
    assert values[-1] <= top
    assert str(values[1]).rstrip("0") in ("1", "2", "5")
    np.testing.assert_allclose([mark.place for mark in marks], np.array(values) / top)


@pytest.fixture(scope="module")
def engine() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def full_page(fed: mbv2gen.Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With everything measured, long names included."""
    report = measured(fed.report)
    report["plan"]["peak"]["operator"] = "/features/features.2/conv/conv.0/" * 3
    path = tmp_path_factory.mktemp("full") / "report.html"
    path.write_text(page.page(report), encoding="utf-8")
    return path


@contextmanager
def opened(engine: Browser, path: Path, size: tuple[int, int], scheme: Literal["light", "dark"]) -> Iterator[View]:
    """The page in a window; whatever the console says fails the test."""
    context = engine.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    view, said = context.new_page(), []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
    view.goto(path.as_uri(), timeout=180_000)  # a busy machine
    yield view
    context.close()
    assert said == []


def luminance(colour: str) -> float:
    """Of rgb(r, g, b), by WCAG 2."""
    parts = np.array([int(value) / 255 for value in re.findall(r"\d+", colour)[:3]])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


COLOURS = """selector => [getComputedStyle(document.querySelector(selector)).color,
                          getComputedStyle(document.body).backgroundColor]"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (360, 740)], ids=["desktop", "phone"])
def test_a_browser_shows_every_part_without_a_word_on_the_console(
    engine: Browser, full_page: Path, *, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    with opened(engine, full_page, size, scheme) as view:
        assert view.evaluate("document.documentElement.scrollWidth") == size[0]  # nothing sticks out
        parts = ("h1", ".tile", ".stack i", ".block .bars i", "#layers .silhouette", "#noise-plot .snr",
                 "#field path", ".peak", ".segments span", "td.right", "td.wrong", "#made code")  # fmt: skip
        for part in parts:
            assert view.locator(part).first.is_visible(), part
        for selector in ("body", ".fine", ".note", ".axis span"):
            light, dark = sorted((luminance(colour) for colour in view.evaluate(COLOURS, selector)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, selector
        is_light = luminance(view.evaluate(COLOURS, "body")[1]) > 0.5
        assert is_light == (scheme == "light")
        field = Image.open(BytesIO(view.locator("#field").screenshot()))
        assert len(field.convert("RGB").getcolors(1 << 20) or []) > 5


@needs_chromium
def test_arrow_keys_walk_through_buffers_and_layers(engine: Browser, full_page: Path, fed: mbv2gen.Result) -> None:
    buffers, layers = fed.report["plan"]["buffers"], fed.report["layers"]
    with opened(engine, full_page, (1280, 900), "light") as view:
        view.locator("#field").focus()
        assert buffers[0]["name"] in (view.locator("#arena-readout").text_content() or "")
        view.keyboard.press("End")
        assert f"{buffers[-1]['bytes']:,} B" in (view.locator("#arena-readout").text_content() or "")
        assert view.locator("#field path[aria-selected=true]").count() == 1
        view.locator("#layers").focus()
        for _ in range(3):
            view.keyboard.press("ArrowRight")
        said = view.locator("#layer-readout").text_content() or ""
        assert layers[3]["name"] in said
        assert f"MAC {layers[3]['macs']:,}" in said
        assert view.locator("#layers").get_attribute("aria-valuenow") == "3"


@needs_chromium
def test_pointing_shows_what_lies_there(engine: Browser, full_page: Path, fed: mbv2gen.Result) -> None:
    layers = fed.report["layers"]
    with opened(engine, full_page, (1280, 900), "light") as view:
        view.locator("#field path").first.hover(force=True, position={"x": 1, "y": 1})
        view.locator("#layers .plot").first.hover(position={"x": 2, "y": 40})
        assert layers[0]["name"] in (view.locator("#layer-readout").text_content() or "")


@needs_chromium
def test_paper_shows_what_is_folded(engine: Browser, full_page: Path) -> None:
    with opened(engine, full_page, (1280, 900), "dark") as view:
        view.emulate_media(media="print")
        assert view.locator(".readout").first.is_hidden()
        view.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert view.locator("#layer-table").is_visible()
        assert luminance(view.evaluate(COLOURS, "body")[1]) > 0.9
        assert view.pdf(format="A4").startswith(b"%PDF")
