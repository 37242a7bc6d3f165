# SPDX-License-Identifier: Apache-2.0
"""LayersView: all layers as columns of equal width: channels, resolution, instructions, live bytes, noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mbv2gen.report_page.scale import short

TITLES = {
    "conv": "convolution",
    "pointwise": "1\u00d71 convolution",
    "depthwise": "depthwise",
    "add": "residual addition",
    "mean": "mean over the picture",
    "fully_connected": "fully connected",
    "activation": "activation",
}
MOST_DB = 80.0  # noise below this is as good as none


@dataclass(frozen=True)
class Layer:
    """One column. ``tall``, ``work``, ``live``: heights, 0 .. 1; ``snr``, ``alone``: heights in decibels, None where
    nothing is lost or nothing was measured."""

    number: int
    name: str
    op: str
    title: str
    block: str
    input_shape: str
    output_shape: str
    macs: int
    weights_bytes: int
    live_bytes: int
    instructions: int | None
    per_mac: float | None
    kernel: str
    snr_db: float | None
    alone_db: float | None
    tall: float
    work: float
    live: float
    snr: float | None
    alone: float | None


@dataclass(frozen=True)
class Stretch:
    """Neighbouring layers with something in common: a block, or a resolution. ``left``, ``width``: of all layers."""

    label: str
    text: str
    left: float
    width: float

    @property
    def short(self) -> str:
        return self.label.removeprefix("block_")


@dataclass(frozen=True)
class Block:
    """A block of the paper's: ``bars`` are (operator, share of the widest) in order."""

    name: str
    kind: str
    input_shape: str
    output_shape: str
    macs: int
    weights_bytes: int
    bars: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class LayersView:
    """``is_counted``: instructions are QEMU's, else estimates. ``arcs``: residuals as SVG paths over the columns."""

    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...]
    block_spans: tuple[Stretch, ...]
    sizes: tuple[Stretch, ...]
    ops: tuple[tuple[str, str], ...]
    arcs: tuple[str, ...]
    is_counted: bool
    most_instructions: str
    most_live: str
    most_channels: int
    most_db: int
    has_noise: bool
    snr_line: str
    worst: Layer | None


def layers_view(layers: Sequence[Mapping[str, Any]], analysis: Mapping[str, Any] | None) -> LayersView:
    noise = {} if analysis is None else {one["name"]: one for one in analysis["layers"]}
    is_counted = all(layer["instructions"] is not None for layer in layers)
    channels = max(layer["output_shape"][2] for layer in layers)
    work = [layer["instructions" if is_counted else "instructions_estimated"] for layer in layers]
    live = max(layer["live_bytes"] for layer in layers)
    decibels = [noise[layer["name"]] for layer in layers if layer["name"] in noise]
    known = [one[key] for one in decibels for key in ("snr_db", "alone_db") if one[key] is not None]
    top = 10 * math.ceil(min(max(known, default=10.0), MOST_DB) / 10)
    columns = tuple(
        _layer(number, layer, noise.get(layer["name"]), count, (channels, max(work), live, top))
        for number, (layer, count) in enumerate(zip(layers, work, strict=True))
    )
    worst = None if analysis is None else next((one for one in columns if one.name == analysis["worst"]), None)
    present = {layer.op for layer in columns}
    return LayersView(
        layers=columns,
        blocks=tuple(_block(list(group)) for _, group in groupby(layers, key=lambda layer: layer["block"])),
        block_spans=_stretches([layer.block for layer in columns], "block"),
        sizes=_stretches([shape(layer["output_shape"][:2]) for layer in layers], "rows \u00d7 columns"),
        ops=tuple((op, title) for op, title in TITLES.items() if op in present),
        arcs=tuple(_arcs(layers)),
        is_counted=is_counted,
        most_instructions=short(max(work)),
        most_live=short(live),
        most_channels=channels,
        most_db=top,
        has_noise=bool(known),
        snr_line=_line([layer.snr for layer in columns]),
        worst=worst,
    )


def shape(sizes: Sequence[int]) -> str:
    return "\u00d7".join(map(str, sizes))


def _layer(
    number: int,
    layer: Mapping[str, Any],
    noise: Mapping[str, Any] | None,
    count: int,
    tops: tuple[int, int, int, int],
) -> Layer:
    channels, work, live, db = tops
    snr_db, alone_db = (None, None) if noise is None else (noise["snr_db"], noise["alone_db"])
    return Layer(
        number=number,
        name=layer["name"],
        op=layer["op"],
        title=TITLES.get(layer["op"], layer["op"]),
        block=layer["block"],
        input_shape=shape(layer["input_shape"]),
        output_shape=shape(layer["output_shape"]),
        macs=layer["macs"],
        weights_bytes=layer["weights_bytes"],
        live_bytes=layer["live_bytes"],
        instructions=count,
        per_mac=count / layer["macs"] if layer["macs"] else None,
        kernel=layer["kernel"],
        snr_db=snr_db,
        alone_db=alone_db,
        tall=math.sqrt(layer["output_shape"][2] / channels),
        work=count / max(work, 1),
        live=layer["live_bytes"] / max(live, 1),
        snr=None if snr_db is None else min(snr_db, db) / db,
        alone=None if alone_db is None else min(alone_db, db) / db,
    )


def _stretches(labels: Sequence[str], what: str) -> tuple[Stretch, ...]:
    found, left = [], 0
    for label, group in groupby(labels):
        count = len(list(group))
        found.append(Stretch(label, f"{what} {label}", left / len(labels), count / len(labels)))
        left += count
    return tuple(found)


def _block(layers: Sequence[Mapping[str, Any]]) -> Block:
    widest = max(layer["output_shape"][2] for layer in layers)
    ops = tuple(dict.fromkeys(layer["op"] for layer in layers))
    return Block(
        name=layers[0]["block"],
        kind="inverted residual" if {"depthwise", "pointwise"} <= set(ops) else ", ".join(TITLES[op] for op in ops),
        input_shape=shape(layers[0]["input_shape"]),
        output_shape=shape(layers[-1]["output_shape"]),
        macs=sum(layer["macs"] for layer in layers),
        weights_bytes=sum(layer["weights_bytes"] for layer in layers),
        bars=tuple((layer["op"], layer["output_shape"][2] / widest) for layer in layers),
    )


def _arcs(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """From the layer that made the older input of an addition to the addition; y from 0 to 1, 0 is the top."""
    arcs = []
    for number, layer in enumerate(layers):
        sources = [source for source in layer["inputs"] if source is not None]
        if layer["op"] == "add" and sources:
            start, end = min(sources) + 0.5, number + 0.5
            arcs.append(f"M{start:g} 1C{start:g} -0.3 {end:g} -0.3 {end:g} 1")
    return arcs


def _line(heights: Sequence[float | None]) -> str:
    """Through the middles of the columns that have a height; y from 0, the top, to 1."""
    points = [(number + 0.5, 1 - height) for number, height in enumerate(heights) if height is not None]
    return "".join(f"{'L' if index else 'M'}{x:g} {y:.4f}" for index, (x, y) in enumerate(points))
