# SPDX-License-Identifier: Apache-2.0
"""Graph: an ONNX file read, checked and made static. Its words are still ONNX's.

Every shape is static, every weight float32 (whatever the file held), every subexpression of constants computed,
nodes stand in an order in which they can run and each contributes to an output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Constant: TypeAlias = NDArray[np.generic]


@dataclass(frozen=True)
class Value:
    """An array that depends on the model's input. ``dtype`` is NumPy's name for it: float32, uint8, ..."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Node:
    """One ONNX node. An omitted optional input is the empty string; ``attributes`` are plain Python values."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """``values`` holds what is computed, ``constants`` (read-only arrays) what is known; a name is in one of them.

    ``steps`` has, for a constant that a DequantizeLinear made, the scale of every element, in an array of its shape.
    """

    file: str
    sha256: str
    producer: str
    opset: int
    macs: int
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, Constant]
    steps: Mapping[str, Constant]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
