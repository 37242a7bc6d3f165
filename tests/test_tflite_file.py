# SPDX-License-Identifier: Apache-2.0
"""The emitted .tflite, read back through the schema that tflite-micro ships, run there and loaded in LiteRT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_builder import NONE, RELU6, NetworkBuilder
from random_networks import random_images, random_network, single_layer_networks
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
from tflite_micro_oracle import every_tensor

from mbv2gen import int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Window
from mbv2gen.quantization import tflite_file
from mbv2gen.quantized_network import QConv2D, QuantizedNetwork

SINGLE_LAYERS = {network.name: network for network in single_layer_networks()}
OPERATOR_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}


def operators_of(network: QuantizedNetwork) -> list[str]:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(tflite_file.emit(network), 0))
    codes = [OPERATOR_NAMES[code.builtinCode] for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


def conv_with(window: Window, size: tuple[int, int], depthwise: bool = False) -> QuantizedNetwork:
    b = NetworkBuilder(np.random.default_rng(0))
    append = b.depthwise if depthwise else lambda x, name, w: b.conv(x, name, 3, w)
    append(b.input((*size, 2), zero_point=-5), "y", window)
    return b.network("windowed", "y")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_stride_2_odd", ["CONV_2D"]),
        ("conv_stride_2_even_keras", ["CONV_2D"]),
        ("conv_stride_2_even", ["PAD", "CONV_2D"]),
        ("depthwise_5x5", ["DEPTHWISE_CONV_2D"]),
        ("depthwise_stride_2_even", ["PAD", "DEPTHWISE_CONV_2D"]),
        ("depthwise_whole_plane", ["DEPTHWISE_CONV_2D"]),
        ("pointwise_clamp_0_4", ["CONV_2D", "MAXIMUM", "MINIMUM"]),
        ("pointwise_clamp_below", ["CONV_2D", "MINIMUM"]),
        ("activation", ["MAXIMUM", "MINIMUM"]),
        ("activation_of_nothing", ["MAXIMUM"]),
        ("mean_odd_plane", ["MEAN"]),
        ("fully_connected_plane", ["FULLY_CONNECTED"]),
        ("fully_connected_then_conv", ["FULLY_CONNECTED", "RESHAPE", "CONV_2D"]),
    ],
)
def test_helper_operators_are_emitted_only_where_needed(name: str, expected: list[str]) -> None:
    assert operators_of(SINGLE_LAYERS[name]) == expected


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    depthwise=st.booleans(),
)
def test_any_window_equals_tflite_micro(size, kernel, stride, pads, depthwise) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives them
    window = Window(*kernel, *stride, *pads)
    assume(min(window.output_size(*size)) > 0)
    network = conv_with(window, size, depthwise)
    x = random_images(np.random.default_rng(0), (*size, 2), 2)
    np.testing.assert_array_equal(int8_reference.run_outputs(network, x), every_tensor(network, x)["y"])


def test_file_says_scales_zero_points_and_names_of_the_network() -> None:
    network = random_network(np.random.default_rng(11), size=(9, 14), blocks=2)
    data = tflite_file.emit(network)
    assert data[4:8] == b"TFL3"
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    (graph,) = model.subgraphs
    found = {tensor.name.decode(): tensor for tensor in graph.tensors}
    for tensor in network.tensors:
        quantization = found[tensor.name].quantization
        assert quantization.scale.tolist() == [np.float32(tensor.scale)]
        assert quantization.zeroPoint.tolist() == [tensor.zero_point]
        assert np.prod(found[tensor.name].shape) == np.prod(tensor.shape)
    for operator in network.operators:
        if hasattr(operator, "weights"):
            weights, bias = found[f"{operator.name}/weights"], found[f"{operator.name}/bias"]
            np.testing.assert_array_equal(weights.quantization.scale, operator.weight_scale)
            assert weights.shape[weights.quantization.quantizedDimension] == len(operator.weight_scale)
            assert model.buffers[weights.buffer].data.tobytes() == operator.weights.tobytes()
            assert model.buffers[bias.buffer].data.tobytes() == operator.bias.astype("<i4").tobytes()


def test_constants_stand_at_multiples_of_16_bytes() -> None:
    network = random_network(np.random.default_rng(11), size=(9, 14), blocks=2)
    data = tflite_file.emit(network)
    for operator in network.operators:
        if hasattr(operator, "weights") and operator.weights.size > 15:
            assert data.index(operator.weights.tobytes()) % 16 == 0


def test_equal_networks_give_equal_bytes() -> None:
    first, second = (random_network(np.random.default_rng(2)) for _ in range(2))
    assert first is not second
    assert tflite_file.emit(first) == tflite_file.emit(second)


def test_any_names_can_be_emitted_and_run() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    x = b.input((3, 3, 2))
    b.conv(x, 'a/b "ü" \udc80\n', 3, Window(), RELU6)
    network = b.network("名", b.operators[0].outputs[0])
    images = random_images(np.random.default_rng(0), (3, 3, 2), 1)
    ours = int8_reference.run_outputs(network, images)
    np.testing.assert_array_equal(ours, every_tensor(network, images)[network.outputs[0]])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pointwise_odd_channels", {"multiplier": np.full(7, 1 << 30, np.int32)}),
        ("pointwise_odd_channels", {"shift": np.full(7, -3, np.int32)}),
        ("fully_connected", {"shift": np.full(5, -3, np.int32)}),
        ("add_to_itself", {"output_multiplier": 1 << 30}),
        ("mean_3x3", {"shift": -1}),
    ],
)
def test_multipliers_that_no_scales_give_are_refused(name: str, change: dict[str, object]) -> None:
    network = SINGLE_LAYERS[name]
    broken = replace(network, operators=(replace(network.operators[-1], **change),))  # type: ignore[arg-type]  # the change is of the operator's own fields
    with pytest.raises(Mbv2genError, match=rf"^{name}\.onnx: node 'y': multipliers do not follow from the scales"):
        tflite_file.emit(broken)


def test_a_clamp_chosen_by_hand_equals_tflite_micro() -> None:
    b = NetworkBuilder(np.random.default_rng(5))
    b.conv(b.input((4, 4, 3)), "y", 5, Window(), NONE)
    operator = b.operators[0]
    assert isinstance(operator, QConv2D)
    x = random_images(np.random.default_rng(6), (4, 4, 3), 2)
    for bounds in ((-100, 90), (-128, 3), (-3, 127), (5, 5)):
        b.operators[0] = replace(operator, act_min=bounds[0], act_max=bounds[1])
        network = b.network("clamped", "y")
        ours = int8_reference.run_outputs(network, x)
        np.testing.assert_array_equal(ours, every_tensor(network, x)["y"])
        assert ours.min() >= bounds[0]
        assert ours.max() <= bounds[1]


def litert_output(network: QuantizedNetwork, x: np.ndarray, resolver: str) -> np.ndarray:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    kinds = litert.OpResolverType
    interpreter = litert.Interpreter(
        model_content=tflite_file.emit(network), experimental_op_resolver_type=getattr(kinds, resolver)
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"]).reshape(1, *network.shape(network.outputs[0]))


@pytest.mark.parametrize("network", SINGLE_LAYERS.values(), ids=lambda network: network.name)
def test_single_layer_equals_the_reference_kernels_of_litert(network: QuantizedNetwork) -> None:
    x = random_images(np.random.default_rng(0), network.shape("input"), 1)
    np.testing.assert_array_equal(litert_output(network, x, "BUILTIN_REF"), int8_reference.run_outputs(network, x))


@pytest.mark.parametrize("seed", range(6))
def test_random_network_equals_the_reference_kernels_of_litert(seed: int) -> None:
    network = random_network(np.random.default_rng(seed), size=(12, 9), blocks=1)
    x = random_images(np.random.default_rng(seed), network.shape("input"), 1)
    ours = int8_reference.run_outputs(network, x)
    np.testing.assert_array_equal(litert_output(network, x, "BUILTIN_REF"), ours)


@pytest.mark.parametrize("seed", range(6))
def test_random_network_loads_in_litert_whose_fast_kernels_differ_by_rounding(seed: int) -> None:
    network = random_network(np.random.default_rng(seed), size=(12, 9), blocks=1)
    x = random_images(np.random.default_rng(seed), network.shape("input"), 1)
    difference = litert_output(network, x, "BUILTIN").astype(int) - int8_reference.run_outputs(network, x)
    assert np.median(np.abs(difference)) <= 1
