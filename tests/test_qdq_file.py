# SPDX-License-Identifier: Apache-2.0
"""The emitted QDQ ONNX: what onnx's checker says of it, and what onnxruntime computes from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import assert_refused, command
from network_builder import NetworkBuilder, random_images
from numpy.typing import NDArray
from onnx_models import Builder, build, saved
from random_networks import HEADS, random_network, single_layer_networks

from mbv2gen import compiler, float_reference, int8_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import ModelInput, ModelOutput
from mbv2gen.output_folder import open_folder
from mbv2gen.quantization import qdq_file
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import QuantizedNetwork

SINGLE_LAYERS = {network.name: network for network in single_layer_networks()}
UNOPTIMISED = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
OPTIMISED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def model_of(network: QuantizedNetwork) -> onnx.ModelProto:
    model = onnx.load_from_string(qdq_file.emit(network))
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model: onnx.ModelProto, level: object) -> onnxruntime.InferenceSession:
    """Exact sums: without the entry onnxruntime's kernels for x86 processors without VNNI saturate at 16 bits."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def model_input(network: QuantizedNetwork, x: NDArray[np.int8]) -> NDArray[np.float32]:
    """The float input, in the model's layout, that the integers ``x`` [n][h][w][c] stand for."""
    real = dequantize(x, network.tensor(network.inputs[0])).astype(np.float32)
    return real.transpose(0, 3, 1, 2) if network.model_input.layout == "NCHW" else real


def integers(network: QuantizedNetwork, x: NDArray[np.int8], level: object) -> dict[str, NDArray[np.int8]]:
    """int8 [n][h][w][c] of the tensors that onnxruntime quantizes: all of them, or (optimised) the last one."""
    model = model_of(network)
    values = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    names = [network.inputs[0], *(operator.outputs[0] for operator in network.operators)]
    if level == OPTIMISED:  # an output more would keep operators apart
        values, names = values[-1:], names[-1:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(v, onnx.TensorProto.INT8, None) for v in values)
    ran = session(model, level).run(values, {network.model_input.name: model_input(network, x)})
    planes = [y.transpose(0, 2, 3, 1) if y.ndim == 4 else y for y in ran]
    return {name: y.reshape(len(x), *network.shape(name)) for name, y in zip(names, planes, strict=True)}


def steps_apart(made: NDArray[np.int8], wanted: NDArray[np.int8]) -> NDArray[np.int64]:
    apart: NDArray[np.int64] = np.abs(made.astype(np.int64) - wanted)
    return apart


@pytest.mark.parametrize("level", [UNOPTIMISED, OPTIMISED], ids=["unoptimised", "optimised"])
@pytest.mark.parametrize("network", SINGLE_LAYERS.values(), ids=lambda network: network.name)
def test_a_layer_is_within_a_step_in_onnxruntime(network: QuantizedNetwork, level: object) -> None:
    x = random_images(np.random.default_rng(0), network.shape("input"), 2)
    wanted = int8_reference.run_outputs(network, x)
    assert steps_apart(integers(network, x, level)[network.outputs[0]], wanted).max() <= 1


def layer_alone(network: QuantizedNetwork, index: int) -> QuantizedNetwork:
    """One operator with one input as a network of its own."""
    operator = network.operators[index]
    h, w, c = network.shape(operator.outputs[0])
    return replace(
        network,
        inputs=(operator.inputs[0],),
        outputs=operator.outputs,
        operators=(operator,),
        model_input=ModelInput("x", "NCHW", "float32"),
        model_output=ModelOutput("y", "none", (1, h, w, c)),
    )


@pytest.mark.parametrize("head", HEADS)
def test_every_layer_of_a_random_network_fed_the_same_is_within_a_step(head: str) -> None:
    network = random_network(np.random.default_rng(HEADS.index(head)), size=(12, 9), blocks=2, head=head)
    wanted = int8_reference.run(network, random_images(np.random.default_rng(1), network.shape("input"), 2))
    layers = [index for index, operator in enumerate(network.operators) if len(operator.inputs) == 1]
    assert len(layers) > 5
    for index in layers:
        alone, (output,) = layer_alone(network, index), network.operators[index].outputs
        made = integers(alone, wanted[alone.inputs[0]], UNOPTIMISED)[output]
        assert steps_apart(made, wanted[output]).max() <= 1, output


@pytest.mark.parametrize("head", HEADS)
def test_optimising_changes_nothing_where_sums_are_exact(head: str) -> None:
    network = random_network(np.random.default_rng(7), size=(12, 9), blocks=2, head=head)
    x, output = random_images(np.random.default_rng(1), network.shape("input"), 3), network.outputs[0]
    plain, optimised = (integers(network, x, level)[output] for level in (UNOPTIMISED, OPTIMISED))
    assert steps_apart(plain, optimised).max() <= 1


def test_the_file_holds_the_networks_own_integers_and_scales() -> None:
    network = SINGLE_LAYERS["depthwise_stride_2_even"]
    (operator,) = network.operators
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model_of(network).graph.initializer}
    weights = held["y/weights"]  # [c][1][kernel_h][kernel_w]
    np.testing.assert_array_equal(weights[:, 0].transpose(1, 2, 0), operator.weights)
    np.testing.assert_array_equal(held["y/weights/scale"], operator.weight_scale)
    np.testing.assert_array_equal(held["y/bias"], operator.bias)
    assert (weights.dtype, held["y/bias"].dtype) == (np.int8, np.int32)
    for name in ("input", "y"):
        tensor = network.tensor(name)
        assert held[f"{name}/scale"] == np.float32(tensor.scale)
        assert (held[f"{name}/zero_point"], held[f"{name}/zero_point"].dtype) == (tensor.zero_point, np.int8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("tail", ["none", "softmax", "sigmoid"])
@pytest.mark.parametrize("head", ["mobilenet", "conv"])
@pytest.mark.parametrize("has_batch", [True, False])
def test_it_takes_and_gives_what_the_model_took_and_gave(layout: str, tail: str, head: str, has_batch: bool) -> None:
    network = random_network(np.random.default_rng(4), size=(8, 8), blocks=1, head=head, channels=3)
    h, w, c = network.shape(network.outputs[0])
    shape = (c, h, w) if layout == "NCHW" else (h, w, c)
    shape = (c,) if (h, w) == (1, 1) else shape
    network = replace(
        network,
        model_input=ModelInput("image", layout, "uint8", mean=(3.0, 4.0, 5.0), std=(20.0, 30.0, 40.0)),
        model_output=ModelOutput("result", tail, (1, *shape) if has_batch else shape, layout),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, *network.shape("input")), np.uint8)
    ran = session(model_of(network), UNOPTIMISED).run(
        ["result"], {"image": pixels.transpose(0, 3, 1, 2) if layout == "NCHW" else pixels}
    )[0]
    real = (pixels - np.array([3.0, 4.0, 5.0])) / np.array([20.0, 30.0, 40.0])
    tensor = network.tensor("input")
    x = np.clip(np.rint(real / tensor.scale + tensor.zero_point), -128, 127).astype(np.int8)
    output = network.tensor(network.outputs[0])
    near = [int8_reference.run_outputs(network, x).astype(np.int64) + step for step in (-3, 3)]
    low, high = (
        float_reference.to_model_output(replace(network, model_output=replace(network.model_output, tail="none")),
                                        dequantize(y, output).astype(np.float32))
        for y in near
    )  # fmt: skip
    assert ran.shape == network.model_output.shape
    if tail == "none":
        assert (low <= ran).all()
        assert (ran <= high).all()
    elif tail == "sigmoid":
        assert (1 / (1 + np.exp(-low)) <= ran + 1e-6).all()
        assert (ran <= 1 / (1 + np.exp(-high)) + 1e-6).all()
    else:
        axis = {(True, "NCHW"): 1, (True, "NHWC"): -1, (False, "NCHW"): 0, (False, "NHWC"): -1}[has_batch, layout]
        np.testing.assert_allclose(ran.sum(axis=axis), 1, atol=1e-5)


def test_any_batch_goes_through_at_once() -> None:
    network = random_network(np.random.default_rng(4), size=(8, 8), blocks=1, head="mobilenet")
    x = random_images(np.random.default_rng(5), network.shape("input"), 5)
    ran = session(model_of(network), UNOPTIMISED)
    name, real = network.model_input.name, model_input(network, x)
    (together,), alone = ran.run(None, {name: real}), [ran.run(None, {name: one[None]})[0] for one in real]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def imported(network: QuantizedNetwork, folder: Path) -> QuantizedNetwork:
    """What mbv2gen itself reads from the exported file."""
    (folder / "exported.onnx").write_bytes(qdq_file.emit(network))
    read = compiler.read_network(folder / "exported.onnx")
    return compiler.quantize(folder / "exported.onnx", read, compiler.Options(mean="0", std="1"))[0]


ROUND_TRIPS = [network for name, network in SINGLE_LAYERS.items() if name != "activation_of_nothing"] + [
    random_network(np.random.default_rng(seed), size=(12, 9), blocks=2, head=head) for seed, head in enumerate(HEADS)
]


@pytest.mark.parametrize("network", ROUND_TRIPS, ids=lambda network: network.name)
def test_read_again_it_computes_the_same_in_every_byte(network: QuantizedNetwork, tmp_path: Path) -> None:
    network = replace(network, model_input=ModelInput("x", "NCHW", "float32"))  # NHWC does not show in one layer alone
    again = imported(network, tmp_path)
    x = random_images(np.random.default_rng(0), network.shape("input"), 3)
    made = int8_reference.run_outputs(again, x).reshape(len(x), -1)
    np.testing.assert_array_equal(made, int8_reference.run_outputs(network, x).reshape(len(x), -1))
    for name in ("inputs", "outputs"):
        mine, other = (one.tensor(getattr(one, name)[0]) for one in (network, again))
        assert (mine.scale, mine.zero_point) == (other.scale, other.zero_point)


def test_equal_networks_give_equal_bytes() -> None:
    first, second = (random_network(np.random.default_rng(2)) for _ in range(2))
    assert qdq_file.emit(first) == qdq_file.emit(second)


def test_names_that_collide_are_told_apart() -> None:
    b = NetworkBuilder(np.random.default_rng(0))
    b.conv(b.input((3, 3, 2)), "input/scale", 3, SINGLE_LAYERS["pointwise_one_channel"].operators[0].window)  # type: ignore[union-attr]  # the first operator is weighted
    network = b.network("collision", "input/scale")
    x = random_images(np.random.default_rng(0), (3, 3, 2), 1)
    made = integers(network, x, UNOPTIMISED)["input/scale"]
    assert steps_apart(made, int8_reference.run_outputs(network, x)).max() <= 1


def test_multipliers_that_no_scales_give_are_refused() -> None:
    network = SINGLE_LAYERS["mean_3x3"]
    broken = replace(network, operators=(replace(network.operators[0], shift=-1),))  # type: ignore[arg-type]  # the field is the operator's own
    with pytest.raises(Mbv2genError, match=r"^mean_3x3\.onnx: node 'y': multipliers .* a QDQ file carries"):
        qdq_file.emit(broken)


Capture = pytest.CaptureFixture[str]


def small(b: Builder, x: str) -> str:
    pooled = b("Flatten", b("GlobalAveragePool", b.relu6(b.conv(x, 3, 9))))
    return b("Softmax", b("Gemm", pooled, b.random(4, 9), np.zeros(4, np.float32), transB=1), axis=-1)


@pytest.fixture
def compiled(tmp_path: Path, capsys: Capture) -> Path:
    """The output folder of a small model, both exports in it; its calibration data lies beside it."""
    model = saved(build(small, (1, 3, 6, 8)), tmp_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(4).standard_normal((9, 3, 6, 8)).astype(np.float32))
    words = ("compile", model, "-o", tmp_path / "out", "--name", "small", "--calibration", tmp_path / "x.npy")
    assert command(capsys, *words, "--emit", "tflite", "--emit", "qdq").code == 0
    return tmp_path / "out"


def test_export_writes_what_compile_emits(compiled: Path, tmp_path: Path, capsys: Capture) -> None:
    files = {"tflite": tmp_path / "a.tflite", "qdq": tmp_path / "a.onnx"}
    files["qdq"].write_text("an older one")
    ended = command(capsys, "export", compiled, "--tflite", files["tflite"], "--qdq", files["qdq"])
    assert ended.code == 0, ended.err
    assert files["tflite"].read_bytes() == (compiled / "small.tflite").read_bytes()
    assert files["qdq"].read_bytes() == (compiled / "small_qdq.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "a.tflite", "model.onnx", "out", "x.npy"]


def test_export_refuses_what_it_cannot_write(compiled: Path, tmp_path: Path, capsys: Capture) -> None:
    before = (compiled / "network.npz").read_bytes()
    assert_refused(command(capsys, "export", compiled), "--tflite or --qdq")
    assert_refused(command(capsys, "export", compiled, "--qdq", compiled / "network.npz"), "would replace")
    assert_refused(command(capsys, "export", compiled, "--qdq", tmp_path / "no" / "a.onnx"), "cannot be written")
    assert (compiled / "network.npz").read_bytes() == before


def test_the_exported_model_answers_as_the_float_model(compiled: Path, tmp_path: Path) -> None:
    x = np.load(tmp_path / "x.npy")
    answers = [
        np.concatenate([session(onnx.load(path), UNOPTIMISED).run(None, {"image": one[None]})[0] for one in x])
        for path in (tmp_path / "model.onnx", compiled / "small_qdq.onnx")
    ]
    assert answers[0].shape == answers[1].shape
    assert np.abs(answers[0] - answers[1]).max() < 0.05
    assert open_folder(compiled).network().model_output.tail == "softmax"
