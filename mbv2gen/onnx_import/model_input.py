# SPDX-License-Identifier: Apache-2.0
"""How the ONNX model takes its input: layout, number type, normalisation inside the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Graph, Node
from mbv2gen.network import Clamp, ModelInput, Shape
from mbv2gen.onnx_import.draft import Affine, Draft, bypassed
from mbv2gen.onnx_import.layout import NCHW, NHWC, Layout

# fmt: off
INERT = (
    "Add", "Cast", "CastLike", "Clip", "DequantizeLinear", "Div", "Dropout", "Identity", "Max", "Min", "Mul", "Pad",
    "QuantizeLinear", "Relu", "Sub",
)
# fmt: on


def input_entry(graph: Graph) -> tuple[ModelInput, Layout, Shape]:
    """The model's input as the graph declares it, its layout, and its canonical (h, w, c).

    Raises Mbv2genError for a batch other than 1, a rank other than 4 or 2, a number type other than float and uint8.
    """
    value = graph.values[graph.inputs[0]]
    where = f"{graph.file}: input {value.name!r}"
    if value.dtype not in ("float32", "uint8"):
        raise Mbv2genError(f"{where}: {value.dtype} is not supported, only float and uint8")
    if len(value.shape) not in (2, 4):
        raise Mbv2genError(f"{where}: shape {value.shape} is not supported, only (1, c, h, w), (1, h, w, c) or (1, n)")
    if value.shape[0] != 1:
        raise Mbv2genError(f"{where}: a batch of {value.shape[0]} is not supported: export it with batch 1")
    if len(value.shape) == 2:
        return ModelInput(value.name, "NHWC", value.dtype), ((), ("c",)), (1, 1, value.shape[1])
    _, first, second, third = value.shape
    if _channels_last(graph):
        return ModelInput(value.name, "NHWC", value.dtype), NHWC, (first, second, third)
    return ModelInput(value.name, "NCHW", value.dtype), NCHW, (second, third, first)


def _channels_last(graph: Graph) -> bool:
    """Whether the first operator that knows its axes takes the input's axis 3 for the channels.

    Axes are followed through transpositions and nodes that work element by element.
    """
    axes: dict[str, tuple[int, ...]] = {graph.inputs[0]: (0, 1, 2, 3)}
    for node in graph.nodes:
        name = next((item for item in node.inputs if item in axes), None)
        if name is None:
            continue
        if node.op == "Transpose":
            axes[node.outputs[0]] = tuple(axes[name][axis] for axis in node.attributes.get("perm", (3, 2, 1, 0)))
        elif node.op in ("Reshape", "Squeeze", "Unsqueeze"):
            moved = _axes_after_reshape(graph, node, axes[name])
            if moved is not None:
                axes[node.outputs[0]] = moved
        elif node.op in INERT:
            axes[node.outputs[0]] = axes[name]
        elif node.op in ("Conv", "GlobalAveragePool", "AveragePool", "BatchNormalization"):
            return axes[name][1] == 3 or axes[name][2:] == (1, 2)
        elif node.op == "MatMul":
            return axes[name][-1] == 3
    return False


def _axes_after_reshape(graph: Graph, node: Node, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The input axis each axis of a reshaped four-dimensional value holds; axes of size 1 fill what is left."""
    before, after = graph.values[node.inputs[0]].shape, graph.values[node.outputs[0]].shape
    large = [axis for axis, size in zip(axes, before, strict=True) if size > 1]
    if len(after) != 4 or [size for size in before if size > 1] != [size for size in after if size > 1]:
        return None
    small = [axis for axis in axes if axis not in large]
    return tuple((large if size > 1 else small).pop(0) for size in after)


def take_normalisation(draft: Draft, entry: ModelInput) -> tuple[Draft, ModelInput]:
    """An affine map that alone reads the input becomes ``mean`` and ``std``; the draft then starts behind it.

    The padding of the first convolution so stays the zero of the normalised input. For uint8 mean and std are
    always given; for float they are on the scale of what the model itself takes.
    """
    readers = draft.readers[draft.input]
    first = readers[0] if len(readers) == 1 and draft.input != draft.output else None
    channels = draft.shapes[draft.input][2]
    mean, std = (0.0,) * channels, (1.0,) * channels
    taken = _mean_std(first) if isinstance(first, Affine) else None
    if first is not None and taken is not None:
        draft, (mean, std) = bypassed(draft, first), taken
    elif entry.dtype != "uint8":
        return draft, entry
    if entry.dtype == "uint8":
        ends = np.outer([0, 255], np.ones(channels)) - np.array(mean)
        ends = ends / np.array(std)
        draft = replace(draft, input_bounds=Clamp(float(ends.min()), float(ends.max())))
    return draft, replace(entry, mean=mean, std=std)


def _mean_std(affine: Affine) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """scale * x + bias as (x - mean) / std; None where std would not be positive or not fit float32."""
    mean, std = _tidy(-affine.bias / affine.scale), _tidy(1 / affine.scale)
    return (mean, std) if np.isfinite((mean, std)).all() and min(std) > 0 else None


def _tidy(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Each value as the shortest decimal that is the same float32; 127.5 and not 127.49999999999999."""
    return tuple(float(str(np.float32(value))) + 0.0 for value in values)
