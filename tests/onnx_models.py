# SPDX-License-Identifier: Apache-2.0
"""Builds small ONNX models the way exporters write them, and runs them in onnxruntime, the oracle of the front end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

from mbv2gen.float_reference import run_outputs, to_model_output, to_nhwc
from mbv2gen.network import Network
from mbv2gen.onnx_import.lowering import lower
from mbv2gen.onnx_import.onnx_file import read_graph

INPUT, OUTPUT = "image", "result"


class Builder:
    """Collects nodes; arrays given as inputs become initialisers. Weights are random."""

    def __init__(self, opset: int, seed: int = 0) -> None:
        self.opset, self.rng = opset, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def __call__(self, op: str, *inputs: object, outputs: int = 1, **attributes: object) -> str:
        """Appends a node named OP_INDEX; returns its first output's name."""
        index = len(self.nodes)
        names = [item if isinstance(item, str) else self.constant(np.asarray(item)) for item in inputs]
        results = [f"{op}_{index}_out{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(op, names, results, name=f"{op}_{index}", **attributes))
        return results[0]

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def conv(
        self, x: str, c_in: int, c_out: int, kernel: int = 1, *, group: int = 1, bias: bool = True, **attributes: object
    ) -> str:
        fan_in = kernel * kernel * c_in // group
        arrays = [self.random(c_out, c_in // group, kernel, kernel, scale=fan_in**-0.5)]
        arrays += [self.random(c_out, scale=0.5)] if bias else []
        return self("Conv", x, *arrays, group=group, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        variance = np.abs(self.random(channels)) + 0.5
        return self("BatchNormalization", x, *(self.random(channels) for _ in range(3)), variance.astype(np.float32))

    def relu6(self, x: str) -> str:
        if self.opset < 11:
            return self("Clip", x, min=0.0, max=6.0)
        return self("Clip", x, np.float32(0), np.float32(6))


def build(
    body: Callable[[Builder, str], str],
    shape: tuple[int | str | None, ...] = (1, 3, 7, 9),
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    seed: int = 0,
) -> ModelProto:
    """The checked model whose nodes ``body`` adds; body gets the input's name and returns the output's."""
    builder = Builder(opset, seed)
    last = body(builder, INPUT)
    builder.nodes.append(helper.make_node("Identity", [last], [OUTPUT], name="exit"))
    entry = helper.make_tensor_value_info(INPUT, dtype, shape)
    exit_ = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)
    graph = helper.make_graph(builder.nodes, "test", [entry], [exit_], builder.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = shape_inference.infer_shapes(model).graph.output[0].type
    model.graph.output[0].type.CopyFrom(inferred)
    if not inferred.tensor_type.HasField("shape"):
        model.graph.output[0].type.tensor_type.shape.SetInParent()
    return model


def saved(model: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def lowered(model: ModelProto, folder: Path) -> Network:
    return lower(read_graph(saved(model, folder)), "net")


def random_input(model: ModelProto, seed: int = 1, batch: int = 1) -> NDArray[np.generic]:
    kind = model.graph.input[0].type.tensor_type
    shape = [dim.dim_value or 1 for dim in kind.shape.dim]
    shape[0] = batch
    rng = np.random.default_rng(seed)
    if kind.elem_type == TensorProto.UINT8:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.standard_normal(shape).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))


def onnxruntime_output(model: ModelProto, x: NDArray[np.generic]) -> NDArray[np.float32]:
    """The model's output as onnxruntime computes it, without graph optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def assert_computes_the_same(model: ModelProto, folder: Path, tolerance: float = 2e-5) -> Network:
    """Lowers the model and compares with onnxruntime on a random input; returns the network."""
    network = lowered(model, folder)
    x = random_input(model)
    expected = onnxruntime_output(model, x)
    got = to_model_output(network, run_outputs(network, to_nhwc(network, x)))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(expected).max())))
    return network
