# SPDX-License-Identifier: Apache-2.0
"""The long proof on really trained networks: C = NumPy = TensorFlow Lite Micro on all test pictures, and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime

from mbv2gen import int8_reference
from mbv2gen.commands.terminal import percent
from mbv2gen.compiler import Options, compile_model
from mbv2gen.evaluation import evaluator
from mbv2gen.hardware import boards, execution, toolchain
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.output_folder import OutputFolder, write_folder
from mbv2gen.pixels import network_inputs
from mbv2gen.result import Result

DATA = Path(__file__).parents[3] / "shared" / "data"
BOARD, BOARD_PICTURES, SANITIZED_PICTURES, BATCH = "mps2-an500", 50, 50, 64
EXPORTS = sorted(
    path for path in (DATA / "exports").glob("*.onnx") if "neg_" not in path.name and "qdq" not in path.name
)

pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared test data (../shared/data), absent here"),
    pytest.mark.skipif(toolchain.find_host_compiler() is None, reason=toolchain.HOST_HELP),
]


@dataclass(frozen=True)
class Case:
    """A model, what it is calibrated on and what it is tested on; the least top-1 lead over float and agreement."""

    model: str
    calibration: str
    test: str
    preprocess: str
    agreement: float | None = None
    top1_loss: float | None = None
    weights: str = "int8"

    @property
    def title(self) -> str:
        return Path(self.model).name + ("" if self.weights == "int8" else f", {self.weights}")


FLOWERS = "images/flowers96_test_calib.npz"
RUBBISH = "images/rubbish4/split.csv"
CASES = (
    Case("models/flowers_w035_r96", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf", 0.98, 0.007),
    Case("models/flowers_w010_r96", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf", 0.98, 0.007),
    Case("models_found/st_flowers_w035_r128", "images/flowers160/calib", "images/flowers160/test", "tf", 0.98, 0.007),
    Case("models_found/ei_rubbish4_w035_r96", f"{RUBBISH}:calib", f"{RUBBISH}:train,test", "unit", 0.965, 0.007),
    Case("models_found/fomo_face_w035_r96", f"{RUBBISH}:calib", f"{RUBBISH}:train,test", "unit"),
)
MIXED = tuple(
    replace(case, weights="mixed", agreement=0.95 if "rubbish" in case.model else 0.965, top1_loss=0.01)
    for case in CASES
    if case.agreement is not None
)


@dataclass(frozen=True)
class Proven:
    """A case compiled, with its test pictures."""

    case: Case
    compiled: Result
    folder: OutputFolder
    test: str

    @property
    def name(self) -> str:
        return self.case.title


Record = Callable[[str, object], None]  # pytest's record_property; what is recorded as "proof" ends the run's output


@pytest.fixture(scope="module", params=CASES + MIXED, ids=lambda case: case.title)
def proven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Proven:
    case: Case = request.param
    work = tmp_path_factory.mktemp("proven")
    calibration, test = (str(DATA / spec) for spec in (case.calibration, case.test))
    options = Options(
        calibration=calibration, preprocess=case.preprocess, emit=("tflite",), name="net", weights=case.weights
    )
    compiled = compile_model(DATA / f"{case.model}.onnx", options)
    return Proven(case, compiled, write_folder(work / "out", "net", compiled.files), test)


def batches(proven: Proven, count: int | None = None) -> Iterator[NDArray[np.int8]]:
    network = proven.compiled.quantized
    found = network_inputs.spread(network_inputs.open_pictures(network, proven.test), count)
    return (feed.integer for feed in network_inputs.feeds(network, found, BATCH))


def test_c_on_the_host_numpy_and_tensorflow_lite_micro_agree_in_every_byte_on_all_pictures(
    proven: Proven, record_property: Record
) -> None:
    network, folder = proven.compiled.quantized, proven.folder
    interpreter = runtime.Interpreter.from_bytes((folder.path / "net.tflite").read_bytes(), arena_size=8 << 20)
    count = 0
    for inputs in batches(proven):
        reference = int8_reference.run_outputs(network, inputs)
        np.testing.assert_array_equal(execution.outputs(folder, network, HOST, inputs), reference)
        for one, wanted in zip(inputs, reference, strict=True):
            interpreter.set_input(one[None], 0)
            interpreter.invoke()
            np.testing.assert_array_equal(interpreter.get_output(0).reshape(wanted.shape), wanted)
        count += len(inputs)
    assert count >= 600
    record_property("proof", f"{proven.name}: C on the host = NumPy = TensorFlow Lite Micro on {count} pictures")


def test_c_under_sanitizers_agrees_in_every_byte_on_fifty_pictures(proven: Proven, record_property: Record) -> None:
    network = proven.compiled.quantized
    (inputs,) = batches(proven, SANITIZED_PICTURES)
    made = execution.outputs(proven.folder, network, HOST, inputs, sanitize=True)
    np.testing.assert_array_equal(made, int8_reference.run_outputs(network, inputs))
    record_property("proof", f"{proven.name}: address and undefined-behaviour sanitizers find nothing on {len(inputs)}")


@pytest.mark.skipif(toolchain.find_arm_compiler() is None, reason=toolchain.ARM_HELP)
@pytest.mark.skipif(toolchain.find_qemu() is None, reason=toolchain.QEMU_HELP)
def test_c_on_the_emulated_cortex_m7_agrees_in_every_byte_on_fifty_pictures(
    proven: Proven, record_property: Record
) -> None:
    network, place = proven.compiled.quantized, Place(boards.load(BOARD))
    (inputs,) = batches(proven, BOARD_PICTURES)
    assert len(inputs) == BOARD_PICTURES
    made = execution.outputs(proven.folder, network, place, inputs)
    np.testing.assert_array_equal(made, int8_reference.run_outputs(network, inputs))
    record_property("proof", f"{proven.name}: C on {place.title} = NumPy on {len(inputs)} pictures")


def test_int8_keeps_the_accuracy(proven: Proven, record_property: Record) -> None:
    found = network_inputs.open_pictures(proven.compiled.quantized, proven.test)
    figures = evaluator.evaluate(proven.folder, found, proven.compiled.network, None)
    assert figures.agreement is not None
    if proven.case.agreement is not None:
        assert figures.agreement >= proven.case.agreement
    if proven.case.top1_loss is not None:
        assert figures.top1.of_float is not None
        assert figures.top1.of_int8 is not None
        assert figures.top1.of_int8 >= figures.top1.of_float - proven.case.top1_loss
    assert figures.agreement >= 0.95
    tops = ", ".join(
        f"{name} {percent(top)}" for name, top in (("float", figures.top1.of_float), ("int8", figures.top1.of_int8))
    )
    snr = None if figures.snr_db is None else f"{figures.snr_db:.1f} dB"
    record_property("proof", f"{proven.name}: top-1 {tops}, agreement {percent(figures.agreement)}, {snr}")


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_the_c_of_every_float_export_follows_its_recorded_output(path: Path, tmp_path: Path) -> None:
    preprocess = None if "uint8" in path.stem else "tf"  # that one normalises its pixels itself
    options = Options(calibration=str(DATA / f"{FLOWERS}:x_calib"), preprocess=preprocess, name="net")
    compiled = compile_model(path, options)
    folder = write_folder(tmp_path / "out", "net", compiled.files)
    with np.load(path.with_suffix(".npz")) as record:
        np.save(tmp_path / "x.npy", record["input"])
        wanted = record["output"].reshape(-1).astype(np.float64)
    inputs = network_inputs.read_input(compiled.quantized, str(tmp_path / "x.npy"))
    made = execution.outputs(folder, compiled.quantized, HOST, inputs).reshape(-1).astype(np.float64)
    tensor = compiled.quantized.tensor(compiled.quantized.outputs[0])
    logits = (made - tensor.zero_point) * tensor.scale
    if compiled.network.model_output.tail == "softmax":
        powers = np.exp(logits - logits.max())
        logits = powers / powers.sum()
    assert logits.argmax() == wanted.argmax()
    assert logits @ wanted / np.linalg.norm(logits) / np.linalg.norm(wanted) >= 0.98
