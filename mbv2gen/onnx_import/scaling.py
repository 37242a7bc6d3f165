# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear and DequantizeLinear: their parameters, and what they make of constants (ONNX operator reference)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from mbv2gen.graph import Constant, Node
from mbv2gen.onnx_import.constant_nodes import plain

# The steps of a constant go through these as the constant does: an element keeps its own.
MOVES = frozenset(["Cast", "CastLike", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"])
INTEGERS = ("int2", "int4", "int8", "int16", "int32", "uint2", "uint4", "uint8", "uint16")


@dataclass(frozen=True)
class Scaling:
    """real = scale * (q - zero_point): float32 and int32, one of each or one an entry of ``axis``; q is a ``dtype``."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]
    axis: int
    dtype: str


def scaling_of(node: Node, constants: Mapping[str, Constant], source_dtype: str) -> Scaling:
    """The parameters of a QuantizeLinear or DequantizeLinear; raises ValueError with the reason they are refused.

    ``source_dtype`` is that of the node's first input.
    """
    scale = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    has_zero_point = len(node.inputs) > 2 and node.inputs[2] != ""
    zero_point = constants.get(node.inputs[2]) if has_zero_point else None
    if scale is None or scale.size == 0 or (has_zero_point and zero_point is None):
        raise ValueError("scale and zero point must be constants: quantize the model statically")
    if node.attributes.get("block_size", 0) or scale.ndim > 1:
        raise ValueError("a scale a block is not supported, only one for all or one a channel")
    scale = scale.astype(np.float32).reshape(-1)
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"scales must be finite and positive (got {scale[~(scale > 0) | ~np.isfinite(scale)][0]:g})")
    dtype = source_dtype
    if node.op == "QuantizeLinear":
        dtype = zero_point.dtype.name if zero_point is not None else _output_dtype(node.attributes)
    if dtype not in INTEGERS:
        raise ValueError(f"{dtype} is not supported, only integers")
    points = np.zeros(1, np.int32) if zero_point is None else zero_point.astype(np.int32).reshape(-1)
    if len(points) not in (1, len(scale)):
        raise ValueError(f"{len(points)} zero points do not fit {len(scale)} scales")
    return Scaling(scale, points, int(node.attributes.get("axis", 1)), dtype)


def _output_dtype(attributes: Mapping[str, Any]) -> str:
    code = int(attributes.get("output_dtype", 0))
    return np.dtype(helper.tensor_dtype_to_np_dtype(code)).name if code else "uint8"


def steps_of(scaling: Scaling, shape: tuple[int, ...]) -> Constant:
    """The scale of every element of an array of ``shape``; ValueError where they do not fit."""
    return plain(np.broadcast_to(_along(scaling.scale, scaling.axis, shape), shape))


def dequantized(values: Constant, scaling: Scaling) -> Constant:
    """scale * (q - zero point) in float32."""
    points = _along(scaling.zero_point, scaling.axis, values.shape)
    scale = _along(scaling.scale, scaling.axis, values.shape)
    return plain((values.astype(np.int32) - points).astype(np.float32) * scale)


def quantized(values: Constant, scaling: Scaling) -> Constant:
    """values / scale, rounded half to even, plus the zero point, saturated."""
    low, high = _limits(scaling.dtype)
    scale = _along(scaling.scale, scaling.axis, values.shape)
    steps = np.rint(values.astype(np.float32) / scale).astype(np.float64)
    points = _along(scaling.zero_point, scaling.axis, values.shape)
    return plain(np.clip(steps + points, low, high).astype(np.int32).astype(_stored(scaling.dtype)))


def _limits(dtype: str) -> tuple[int, int]:
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if dtype.startswith("u") else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _stored(dtype: str) -> np.dtype[Any]:
    """NumPy's own type of ``dtype``; integers of less than eight bits stand in eight."""
    return np.dtype({"int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8"}.get(dtype, dtype))


def _along(vector: NDArray[Any], axis: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """A vector as an array that broadcasts against ``shape`` along ``axis``."""
    if len(vector) == 1:
        return vector.reshape(())
    if not -len(shape) <= axis < len(shape) or shape[axis] != len(vector):
        raise ValueError(f"{len(vector)} scales along axis {axis} do not fit an array of shape {shape}")
    sizes = [1] * len(shape)
    sizes[axis] = len(vector)
    return vector.reshape(sizes)
