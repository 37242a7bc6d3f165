# SPDX-License-Identifier: Apache-2.0
"""Whole networks on the dsp kernels: with few bodies, with fallback bodies alone, interrupted, and in constant time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mobilenets import mobilenet_v1, mobilenet_v2
from random_networks import random_network
from small_models import write_network, write_program
from toy_network import needs_arm_compiler, needs_host_compiler, needs_qemu

from mbv2gen import compiler, int8_reference, program, report
from mbv2gen.compiler import Options
from mbv2gen.dsp.bodies import BODIES
from mbv2gen.dsp.call_fields import BodySet
from mbv2gen.dsp.depthwise_calls import rests
from mbv2gen.dsp.ranges import ranges
from mbv2gen.hardware import boards, firmware, program_build, runner
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.output_folder import OutputFolder
from mbv2gen.packing import check as packing_check
from mbv2gen.pixels import network_inputs
from mbv2gen.planning.occupancy import occupancy
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork
from mbv2gen.resources import firmware_dir
from mbv2gen.verification import verify

HARNESS = Path(__file__).parent / "dsp_harness"
M7 = boards.load("mps2-an500")
PLACES = [pytest.param(HOST, marks=needs_host_compiler, id="host")]
PLACES += [pytest.param(Place(M7), marks=[needs_arm_compiler, needs_qemu], id="cortex-m7")]


def network() -> QuantizedNetwork:
    """MobileNetV2 0.1 for 72x72 pixels: rows of 36, 18, 9, 5 and 3 pixels, every rest of four."""
    return mobilenet_v2(0.1, 72, 10)


def equals_numpy(folder: OutputFolder, place: Place, inputs: Int8Array) -> bool:
    """In every row of every layer."""
    result = verify(folder, place, iter([inputs]), len(inputs))
    return result.difference is None and result.layer_values > 0


def extremes(of: QuantizedNetwork, random: int) -> Int8Array:
    """int8 [random + 8][h][w][c]: random pixels; sorted ones, checkers, all equal."""
    shape = of.shape(of.inputs[0])
    rng = np.random.default_rng(9)
    noise = rng.integers(-128, 128, (random, *shape)).astype(np.int8)
    ramp = np.sort(noise[0], axis=None)
    checkers = np.where(np.indices(shape).sum(axis=0) % 2, 127, -128)
    made = (ramp, ramp[::-1], checkers, -1 - checkers, *(np.full(shape, v) for v in (-128, -1, 0, 127)))
    return np.concatenate([noise, np.stack([one.reshape(shape) for one in made])]).astype(np.int8)


@pytest.mark.parametrize("place", PLACES)
def test_few_bodies_compute_the_same(place: Place, tmp_path: Path) -> None:
    made = network()
    folder = write_network(made, tmp_path / "size", optimize="size")
    assert (folder.path / "mbv2_dsp_few.h").is_file()
    assert equals_numpy(folder, place, network_inputs.synthetic(made, 2))


@needs_host_compiler
@pytest.mark.parametrize("seed", range(2))
def test_few_bodies_compute_random_networks(seed: int, tmp_path: Path) -> None:
    made = random_network(np.random.default_rng(seed), name="random")
    folder = write_network(made, tmp_path / "size", optimize="size")
    assert equals_numpy(folder, HOST, network_inputs.synthetic(made, 2))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("optimize", ["balanced", "size"])
def test_a_mobilenet_v1_runs_on_dsp_kernels_alone(place: Place, optimize: str, tmp_path: Path) -> None:
    """But for its mean: depthwise reads the rows that a pointwise convolution with ReLU has written."""
    made = mobilenet_v1(38)
    folder = write_network(made, tmp_path / "out", optimize=optimize)
    kernels = {layer["kernel"] for layer in folder.report()["layers"]}
    assert {kernel for kernel in kernels if not kernel.endswith("_dsp")} == {"mbv2_mean_s8"}
    assert "mbv2_depthwise_conv_nhwc_s8_dsp" in kernels
    assert equals_numpy(folder, place, network_inputs.synthetic(made, 2))


@needs_host_compiler
def test_windows_of_5x5_run_in_the_plain_kernel(tmp_path: Path) -> None:
    made = mobilenet_v1(22, kernel=5)
    folder = write_network(made, tmp_path / "out")
    assert "mbv2_depthwise_conv_s8" in {layer["kernel"] for layer in folder.report()["layers"]}
    assert equals_numpy(folder, HOST, network_inputs.synthetic(made, 2))


@pytest.mark.parametrize("place", PLACES)
def test_rows_that_leave_two_outputs_have_a_body_where_it_saves_enough(place: Place, tmp_path: Path) -> None:
    made = mobilenet_v1(72)
    candidates = compiler.plan_network(made, Options(), ranges(made)).candidates
    widths = {made.shape(operator.outputs[0])[1] for operator in made.operators if operator.kind == "depthwise"}
    assert {36, 18} <= widths
    assert "1" in rests(made, candidates)
    assert "1" not in rests(made, [replace(candidate, instructions=1e9) for candidate in candidates])
    folder = write_network(made, tmp_path / "out")
    assert "mbv2_dw_rows1_rest2_dsp" in (folder.path / f"{folder.name}_dsp_bodies.S").read_text(encoding="utf-8")
    assert equals_numpy(folder, place, network_inputs.synthetic(made, 2))


def test_few_bodies_are_fewer() -> None:
    made, known = network(), ranges(network())

    def bodies(optimize: str) -> set[str]:
        options = Options(optimize=optimize)
        planned = compiler.plan_network(made, options, known)
        return set(compiler.complete_program(made, planned, options, known).inner_bodies) & set(BODIES)

    few = {name.removeprefix("mbv2_").removesuffix("_dsp") for name in bodies("size")}
    pointwise = {name for name in few if name.startswith(("pw_", "expand_"))}
    assert pointwise <= {"pw_relu4", "pw_relu4_sh", "pw_lin4", "pw_lin1", "expand_tile4", "expand_tile1"}
    assert len(few) <= len(bodies("balanced")) - 8


@pytest.mark.parametrize("place", PLACES)
def test_fallback_bodies_alone_compute_the_same(place: Place, tmp_path: Path) -> None:
    """No solver: pointwise channels have shifts of their own, depthwise ones run in the general body."""
    made, options = network(), Options(optimize="size")  # no kernels on planes, which have no general body
    known = ranges(made)
    planned = compiler.plan_network(made, options, known)
    complete = program.program(made, planned, "cortex-m7", known, BodySet(solver=False))
    packing_check.check_packing(complete)
    for call in complete.calls:
        counts = dict(call.work.statistics)
        if call.kind == "depthwise":
            assert counts["general"] + counts["constant"] == call.output_shape[2]
        elif call.body == "conv_1x1_lines_s8_dsp":
            assert counts["solved"] == 0
    about = report.report(complete, occupancy(planned), options.objective, command="test")
    depthwise = sum(call.output_shape[2] for call in complete.calls if call.kind == "depthwise")
    assert 0.9 * depthwise < about["channels"]["general"] <= depthwise
    folder = write_program(complete, tmp_path / "out", about)
    assert equals_numpy(folder, place, network_inputs.synthetic(made, 1))


@needs_arm_compiler
@needs_qemu
def test_interrupts_during_an_inference_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each overwrites the caller-saved registers, the flags and 256 bytes of stack."""
    copied = tmp_path / "firmware"
    shutil.copytree(firmware_dir(), copied)
    shutil.copy(HARNESS / "measure_interrupted.c", copied / "measure_cortex_m.c")
    shutil.copy(HARNESS / "interrupts.h", copied)
    for module in (firmware, program_build):
        monkeypatch.setattr(module, "firmware_dir", lambda: copied)
    made = network()
    folder, inputs = write_network(made, tmp_path / "out"), network_inputs.synthetic(made, 3)
    result = runner.run(firmware.build_board(folder.path, folder.name, M7, folder.builds), inputs, board=M7)
    np.testing.assert_array_equal(result.outputs, int8_reference.run_outputs(made, inputs).reshape(3, -1))
    assert result.instructions is not None
    assert result.instructions[-1] > 500


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("optimize", ["balanced", "size", "ram"])
def test_an_inference_takes_the_same_instructions_whatever_the_picture(optimize: str, tmp_path: Path) -> None:
    made = network()
    folder, inputs = write_network(made, tmp_path / "out", optimize=optimize), extremes(made, 20)
    result = runner.run(firmware.build_board(folder.path, folder.name, M7, folder.builds), inputs, board=M7)
    np.testing.assert_array_equal(result.outputs, int8_reference.run_outputs(made, inputs).reshape(len(inputs), -1))
    assert result.instructions is not None
    assert len(set(result.instructions)) == 1
