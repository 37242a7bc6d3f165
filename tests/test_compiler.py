# SPDX-License-Identifier: Apache-2.0
"""End to end: what a compile writes is deterministic, strict C and C++, minimal, and safe to link and interleave."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from c_libraries import Inference, compile_strictly, library
from onnx_models import Builder, build, saved
from small_models import pixels, save_pixels, save_small_model, small_model
from toy_network import needs_host_compiler

from mbv2gen import int8_reference, mac_count
from mbv2gen.compiler import Options, compile_model
from mbv2gen.output_folder import OutputFolder, write_folder
from mbv2gen.pixels.network_inputs import from_pixels, synthetic
from mbv2gen.quantization.tensor_scales import dequantize

HOSTILE = ("*/ int broken; /*", "??/", "a\n#error broken\n", "back\\", "\u202e\u00e9", '"; }', "{{ name }}", "%s%n")


def compiled(model: Path, name: str = "small", **options: object) -> OutputFolder:
    """The model's output folder, OUT-NAME beside it, calibrated on a few pictures."""
    given = {"calibration": str(save_pixels(model.parent)), "mean": "120", "std": "60,61,62", **options}
    made = compile_model(model, Options(name=name, **given))  # type: ignore[arg-type]  # options by name
    return write_folder(model.parent / f"out-{name}", name, made.files)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    return compiled(save_small_model(tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    """The same network, fed by rows."""
    return compiled(save_small_model(tmp_path_factory.mktemp("fed")), feed="rows")


def test_two_folders_and_two_processes_give_equal_bytes_whatever_tools_there_are(tmp_path: Path) -> None:
    outputs = []
    for name, seed, path in (("a", "1", ""), ("bb/c", "77", os.environ["PATH"])):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        model, data = save_small_model(folder), save_pixels(folder)
        words = ["compile", str(model), "--calibration", str(data), "--preprocess", "unit", "--emit", "tflite"]
        subprocess.run(
            [sys.executable, "-m", "mbv2gen", *words, "-o", str(folder / f"out{seed}")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PATH": path}, check=True, capture_output=True,
        )  # fmt: skip
        outputs.append({path.name: path.read_bytes() for path in (folder / f"out{seed}").iterdir()})
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 10
    assert not any(str(tmp_path).encode() in data for data in outputs[0].values())


@pytest.mark.parametrize("defines", [(), ("-DMBV2_TAP",), ("-DMBV2_PROFILE",), ("-DMBV2_POISON",)])
@pytest.mark.parametrize(
    "compiler",
    [
        ("gcc", "-std=c11", "-O2"),
        ("clang", "-std=c11", "-O1"),
        ("g++", "-xc++", "-std=c++20", "-O1"),
        ("clang++", "-xc++", "-std=c++20", "-O1"),
        ("arm-none-eabi-gcc", "-std=c11", "-O2", "-mcpu=cortex-m7", "-mthumb"),
    ],
    ids=lambda compiler: compiler[0],
)
def test_sources_compile_without_a_warning_as_c_and_as_cpp(
    small: OutputFolder, fed: OutputFolder, tmp_path: Path, *, compiler: tuple[str, ...], defines: tuple[str, ...]
) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed here")
    for folder in (small, fed):
        assert compile_strictly(folder.path, tmp_path, *compiler, *defines) == ""
        assert list(tmp_path.glob("small.o"))


@needs_host_compiler
def test_the_makefile_builds_a_library(small: OutputFolder, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed here")
    shutil.copytree(small.path, tmp_path / "out")
    result = subprocess.run(["make", "-C", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "libsmall.a").is_file()


def test_only_the_kernels_that_layers_use_are_emitted(tmp_path: Path) -> None:
    def kernels(folder: OutputFolder) -> set[str]:
        return {path.stem for path in folder.path.glob("mbv2_*.c")} - {"mbv2_pipeline"}

    def used(folder: OutputFolder) -> set[str]:
        return {layer["kernel"] for layer in folder.report()["layers"]}

    dense = saved(build(lambda b, x: b("Gemm", b("Flatten", x), b.random(4, 504), transB=1), (1, 3, 12, 14)), tmp_path)
    folder = compiled(dense, "dense", target="cortex-m0")
    small = compiled(save_small_model(tmp_path), target="cortex-m0")
    assert kernels(folder) == used(folder) == {"mbv2_fully_connected_s8"}
    assert kernels(small) == used(small)
    assert len(used(small)) >= 5


def test_the_report_has_the_documented_keys_and_the_headers_numbers(small: OutputFolder) -> None:
    report = small.report()
    assert report["schema"] == 1
    assert {"model", "target", "feed", "macs", "ram", "flash", "layers", "accuracy"} <= set(report)
    sizes = {"arena_bytes", "static_bytes", "stack_bytes", "input_bytes", "total_bytes"}
    assert set(report["ram"]) == sizes | {"arena_touched_bytes", "whole_stack_bytes"}
    assert {"weights_bytes", "parameters_bytes", "code_bytes", "total_bytes"} <= set(report["flash"])
    keys = {"name", "op", "block", "input_shape", "output_shape", "macs", "weights_bytes", "live_bytes", "kernel"} | {
        "channel_groups"
    }
    assert all(keys | {"instructions"} <= set(layer) for layer in report["layers"])
    unmeasured = (report["ram"][key] for key in ("static_bytes", "stack_bytes", "total_bytes"))
    assert {*unmeasured, report["flash"]["code_bytes"], report["accuracy"]} == {None}
    header = (small.path / "small.h").read_text()
    assert int(re.findall(r"#define SMALL_ARENA_BYTES +(\d+)", header)[0]) == report["ram"]["arena_bytes"]
    assert report["ram"]["input_bytes"] == 12 * 14 * 3
    assert report["macs"] == mac_count.count(small_model())
    assert 0.9 * report["macs"] < sum(layer["macs"] for layer in report["layers"]) < report["macs"]  # some pruned
    assert report["ram"]["arena_bytes"] >= max(layer["live_bytes"] for layer in report["layers"])


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every node and every tensor but input and output under a hostile name of its own."""
    names: dict[str, str] = {}

    def new(name: str) -> str:
        if name in ("image", "result", ""):
            return name
        return names.setdefault(name, f"{HOSTILE[len(names) % len(HOSTILE)]}{len(names)}")

    for node in model.graph.node:
        node.name = new("node " + node.name)
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
    for constant in model.graph.initializer:
        constant.name = new(constant.name)
    model.producer_name = HOSTILE[0]
    return model


@pytest.mark.parametrize("compiler", [("gcc", "-std=c11"), ("clang", "-std=c11"), ("clang++", "-xc++", "-std=c++20")])
def test_hostile_names_in_the_model_do_no_harm_in_c(tmp_path: Path, compiler: tuple[str, ...]) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed here")
    model = saved(renamed(small_model()), tmp_path, "a ??! \\.onnx")
    folder = compiled(model, "hostile")
    work = tmp_path / "work"
    work.mkdir()
    assert compile_strictly(folder.path, work, *compiler, "-trigraphs") == ""
    text = "".join(path.read_text() for path in folder.path.glob("hostile*.[ch]"))
    assert "broken" in text
    assert not re.search(r"^\s*#error broken", text, re.MULTILINE)
    assert text.isascii()


@needs_host_compiler
def test_two_networks_in_one_image_and_two_contexts_by_turns_give_what_each_gives_alone(
    small: OutputFolder, tmp_path: Path
) -> None:
    other = compiled(save_small_model(tmp_path, seed=9), "other")
    (tmp_path / "work").mkdir()
    code = library([small.path, other.path], tmp_path / "work")
    runs, inputs = [], []
    for index, folder in enumerate((small, small, other)):
        network = folder.network()
        runs.append(Inference(code, network, folder.report()["ram"]["arena_bytes"]))
        inputs.append(synthetic(network, 8)[index + 4 : index + 5])
        assert runs[-1].init() == 0
        runs[-1].fill(inputs[-1])
    waiting = set(range(3))
    random = np.random.default_rng(0)
    while waiting:
        index = int(random.choice(sorted(waiting)))
        status = runs[index].step()
        assert status in (0, 4)
        waiting -= {index} if status == 0 else set()
    for run, one in zip(runs, inputs, strict=True):
        np.testing.assert_array_equal(run.output(), int8_reference.run_outputs(run.network, one)[0])
        run.fill(one)
        assert run.run() == 0
        np.testing.assert_array_equal(run.output(), int8_reference.run_outputs(run.network, one)[0])


@needs_host_compiler
def test_an_arena_too_small_or_misaligned_is_refused(small: OutputFolder, tmp_path: Path) -> None:
    run = Inference(library([small.path], tmp_path), small.network(), small.report()["ram"]["arena_bytes"])
    assert run.init(missing_bytes=1) == 1
    assert run.init(offset=8) == 2
    assert run.step() == 3
    assert run.init() == 0


@needs_host_compiler
def test_the_c_helpers_for_pixels_and_softmax_are_numpys(small: OutputFolder, tmp_path: Path) -> None:
    code, network = library([small.path], tmp_path), small.network()
    picture = np.ascontiguousarray(pixels(1)[0])
    made = np.empty(picture.shape, np.int8)
    code.small_pixels(made.ctypes.data_as(ctypes.c_void_p), picture.ctypes.data_as(ctypes.c_void_p),
                      ctypes.c_size_t(12 * 14))  # fmt: skip
    np.testing.assert_array_equal(made, from_pixels(network, picture))
    real = (picture.astype(float) - 120) / np.array([60, 61, 62])
    tensor = network.tensor(network.inputs[0])
    assert np.abs(dequantize(made, tensor) - real).max() <= 0.501 * tensor.scale

    q = np.array([-128, 127, 126, 3, -7], np.int8)
    probabilities = np.empty(5, np.float32)
    code.small_softmax(probabilities.ctypes.data_as(ctypes.c_void_p), q.ctypes.data_as(ctypes.c_void_p))
    powers = np.exp(network.tensor(network.outputs[0]).scale * (q.astype(np.float64) - 127))
    np.testing.assert_allclose(probabilities, powers / powers.sum(), rtol=1e-5)


def test_external_data_beside_the_model_gives_the_same_network_as_data_inside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    onnx.save(small_model(), str(tmp_path / "outside" / "small.onnx"), save_as_external_data=True,
              location="weights.bin", size_threshold=0)  # fmt: skip
    folders = [compiled(tmp_path / "outside" / "small.onnx"), compiled(save_small_model(tmp_path / "inside"))]
    weights = [(folder.path / "small_weights.c").read_bytes() for folder in folders]
    assert weights[0] == weights[1]


def test_in_graph_normalisation_of_pixels_needs_no_option(tmp_path: Path) -> None:
    def body(b: Builder, x: str) -> str:
        x = b("Cast", x, to=1)
        x = b("Mul", b("Sub", x, np.float32(127.5)), np.float32(1 / 127.5))
        return b("GlobalAveragePool", b.conv(b("Transpose", x, perm=[0, 3, 1, 2]), 3, 4))

    model = saved(build(body, (1, 12, 14, 3), dtype=onnx.TensorProto.UINT8), tmp_path)
    made = compile_model(model, Options(calibration=str(save_pixels(tmp_path, 32))))
    assert made.warnings == ()
    assert made.quantized.pixel_input is not None
    assert made.quantized.pixel_input.xor
    assert json.loads(made.files["report.json"])["macs"] == 12 * 14 * 12
