# SPDX-License-Identifier: Apache-2.0
"""Windows of convolutions from ONNX's attributes: pads, auto_pad, strides."""

from __future__ import annotations

from mbv2gen.graph import Node
from mbv2gen.network import Window
from mbv2gen.onnx_import.translation import Translation, refuse


def window_of(t: Translation, node: Node, kernel: tuple[int, int], plane: tuple[int, int]) -> Window:
    """The window of a Conv over a plane of (h, w).

    ``pads`` are ONNX's [top, left, bottom, right]; auto_pad SAME_UPPER puts the odd row or column behind, SAME_LOWER
    in front (ONNX operator Conv).
    """
    attributes = node.attributes
    strides = tuple(int(item) for item in attributes.get("strides", (1, 1)))
    if min(strides) < 1:
        refuse(t, node, f"{node.op}: strides {list(strides)} are not positive")
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        (top, bottom), (left, right) = (
            _same(size, taps, step, mode == "SAME_UPPER")
            for size, taps, step in zip(plane, kernel, strides, strict=True)
        )
    elif mode in ("NOTSET", "", "VALID"):
        pads = attributes.get("pads", (0, 0, 0, 0)) if mode != "VALID" else (0, 0, 0, 0)
        top, left, bottom, right = (int(item) for item in pads)
    else:
        refuse(t, node, f"{node.op}: auto_pad {mode!r} is not supported")
    return Window(*kernel, strides[0], strides[1], top, left, bottom, right)


def _same(size: int, taps: int, step: int, upper: bool) -> tuple[int, int]:
    """(before, after) such that ceil(size / step) outputs fit."""
    total = max((-(-size // step) - 1) * step + taps - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)
