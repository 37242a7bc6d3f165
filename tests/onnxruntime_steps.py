# SPDX-License-Identifier: Apache-2.0
"""onnxruntime's own integers of a quantized model, graph optimisation off: what an import is measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from mbv2gen import int8_reference
from mbv2gen.compiler import Options, quantize
from mbv2gen.float_reference import to_nhwc
from mbv2gen.network import Grid, Network
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph
from mbv2gen.quantization.tensor_scales import quantize_input
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork


def imported(path: Path) -> tuple[Network, QuantizedNetwork]:
    """The network and its integers, as ``compile`` without --calibration makes them."""
    network = lower(read_graph(path), "net")
    quantized, _ = quantize(path, network, Options())
    return network, quantized


def session_of(model: ModelProto, outputs: list[str]) -> onnxruntime.InferenceSession:
    """A session that gives these values, optimisations off."""
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])


def integers(network: Network, model: ModelProto, x: NDArray[np.generic]) -> dict[str, Int8Array]:
    """Every tensor of the network, int8 [n][h][w][c], as onnxruntime computes it for ``x``, one image at a time.

    A tensor has the name of the QuantizeLinear's output; uint8 becomes int8. One that is float in the file (between
    an activation and an operator, say) goes to the network's grid. The input's has no name there: it is left out.
    """
    names = [tensor.name for tensor in network.tensors if tensor.name not in network.inputs]
    session = session_of(model, names)
    entry = session.get_inputs()[0].name
    rows = [session.run(None, {entry: image[np.newaxis]}) for image in x]
    result = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        array, shape = np.concatenate(values), network.shape(name)
        if array.dtype == np.float32:
            array = on_grid(array, network.tensor(name).grid)
        signed = (array.astype(np.int32) - (128 if array.dtype == np.uint8 else 0)).astype(np.int8)
        if signed.ndim == 4 and signed.shape[1:] == (shape[2], *shape[:2]):
            signed = signed.transpose(0, 2, 3, 1)
        result[name] = np.ascontiguousarray(signed.reshape(len(x), *shape))
    return result


def on_grid(values: NDArray[np.float32], grid: Grid | None) -> Int8Array:
    assert grid is not None
    return np.clip(np.rint(values / np.float32(grid.scale)) + grid.zero_point, -128, 127).astype(np.int8)


def steps_apart(path: Path, x: NDArray[np.generic]) -> tuple[dict[str, int], float]:
    """Greatest difference of each layer fed with onnxruntime's input, in steps; and the fraction of the network's
    outputs, end to end, that are within one step."""
    network, quantized = imported(path)
    values = integers(network, onnx.load(path), x)
    values[network.inputs[0]] = quantize_input(quantized, to_nhwc(network, x))
    worst = {}
    for operator in quantized.operators:
        made = int8_reference.evaluate_operator(quantized, operator, [values[name] for name in operator.inputs])
        worst[operator.name] = int(np.abs(made.astype(np.int32) - values[operator.outputs[0]]).max())
    made = int8_reference.run_outputs(quantized, values[network.inputs[0]])
    apart = np.abs(made.astype(np.int32) - values[network.outputs[0]])
    return worst, float((apart <= 1).mean())
