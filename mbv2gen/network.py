# SPDX-License-Identifier: Apache-2.0
"""Network: a float network as operators on NHWC tensors, batch norm folded, exporters' habits gone.

Every shape is (h, w, c) without the batch; a vector of n values is (1, 1, n). Arrays are float32 and read-only.
Operators name the tensors they read and write and stand in an order in which they can run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, int, int]
FloatArray: TypeAlias = NDArray[np.float32]


def frozen(array: NDArray[np.generic], dtype: type[np.generic]) -> NDArray[np.generic]:
    """A contiguous, read-only copy of ``array`` as ``dtype``."""
    result = np.array(array, dtype=dtype, order="C")
    result.setflags(write=False)
    return result


def float32(array: NDArray[np.generic]) -> FloatArray:
    """``array`` as a network holds its weights: contiguous, read-only, float32."""
    return cast("FloatArray", frozen(array, np.float32))


@dataclass(frozen=True)
class Grid:
    """The values an int8 tensor can hold: scale * (q - zero_point), q = -128..127. ``scale`` is a float32 value."""

    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        return self.scale * (-128 - self.zero_point)

    @property
    def high(self) -> float:
        return self.scale * (127 - self.zero_point)


@dataclass(frozen=True)
class Tensor:
    """One activation, (h, w, c). ``grid`` is the file's own where the file is quantized, else None."""

    name: str
    shape: Shape
    grid: Grid | None = None


@dataclass(frozen=True)
class Clamp:
    """A fused activation: values below ``low`` or above ``high`` become the bound. ReLU6 is Clamp(0, 6)."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def is_identity(self) -> bool:
        return self.low == -math.inf and self.high == math.inf


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; padding is with (real) zeros and may differ on each side."""

    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    @property
    def is_pointwise(self) -> bool:
        return self == Window()

    def output_size(self, h: int, w: int) -> tuple[int, int]:
        """(h, w) of the output plane for an input plane of (h, w)."""
        padded_h, padded_w = h + self.pad_top + self.pad_bottom, w + self.pad_left + self.pad_right
        return (padded_h - self.kernel_h) // self.stride_h + 1, (padded_w - self.kernel_w) // self.stride_w + 1


@dataclass(frozen=True)
class Conv2D:
    """y[co] = clamp(bias[co] + sum over kh, kw, ci of weights[co][kh][kw][ci] * x). Pointwise: the window is 1x1.

    ``weight_scale``, here and below, is the file's own where it holds integer weights: weights / weight_scale are
    these integers. None where the weights are float.
    """

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: FloatArray  # [c_out][kernel_h][kernel_w][c_in]
    bias: FloatArray  # [c_out]
    window: Window
    clamp: Clamp = Clamp()
    weight_scale: FloatArray | None = None  # [c_out]

    @property
    def kind(self) -> str:
        return "pointwise" if self.window.is_pointwise else "conv"


@dataclass(frozen=True)
class DepthwiseConv2D:
    """y[c] = clamp(bias[c] + sum over kh, kw of weights[kh][kw][c] * x[c])."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: FloatArray  # [kernel_h][kernel_w][c]
    bias: FloatArray  # [c]
    window: Window
    clamp: Clamp = Clamp()
    weight_scale: FloatArray | None = None  # [c]
    kind: str = "depthwise"


@dataclass(frozen=True)
class FullyConnected:
    """y[co] = clamp(bias[co] + sum over k of weights[co][k] * x[k]); x is the whole tensor in NHWC order."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: FloatArray  # [c_out][h * w * c]
    bias: FloatArray  # [c_out]
    clamp: Clamp = Clamp()
    weight_scale: FloatArray | None = None  # [c_out]
    kind: str = "fully_connected"


@dataclass(frozen=True)
class Add:
    """y = clamp(x0 + x1), both of one shape: the residual connection."""

    name: str
    inputs: tuple[str, str]
    outputs: tuple[str]
    clamp: Clamp = Clamp()
    kind: str = "add"


@dataclass(frozen=True)
class Mean:
    """Global average pooling: (h, w, c) -> (1, 1, c)."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    kind: str = "mean"


@dataclass(frozen=True)
class Activation:
    """y = clamp(x): an activation that no operator before it could take in."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    clamp: Clamp
    kind: str = "activation"


Operator: TypeAlias = Conv2D | DepthwiseConv2D | FullyConnected | Add | Mean | Activation


@dataclass(frozen=True)
class Block:
    """Consecutive operators under the paper's name for them.

    ``kind`` is Stem, InvertedResidual, SeparableConv (MobileNetV1), Head or Layer (an operator in none of these);
    ``roles`` pairs each operator's part (conv, expand, depthwise, project, residual, pointwise, pool, classifier,
    layer) with its name, in the order of execution.
    """

    name: str
    kind: str
    roles: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Source:
    """Where the network came from. ``file`` is a bare file name, never a path."""

    file: str
    sha256: str
    producer: str = ""
    opset: int = 0


@dataclass(frozen=True)
class ModelInput:
    """How the ONNX model itself takes its input: what ``run`` and ``evaluate`` feed to it.

    ``layout`` is NCHW or NHWC; ``dtype`` float32 or uint8. Where the graph normalises raw pixels itself, ``mean``
    and ``std`` (one value a channel, on the 0..255 scale: x = (pixel - mean) / std) say how and the Network starts
    behind that; otherwise they are None and the Network's input is the model's input.
    """

    name: str
    layout: str
    dtype: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ModelOutput:
    """The ONNX model's own output: ``tail`` (softmax, sigmoid or none) over the Network's, then its ``shape``.

    ``layout`` says how the Network's (h, w, c) goes into ``shape``: NHWC or NCHW (they agree on a vector).
    """

    name: str
    tail: str
    shape: tuple[int, ...]
    layout: str = "NHWC"


@dataclass(frozen=True)
class Network:
    """A float network. ``macs`` are counted on the ONNX file itself, before anything is pruned.

    Of a quantized file it is what the file says in real numbers, without the rounding of activations.
    """

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    blocks: tuple[Block, ...]
    model_input: ModelInput
    model_output: ModelOutput
    source: Source
    macs: int

    @property
    def is_quantized(self) -> bool:
        """Whether the file brings grids of its own, to be kept as they are."""
        return any(tensor.grid is not None for tensor in self.tensors)

    def tensor(self, name: str) -> Tensor:
        return next(t for t in self.tensors if t.name == name)

    def shape(self, name: str) -> Shape:
        return self.tensor(name).shape
