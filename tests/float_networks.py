# SPDX-License-Identifier: Apache-2.0
"""Small float networks for calibration and quantization: a MobileNetV2 in miniature, and chains of given operators."""

from __future__ import annotations

import numpy as np

from mbv2gen.network import (
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FloatArray,
    FullyConnected,
    Mean,
    ModelInput,
    ModelOutput,
    Network,
    Operator,
    Shape,
    Source,
    Tensor,
    Window,
)

RELU6 = Clamp(0.0, 6.0)


def output_shape(operator: Operator, shape: Shape) -> Shape:
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        channels = len(operator.bias)
        return (*operator.window.output_size(shape[0], shape[1]), channels)
    if isinstance(operator, FullyConnected):
        return (1, 1, len(operator.bias))
    return (1, 1, shape[2]) if isinstance(operator, Mean) else shape


def network(shape: Shape, *operators: Operator, layout: str = "NCHW") -> Network:
    """A network of ``operators`` on the tensor ``x`` of ``shape``; the last operator's output is the network's."""
    tensors = {"x": Tensor("x", shape)}
    for operator in operators:
        name = operator.outputs[0]
        tensors[name] = Tensor(name, output_shape(operator, tensors[operator.inputs[0]].shape))
    output = operators[-1].outputs[0]
    return Network(
        name="net",
        tensors=tuple(tensors.values()),
        inputs=("x",),
        outputs=(output,),
        operators=operators,
        blocks=(),
        model_input=ModelInput("x", layout, "float32"),
        model_output=ModelOutput(output, "none", (1, *tensors[output].shape)),
        source=Source("net.onnx", "0" * 64),
        macs=0,
    )


def small_mobilenet(rng: np.random.Generator, size: int = 12, channels: int = 3) -> Network:
    """Stem, one inverted residual with its addition, pooling and a classifier of 5 classes."""

    def normal(*dimensions: int, fan_in: int) -> FloatArray:
        return (rng.normal(0, 1.5 / np.sqrt(fan_in), dimensions)).astype(np.float32)

    def bias(c: int) -> FloatArray:
        return rng.normal(0.2, 0.3, c).astype(np.float32)

    same, half = Window(3, 3, 1, 1, 1, 1, 1, 1), Window(3, 3, 2, 2, 0, 0, 1, 1)
    return network(
        (size, size, channels),
        Conv2D("stem", ("x",), ("s",), normal(8, 3, 3, channels, fan_in=9 * channels), bias(8), half, RELU6),
        Conv2D("expand", ("s",), ("e",), normal(24, 1, 1, 8, fan_in=8), bias(24), Window(), RELU6),
        DepthwiseConv2D("depthwise", ("e",), ("d",), normal(3, 3, 24, fan_in=9), bias(24), same, RELU6),
        Conv2D("project", ("d",), ("p",), normal(8, 1, 1, 24, fan_in=24), bias(8), Window()),
        Add("residual", ("s", "p"), ("r",)),
        Mean("pool", ("r",), ("m",)),
        FullyConnected("classifier", ("m",), ("y",), normal(5, 8, fan_in=8), bias(5)),
    )
