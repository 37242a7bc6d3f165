# SPDX-License-Identifier: Apache-2.0
"""QuantizedNetwork: int8 weights, int32 biases, multipliers; canonical NHWC order.

This is what NumPy, the .tflite and TensorFlow Lite Micro run; the C is equal to it byte for byte. The scheme is
TFLite's int8 one: real = scale * (q - zero_point); weights symmetric and per output channel, -127..127; biases
int32 with scale input_scale * weight_scale; ``multiplier`` in Q31 and ``shift`` (positive = left) as TFLite Micro
computes them from the float32 scales. Channel order, uint8 offsets and packing exist from Program on, never here.

Weights of 4 bits are int8 here as well: sixteen times -7..7, whose scale is a sixteenth of the step between them. So
arithmetic, bounds and .tflite know one kind of weights, and biases keep a fine unit; ``weight_bits`` is how they are
stored in flash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.network import Block, ModelInput, ModelOutput, Shape, Source, Window

Int8Array: TypeAlias = NDArray[np.int8]
Int32Array: TypeAlias = NDArray[np.int32]
FloatArray: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class QTensor:
    """An int8 activation, (h, w, c); ``scale`` is a float32 value, ``zero_point`` -128..127."""

    name: str
    shape: Shape
    scale: float
    zero_point: int


@dataclass(frozen=True)
class QConv2D:
    """TFLite CONV_2D. acc = bias + sum w * (x - input zero point); y = clamp(requantize(acc) + output zero point)."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: Int8Array  # [c_out][kernel_h][kernel_w][c_in]
    bias: Int32Array  # [c_out]
    weight_scale: FloatArray  # [c_out]
    multiplier: Int32Array  # [c_out]
    shift: Int32Array  # [c_out], positive = left
    window: Window
    act_min: int
    act_max: int
    weight_bits: int = 8  # 4: multiples of 16, in a pointwise convolution

    @property
    def kind(self) -> str:
        return "pointwise" if self.window.is_pointwise else "conv"


@dataclass(frozen=True)
class QDepthwiseConv2D:
    """TFLite DEPTHWISE_CONV_2D with depth multiplier 1."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: Int8Array  # [kernel_h][kernel_w][c]
    bias: Int32Array  # [c]
    weight_scale: FloatArray  # [c]
    multiplier: Int32Array  # [c]
    shift: Int32Array  # [c]
    window: Window
    act_min: int
    act_max: int
    kind: str = "depthwise"


@dataclass(frozen=True)
class QFullyConnected:
    """TFLite FULLY_CONNECTED, requantized per channel with double rounding; reads the whole tensor in NHWC order."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    weights: Int8Array  # [c_out][h * w * c]
    bias: Int32Array  # [c_out]
    weight_scale: FloatArray  # [c_out]
    multiplier: Int32Array  # [c_out]
    shift: Int32Array  # [c_out]
    act_min: int
    act_max: int
    kind: str = "fully_connected"
    weight_bits: int = 8


@dataclass(frozen=True)
class QAdd:
    """TFLite ADD: both inputs shifted left by 20, rescaled to a common scale, added, rescaled to the output's."""

    name: str
    inputs: tuple[str, str]
    outputs: tuple[str]
    input_multipliers: tuple[int, int]
    input_shifts: tuple[int, int]
    output_multiplier: int
    output_shift: int
    act_min: int
    act_max: int
    kind: str = "add"


@dataclass(frozen=True)
class QMean:
    """TFLite MEAN over h and w: int32 sum, less zero point times h * w, one multiplier that holds the division."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    multiplier: int
    shift: int
    kind: str = "mean"


@dataclass(frozen=True)
class QActivation:
    """A clamp of its own; input and output share scale and zero point, so that it is exact."""

    name: str
    inputs: tuple[str]
    outputs: tuple[str]
    act_min: int
    act_max: int
    kind: str = "activation"


QOperator: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected | QAdd | QMean | QActivation


def weight_bits(operator: QOperator) -> int:
    """Of a weight in flash."""
    return operator.weight_bits if isinstance(operator, QConv2D | QFullyConnected) else 8


@dataclass(frozen=True)
class PixelInput:
    """How a picture becomes the integer net's input: q = table[channel][pixel].

    ``table`` is int8 [c][256]; ``xor`` is True where every channel's table is pixel - 128, that is pixel ^ 0x80.
    ``mean``, ``std`` (0..255 scale), ``resize`` (as Preprocessing has it), ``colour`` (RGB, BGR or GREY) are what
    ``evaluate`` applies.
    """

    table: Int8Array
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "squash"
    colour: str = "RGB"

    @property
    def xor(self) -> bool:
        return bool((self.table.astype(np.int32) == np.arange(256) - 128).all())


@dataclass(frozen=True)
class QuantizedNetwork:
    """An int8 network; operators, blocks and names are the Network's own.

    ``is_given``: scales are those of the file, so that real inputs are rounded as ONNX's QuantizeLinear does.
    """

    name: str
    tensors: tuple[QTensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[QOperator, ...]
    blocks: tuple[Block, ...]
    model_input: ModelInput
    model_output: ModelOutput
    pixel_input: PixelInput | None
    source: Source
    macs: int
    is_given: bool = False

    @cached_property
    def _by_name(self) -> dict[str, QTensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    def tensor(self, name: str) -> QTensor:
        return self._by_name[name]

    def shape(self, name: str) -> Shape:
        return self.tensor(name).shape
