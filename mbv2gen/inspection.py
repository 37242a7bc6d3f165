# SPDX-License-Identifier: Apache-2.0
"""Inspection: what a model is, and what became of its exporter's habits, in numbers and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbv2gen import identifiers
from mbv2gen.graph import Graph
from mbv2gen.network import (
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Operator,
    Shape,
)
from mbv2gen.onnx_import import lowering, onnx_file

QUANTIZATION = ("QuantizeLinear", "DequantizeLinear")
RESHAPING = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand")
NO_EFFECT = ("Identity", "Dropout", "Cast", "CastLike")
ARITHMETIC = ("Mul", "Sub", "Div")
ACTIVATIONS = ("Clip", "Relu", "Min", "Max")
POOLING = ("GlobalAveragePool", "ReduceMean", "AveragePool")


@dataclass(frozen=True)
class OperatorLine:
    """One operator; ``weights_bytes`` as int8, without biases."""

    block: str
    block_kind: str
    role: str
    name: str
    op: str
    window: str
    activation: str
    input_shape: Shape
    output_shape: Shape
    macs: int
    weights_bytes: int


@dataclass(frozen=True)
class Inspection:
    """A model read and lowered, not quantized. ``macs`` are the ONNX file's own; ``normalised`` are sentences."""

    network: Network
    operators: tuple[OperatorLine, ...]
    normalised: tuple[str, ...]

    @property
    def weights_bytes(self) -> int:
        return sum(line.weights_bytes for line in self.operators)

    def as_json(self) -> dict[str, Any]:
        network = self.network
        return {
            "model": asdict(network.source),
            "input": {**asdict(network.model_input), "shape": network.shape(network.inputs[0])},
            "output": {**asdict(network.model_output), "network_shape": network.shape(network.outputs[0])},
            "macs": network.macs,
            "weights_bytes": self.weights_bytes,
            "blocks": [{"name": block.name, "kind": block.kind} for block in network.blocks],
            "operators": [asdict(line) for line in self.operators],
            "normalised": list(self.normalised),
        }


def inspect(model: Path) -> Inspection:
    """Raises Mbv2genError, naming file and node, for a model that mbv2gen does not take."""
    graph = onnx_file.read_graph(model)
    network = lowering.lower(graph, identifiers.network_name(model.stem))
    places = {name: (block.name, block.kind, role) for block in network.blocks for role, name in block.roles}
    lines = tuple(_line(network, operator, places[operator.name]) for operator in network.operators)
    return Inspection(network, lines, tuple(_normalised(graph, network)))


def _line(network: Network, operator: Operator, place: tuple[str, str, str]) -> OperatorLine:
    h, w, _ = output_shape = network.shape(operator.outputs[0])
    weights = operator.weights.size if isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected) else 0
    clamp = Clamp() if isinstance(operator, Mean) else operator.clamp
    return OperatorLine(
        block=place[0],
        block_kind=place[1],
        role=place[2],
        name=operator.name,
        op=operator.kind,
        window=_window(operator),
        activation=_activation(clamp),
        input_shape=network.shape(operator.inputs[0]),
        output_shape=output_shape,
        macs=weights * h * w,
        weights_bytes=weights,
    )


def _window(operator: Operator) -> str:
    """3x3, with /2 for its stride, and the padding (top left bottom right) where it is not equal on all sides."""
    if not isinstance(operator, Conv2D | DepthwiseConv2D) or operator.window.is_pointwise:
        return ""
    w = operator.window
    stride = "" if w.stride_h == w.stride_w == 1 else f"/{w.stride_h}"
    stride += "" if w.stride_h == w.stride_w else f"x{w.stride_w}"
    pads = (w.pad_top, w.pad_left, w.pad_bottom, w.pad_right)
    return f"{w.kernel_h}x{w.kernel_w}{stride}" + ("" if len(set(pads)) == 1 else f" pad {pads}")


def _activation(clamp: Clamp) -> str:
    if clamp.is_identity:
        return ""
    if clamp.low == 0 and clamp.high in (6, float("inf")):
        return "ReLU6" if clamp.high == 6 else "ReLU"
    return f"{clamp.low:g}..{clamp.high:g}"


def _normalised(graph: Graph, network: Network) -> Sequence[str]:
    """What the graph has and the network has not."""
    counts = Counter(node.op for node in graph.nodes)
    residuals = sum(isinstance(operator, Add) for operator in network.operators)
    standalone = sum(operator.kind == "activation" for operator in network.operators)
    entry, result = network.model_input, network.model_output
    said = [
        _said(counts, ("BatchNormalization",), "folded into the convolutions"),
        _said(counts, ARITHMETIC, "folded into weights and biases, or into the input's normalisation"),
        _said(counts - Counter(Add=residuals), ("Add", "Sum"), "folded into biases"),
        _said(counts, ACTIVATIONS, f"fused into the operators before them, {standalone} left" if standalone else
              "fused into the operators before them"),
        _said(counts, ("Pad",), "merged into the convolutions' padding"),
        _said(counts, RESHAPING, "gone: every tensor is height, width, channels"),
        _said(counts, NO_EFFECT, "gone: they change nothing"),
        _said(counts, QUANTIZATION, "the file is quantized: its scales and zero points are kept as they are"),
        _said(counts, POOLING, "read as global average pooling"),
        _said(counts, ("Gemm", "MatMul"), "read as fully connected or 1x1 convolution"),
    ]  # fmt: skip
    if entry.mean is not None and entry.std is not None:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (entry.mean, entry.std))
        said.append(f"the graph normalises its input itself, (x - {mean}) / {std}: the network starts behind that")
    if result.tail != "none":
        said.append(f"the {result.tail} at the end is taken off the integer network and applied in float")
    return [sentence for sentence in said if sentence]


def _said(counts: Counter[str], ops: Sequence[str], what: str) -> str:
    present = [f"{counts[op]} {op}" for op in ops if counts[op] > 0]
    return f"{', '.join(present)}: {what}" if present else ""
