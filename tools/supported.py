# SPDX-License-Identifier: Apache-2.0
"""Writes SUPPORTED.md, from the docstrings of the translators and of the constraints that the lowering itself checks.

python tools/supported.py > SUPPORTED.md
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from typing import Any

from mbv2gen.onnx_import import constraints, graph_folding, onnx_file
from mbv2gen.onnx_import.constant_nodes import FOLDABLE
from mbv2gen.onnx_import.lowering import TRANSLATORS
from mbv2gen.onnx_import.qoperators import REWRITINGS
from mbv2gen.quantization import given_network

WIDTH = 118

HEAD = """\
# What an ONNX file may hold

Made by `make supported` from what the code itself checks (mbv2gen/onnx_import); do not edit. Whatever is not here is
refused in one line that names the file, the node and the reason, with exit code 2.
"""

MODEL = """\
## The model

* Opset {oldest} to the newest of the installed onnx; at most {nodes:,} nodes, {megabytes} MB, {elements:,} elements in
  one array. External data beside the model; functions are written out; half and double precision become single.
* One input: float (1, c, h, w), (1, h, w, c) or (1, n), or uint8; a batch of unknown size is 1, all else has a fixed
  size. One output: float, in the order of channels, height, width or height, width, channels.
* Normalisation in the graph (Sub, Mul, ... on the input) becomes the network's preprocessing; softmax or sigmoid at the
  end is taken off and applied in float. Batch norm, scalings and biases are folded, activations fused, paddings merged.
"""

CONSTANTS = """\
## Operators on constants

Computed when the file is read, with ONNX's reference implementation: {names}; Shape and Size of anything.
"""

QUANTIZED = """\
## Quantized files

Scales, zero points and integers are kept as the file has them; uint8 becomes int8 by 128 less; `--calibration` is not
needed. Two formats, tested with opset 10 to 21:

* QDQ: QuantizeLinear and DequantizeLinear around float operators, on weights or behind them as integers. A rounding
  belongs to the operator before it. Where two different ones follow each other, with nothing or an activation between
  them, a depthwise 1x1 convolution changes the scale.
* QOperator, from ONNX or com.microsoft, read as the float operator between DequantizeLinear and QuantizeLinear:
  {names}

Scales and zero points must be constants, scales finite and positive, none of them for a block. A tensor that is float
in such a file is refused by its name, or takes its range from `--calibration`. Of convolutions and dense layers:

{rules}
"""


def document() -> str:
    """The text of SUPPORTED.md."""
    parts = [HEAD, _model(), _operators(), _constants(), _quantized()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _model() -> str:
    return MODEL.format(
        oldest=onnx_file.MIN_OPSET,
        nodes=onnx_file.MAX_NODES,
        megabytes=onnx_file.MAX_FILE_BYTES >> 20,
        elements=graph_folding.MAX_ELEMENTS,
    )


def _operators() -> str:
    """What most operators must be like; then one entry a kind: what it is read as, and what it must be like besides."""
    counts = Counter(rule for rules in constraints.CONSTRAINTS.values() for rule in rules)
    common = [rule for rule, count in counts.items() if 2 * count > len(TRANSLATORS)]
    lines = ["## Operators on what is computed from the input", "", "Of most of them:", ""]
    for rule in common:
        others = [op for op in sorted(TRANSLATORS) if rule not in constraints.CONSTRAINTS[op]]
        lines.append(f"* {constraints.sentence(rule)} (but for {', '.join(others)})")
    kinds: dict[tuple[object, ...], list[str]] = {}
    for op, translate in sorted(TRANSLATORS.items()):
        own = (rule for rule in constraints.CONSTRAINTS[op] if rule not in common)
        kinds.setdefault((translate, *own), []).append(op)
    for (translate, *own), ops in kinds.items():
        lines += ["", f"**{', '.join(ops)}**. {_first_sentence(translate)}", ""]
        lines += [f"* {constraints.sentence(rule)}" for rule in own]
    return re.sub("\n{3,}", "\n\n", "\n".join(_wrapped(lines)))


def _constants() -> str:
    return "\n".join(_wrapped(CONSTANTS.format(names=", ".join(sorted(FOLDABLE))).splitlines()))


def _quantized() -> str:
    rules = "\n".join(_wrapped([f"* {constraints.sentence(rule)}" for rule in given_network.RULES]))
    text = QUANTIZED.format(names=", ".join(sorted(REWRITINGS)), rules=rules)
    return "\n".join(_wrapped(text.splitlines()))


def _first_sentence(function: Any) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].replace("``", "").split())


def _wrapped(lines: list[str]) -> list[str]:
    """Long lines broken at spaces, those of a list indented."""
    result = []
    for line in lines:
        indent = "  " if line.startswith(("* ", "  ")) else ""
        rest = line
        while len(rest) > WIDTH:
            cut = rest.rindex(" ", 0, WIDTH)
            result.append(rest[:cut])
            rest = indent + rest[cut + 1 :]
        result.append(rest)
    return result


if __name__ == "__main__":
    print(document(), end="")
