# SPDX-License-Identifier: Apache-2.0
"""Page: report.html, one file that needs no network, made of what report.json holds and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from mbv2gen import __version__, resources, targets
from mbv2gen.errors import Mbv2genError
from mbv2gen.hardware import boards
from mbv2gen.hardware.board import Board
from mbv2gen.planning import occupancy
from mbv2gen.report import Report
from mbv2gen.report_page import scale
from mbv2gen.report_page.accuracy_view import AccuracyView, accuracy_view
from mbv2gen.report_page.arena_view import ArenaView, arena_view
from mbv2gen.report_page.layers_view import LayersView, layers_view, shape
from mbv2gen.report_page.memory_view import MemoryView, memory_views

TEMPLATE = "report/page.html.j2"


@dataclass(frozen=True)
class Tile:
    """A figure in large print; ``note`` below it, ``tone``: good, open (not measured) or nothing."""

    title: str
    value: str
    unit: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class Fact:
    title: str
    value: str


@dataclass(frozen=True)
class Rows:
    """What a pushed row sets off: ``lines`` are (what, mean, at most, behind the last)."""

    lines: tuple[tuple[str, str, str, str], ...]
    rate: float | None


@dataclass(frozen=True)
class Page:
    """All that stands on the page; None for what is not known, and the page then says how to measure it."""

    name: str
    file: str
    target: str
    board: Board | None
    command: str
    version: str
    tiles: tuple[Tile, ...]
    facts: tuple[Fact, ...]
    memories: tuple[MemoryView, ...]
    layers: LayersView
    arena: ArenaView
    rows: Rows | None
    accuracy: AccuracyView | None
    accuracy_facts: tuple[Fact, ...]
    worst: tuple[tuple[str, ...], ...]
    noise_facts: tuple[Fact, ...]
    devices: tuple[Fact, ...]
    instructions: int | None


def page(report: Report) -> str:
    """The page as HTML; Mbv2genError where ``report`` is none of this version's."""
    try:
        content = _page(report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"{type(error).__name__}: {error}"
        raise Mbv2genError(f"report.json: is no report of this version ({said}); compile again") from None
    return _environment().get_template(TEMPLATE).render(page=content)


def board_of(report: Mapping[str, Any]) -> Board | None:
    """That with whose memories the network is compared: the one that was named, else the target's emulated one."""
    name = report["board"] or targets.find(report["target"]).board
    return None if name is None else boards.load(name)


def _page(report: Report) -> Page:
    accuracy, analysis, board = report["accuracy"], report["analysis"], board_of(report)
    memories = memory_views(report, board)
    return Page(
        name=report["name"],
        file=report["model"]["file"],
        target=report["target"],
        board=board,
        command=report["command"],
        version=__version__,
        tiles=_tiles(report, memories),
        facts=_facts(report),
        memories=memories,
        layers=layers_view(report["layers"], analysis),
        arena=arena_view(occupancy.from_json(report["plan"])),
        rows=_rows(report["rows"]),
        accuracy=None if accuracy is None else accuracy_view(accuracy),
        accuracy_facts=() if accuracy is None else _accuracy_facts(accuracy),
        worst=() if accuracy is None else tuple(_worst(one) for one in accuracy["worst"]),
        noise_facts=() if analysis is None else _noise_facts(analysis),
        devices=tuple(_device(board, counted, report["macs"]) for board, counted in report["devices"].items()),
        instructions=report["instructions"],
    )


def _tiles(report: Report, memories: tuple[MemoryView, MemoryView]) -> tuple[Tile, ...]:
    ram, flash = memories
    top = (report["accuracy"] or {}).get("top1") or {}
    counted, macs = report["instructions"], report["macs"]
    parts = " + ".join(part.name for part in ram.parts)
    again = f", {scale.short(report['macs_again'])} again to save memory" if report.get("macs_again") else ""
    rest = f"without {' and '.join(flash.missing)}" if flash.missing else "all of it"
    tiles = [
        Tile("RAM", f"{ram.used:,}", "B", parts),
        Tile("Flash", f"{flash.used:,}", "B", rest),
        Tile("Work", scale.short(macs), "MAC", f"{len(report['layers'])} layers{again}"),
    ]
    if counted is None:
        estimated = sum(layer["instructions_estimated"] for layer in report["layers"])
        tiles.append(Tile("Instructions", scale.short(estimated), "", "estimated, not counted", "open"))
    else:
        ratio = f", {counted / macs:.2f} per MAC" if macs else ""
        tiles.append(Tile("Instructions", scale.short(counted), "", f"counted in QEMU{ratio}"))
    if top.get("int8") is None:
        tiles.append(Tile("Accuracy", "\u2013", "", "not measured", "open"))
    else:
        note = "top-1 in int8" + ("" if top["float"] is None else f"; {100 * top['float']:.2f} % in float")
        tiles.append(Tile("Accuracy", f"{100 * top['int8']:.2f}", "%", note))
    return tuple(tiles)


def _facts(report: Report) -> tuple[Fact, ...]:
    model, limit = report["model"], report["arena_limit"]
    aim = report["optimize"] + ("" if limit is None else f", in {limit:,} B at most")
    return (
        Fact("model", f"{model['file']}, {model['producer'] or 'unknown producer'}, opset {model['opset']}"),
        Fact("SHA-256", model["sha256"]),
        Fact("input", f"int8 {_tensor(report['input'])}; {'row by row' if report['feed'] == 'rows' else 'a frame'}"),
        Fact("output", f"int8 {_tensor(report['output'])}"),
        Fact("plan", f"{aim}, {len(report['plan']['segments'])} segments, {report['plan']['units']:,} units of work"),
    )


def _tensor(tensor: Mapping[str, Any]) -> str:
    return f"{shape(tensor['shape'])}, real = {tensor['scale']:.6g} \u00d7 (q \u2212 {tensor['zero_point']})".replace(
        "\u2212 -", "+ "
    )


def _rows(rows: Mapping[str, Any] | None) -> Rows | None:
    if rows is None:
        return None
    names = {"macs": "MAC", "instructions_estimated": "instructions, estimated", "instructions": "instructions (QEMU)"}
    lines = [
        (title, *(f"{rows[key][figure]:,.0f}" for figure in ("mean", "worst", "last")))
        for key, title in names.items()
        if rows[key] is not None
    ]
    return Rows(tuple((line[0], line[1], line[2], line[3]) for line in lines), rows["greatest_rate_per_mhz"])


def _accuracy_facts(accuracy: Mapping[str, Any]) -> tuple[Fact, ...]:
    c = accuracy["c"]
    facts = [Fact("pictures", f"{accuracy['images']:,} of {accuracy['source']}")]
    if accuracy["agreement"] is not None:
        interval = accuracy["agreement_interval"]
        between = "" if interval is None else f" (95 %: {100 * interval[0]:.2f} to {100 * interval[1]:.2f} %)"
        facts.append(Fact("int8 chooses as float", f"{100 * accuracy['agreement']:.2f} %{between}"))
    if accuracy["snr_db"] is not None:
        facts.append(Fact("signal to noise of the logits", f"{accuracy['snr_db']:.1f} dB"))
    if c is not None and c["equal"] is not None:
        where = c["board"] or c["on"]
        facts.append(Fact("C equals NumPy in every byte", f"{c['equal']:,} of {accuracy['images']:,}, on {where}"))
    if accuracy["note"]:
        facts.append(Fact("note", accuracy["note"]))
    return tuple(facts)


def _worst(one: Mapping[str, Any]) -> tuple[str, ...]:
    ratio = "\u2013" if one["snr_db"] is None else f"{one['snr_db']:.1f}"
    return (one["image"], ratio, *("\u2013" if one[key] is None else one[key] for key in ("class", "float", "int8")))


def _noise_facts(analysis: Mapping[str, Any]) -> tuple[Fact, ...]:
    ratio = "without loss" if analysis["snr_db"] is None else f"{analysis['snr_db']:.1f} dB"
    return (
        Fact("signal to noise of the output", f"{ratio}, on {analysis['images']:,} pictures of {analysis['source']}"),
        Fact("hurts most", analysis["worst"] or "no layer"),
    )


def _device(board: str, counted: Mapping[str, Any], macs: int) -> Fact:
    """What a board at a serial line has counted."""
    whole, stack, ratio = counted.get("whole"), counted.get("stack_bytes"), ""
    if whole is not None and macs:
        ratio = f", {whole / macs:.2f} per MAC"
    said = [] if whole is None else [f"{whole:,} {counted['unit']}{ratio}"]
    said += [] if stack is None else [f"{stack:,} B of stack"]
    return Fact(board, "; ".join([*said, f"arena up to byte {counted['touched_arena_bytes']:,}"]))


@functools.cache
def _environment() -> Environment:
    environment = resources.environment(resources.templates_dir(), autoescape=True)
    environment.filters |= {
        "thousands": lambda value: f"{value:,.0f}",
        "share": lambda value: f"{100 * value:.4g}%",
        "percent": lambda value: "\u2013" if value is None else f"{100 * value:.2f} %",
        "fill": lambda value: f"{100 * value:.3g} %",
        "decibels": lambda value: "\u2013" if value is None else f"{value:.1f}",
        "ratio": lambda value: "\u2013" if value is None else f"{value:.2f}",
        "height": lambda value: f"{value:.4g}",
    }
    return environment
