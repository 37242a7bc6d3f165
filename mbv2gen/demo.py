# SPDX-License-Identifier: Apache-2.0
"""Demo: the committed example through the whole chain, with whatever compilers and emulator this machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mbv2gen import compiler, profiling, resources, verification
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.evaluation import evaluator
from mbv2gen.evaluation.accuracy import Accuracy
from mbv2gen.hardware import boards, execution, toolchain
from mbv2gen.hardware.execution import HOST, Place
from mbv2gen.output_folder import OutputFolder, write_folder
from mbv2gen.pixels import network_inputs
from mbv2gen.profiling import Profile
from mbv2gen.progress import Tell
from mbv2gen.result import Result
from mbv2gen.verification import Verification

EXAMPLE, TARGET, BOARD = "digits", "cortex-m7", "mps2-an500"
HOST_INPUTS, BOARD_INPUTS = 60, 10

Step: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """What came out; None for what this machine could not do, ``left_out`` says why."""

    folder: OutputFolder
    compiled: Result
    on_host: Verification | None
    on_board: Verification | None
    accuracy: Accuracy
    profile: Profile | None
    left_out: tuple[str, ...]


def demo(path: Path, step: Step, tell: Tell) -> Demo:
    """Compile the example into ``path``, verify it on the host and on the board, evaluate and profile it.

    ``step`` is told what is about to happen. Raises CheckFailed where anything is not equal that must be.
    """
    example = resources.examples_dir() / EXAMPLE
    model, test_images = example / f"{EXAMPLE}.onnx", str(example / f"{EXAMPLE}_test.npz")
    step(f"compile {model.name} for {TARGET}")
    calibration = str(example / f"{EXAMPLE}_calibration.npz")
    options = compiler.Options(target=TARGET, name=EXAMPLE, calibration=calibration)
    compiled = compiler.compile_model(model, options, tell)
    folder = write_folder(path, EXAMPLE, compiled.files)

    left_out: list[str] = []
    on_host = on_board = measured = None
    if _available(left_out, "verify on the host", toolchain.require_host_compiler):
        step("verify on the host, with sanitizers")
        on_host = _verified(folder, HOST, test_images, HOST_INPUTS, left_out=left_out, tell=tell)
    if _available(left_out, f"{BOARD} in QEMU", toolchain.require_arm_compiler, toolchain.require_qemu):
        board = boards.load(BOARD)
        step(f"verify on an emulated {BOARD}")
        on_board = _verified(folder, Place(board), test_images, BOARD_INPUTS, left_out=left_out, tell=tell)
        if on_board is not None:
            step(f"count instructions on {BOARD}")
            measured = profiling.profile(folder, board, tell)
    step("evaluate on the test pictures: float, NumPy int8" + (", C" if on_host else ""))
    found = network_inputs.open_pictures(compiled.quantized, test_images)
    figures = evaluator.evaluate(folder, found, compiled.network, execution.HOST if on_host else None, tell=tell)
    if not figures.is_c_equal:
        raise CheckFailed(f"{path}: C equals NumPy on {figures.c_equal} of {figures.images} pictures only")
    report = {**folder.report(), "accuracy": figures.as_json()}
    folder.write_report(report if measured is None else profiling.in_report(report, measured))
    return Demo(folder, compiled, on_host, on_board, figures, measured, tuple(left_out))


def _available(left_out: list[str], what: str, *requirements: Callable[[], Path]) -> bool:
    """Whether every tool is there; notes the first that is not."""
    try:
        for require in requirements:
            require()
    except Mbv2genError as error:
        left_out.append(f"{what}: {error}")
        return False
    return True


def _verified(
    folder: OutputFolder, place: Place, images: str, count: int, *, left_out: list[str], tell: Tell
) -> Verification | None:
    """None, with a note, where the tools are there but cannot build it (headers or sanitizers missing)."""
    network = folder.network()
    found = network_inputs.spread(network_inputs.open_pictures(network, images), count)
    batches = (feed.integer for feed in network_inputs.feeds(network, found, count))
    try:
        result = verification.verify(folder, place, batches, len(found), tell)
    except CheckFailed:
        raise
    except Mbv2genError as error:
        left_out.append(f"verify on {place.title}: {error}")
        return None
    if result.difference is not None:
        raise CheckFailed(f"{folder.path}: C on {place.title} is not NumPy: {result.difference}")
    return result
