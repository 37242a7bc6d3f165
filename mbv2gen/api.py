# SPDX-License-Identifier: Apache-2.0
"""Python: what ``import mbv2gen`` offers. The commands call the same functions.

Wherever a path is taken, text does as well. ``on``: where C runs, as for ``--on``: "host", "qemu", "serial:PORT", and
for ``evaluate`` "numpy", nowhere; ``board``: which one is emulated. ``progress`` is told (done, total). Mbv2genError
is raised for bad input, CheckFailed, one of its kind, where something that must be equal is not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen import compiler, output_folder, profiling, targets, verification
from mbv2gen.compiler import Options
from mbv2gen.errors import Mbv2genError
from mbv2gen.evaluation import classes, evaluator
from mbv2gen.evaluation.accuracy import Accuracy
from mbv2gen.hardware import boards, execution, toolchain
from mbv2gen.hardware.board_fit import check_fits
from mbv2gen.hardware.execution import Place
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.profiling import Profile
from mbv2gen.progress import Tell
from mbv2gen.quantization import effort as efforts
from mbv2gen.quantization.weight_storage import Budget, read_budget
from mbv2gen.quantized_network import Int8Array
from mbv2gen.result import Result, model_output
from mbv2gen.verification import Verification
from mbv2gen.workers import Crew

FilePath: TypeAlias = str | PathLike[str]
Numbers: TypeAlias = str | float | Sequence[float]
Output: TypeAlias = Result | OutputFolder | FilePath  # of a compile
On: TypeAlias = str | Place | None
Warn: TypeAlias = Callable[[str], None]

BATCH = 64
SYNTHETIC = {"host": 64, "qemu": 8, "serial": 8}  # inputs that verify makes up where it is given none


def compile(
    model: FilePath,
    *,
    target: str | None = None,
    board: str | None = None,
    calibration: FilePath | None = None,
    output: FilePath | None = None,
    name: str | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    preprocess: Literal["torchvision", "tf", "unit"] | None = None,
    resize: Literal["squash", "crop", "area", "crop-area", "bilinear", "crop-bilinear"] | None = None,
    colour: Literal["RGB", "BGR", "GREY"] | None = None,
    emit: Iterable[Literal["tflite", "qdq"]] = (),
    feed: Literal["frame", "rows"] = "frame",
    keep_input: bool = False,
    input_align: Literal[16, 32, 64] | None = None,
    effort: int = efforts.DEFAULT,
    optimize: Literal["ram", "balanced", "speed", "size"] | None = None,
    arena_limit: int | None = None,
    weights: Literal["int8", "int4", "mixed"] = "int8",
    weights_budget: str | Budget | None = None,
    progress: Tell | None = None,
) -> Result:
    """Quantize ``model`` to int8, plan its memory and generate C; with ``output`` also write that folder.

    The options are those of ``mbv2gen compile``. ``target`` None: the core of ``board``, else cortex-m7.
    ``calibration``: a folder of pictures or of CLASS/ folders, a table FILE.csv[:SPLIT], FILE.npz[:KEY] or FILE.npy.
    """
    if output is not None:
        output_folder.check_writable(Path(output))
    chosen = boards.load(board) if board is not None else None
    core = target or (chosen.core if chosen is not None else Options.target)
    options = Options(
        target=targets.find(core).name,
        board=board,
        name=name,
        calibration=None if calibration is None else fspath(calibration),
        mean=_text(mean),
        std=_text(std),
        preprocess=preprocess,
        resize=resize,
        colour=colour,
        emit=tuple(emit),
        feed=feed,
        keep_input=keep_input,
        input_align=input_align,
        effort=effort,
        optimize=optimize,
        arena_limit=arena_limit,
        weights=weights,
        weights_budget=read_budget(weights_budget) if isinstance(weights_budget, str) else weights_budget,
    )
    result = compiler.compile_model(Path(model), options, progress)
    if chosen is not None:
        check_fits(result.program, chosen)
    return result if output is None else result.write(output)


def open_folder(folder: FilePath) -> OutputFolder:
    """What an earlier compile has written."""
    return output_folder.open_folder(Path(folder))


def run(
    folder: Output,
    x: FilePath | NDArray[np.generic],
    *,
    on: On = None,
    board: str | None = None,
    raw: bool = False,
    progress: Tell | None = None,
) -> NDArray[np.generic]:
    """What the compiled C makes of ``x``, as the ONNX model itself would return it: float32.

    ``x``: a picture, an .npy, FILE.npz:KEY, or an array as ``Result.run`` takes it. ``raw``: int8 [n][h][w][c] in and
    out, the integer network's own values.
    """
    opened = _opened(folder)
    network, place = opened.network(), _where(opened, on, board)
    if isinstance(x, np.ndarray):
        inputs = network_inputs.from_array(network, x, raw=raw)
    else:
        inputs = network_inputs.read_input(network, fspath(x), raw=raw)
    made = execution.outputs(opened, network, place, inputs, tell=progress)
    return made if raw else model_output(network, made)


def verify(
    folder: Output,
    *,
    on: On = None,
    board: str | None = None,
    images: FilePath | None = None,
    count: int | None = None,
    progress: Tell | None = None,
) -> Verification:
    """Compare the C with NumPy, every byte of the outputs and of all layers' rows; ``difference`` None: equal.

    ``images`` as ``calibration`` of ``compile``; None: made-up inputs. ``count``: how many of them.
    """
    opened = _opened(folder)
    network, place = opened.network(), _where(opened, on, board)
    if images is None:
        total = count or SYNTHETIC[place.on]
        batches = _split(network_inputs.synthetic(network, total))
    else:
        found = network_inputs.spread(network_inputs.open_pictures(network, fspath(images)), count)
        total = len(found)
        batches = (feed.integer for feed in network_inputs.feeds(network, found, BATCH))
    return verification.verify(opened, place, batches, total, progress)


def evaluate(
    folder: Output,
    images: FilePath,
    *,
    model: FilePath | None = None,
    labels: FilePath | None = None,
    on: On = None,
    board: str | None = None,
    worst: int = evaluator.WORST,
    skip_bad: bool = False,
    crew: Crew | None = None,
    progress: Tell | None = None,
    warn: Warn = warnings.warn,
) -> Accuracy:
    """Measure accuracy of float, NumPy int8 and C on ``images``; into the folder's report too.

    ``model``: the ONNX file, looked for beside the folder and in the current one where it is not given. ``labels``: a
    table for a folder of pictures. ``worst``: how many pictures to name. ``crew``: who works. ``warn`` is told what
    could not be measured here.
    """
    opened = _opened(folder)
    place = _place(opened, on, board, warn)
    quantized = opened.network()
    found = network_inputs.open_pictures(quantized, fspath(images), None if labels is None else Path(labels))
    source = evaluator.find_model(opened, None if model is None else Path(model))
    names = None if source is None else classes.names_beside(source, classes.class_count(quantized))
    network = None if source is None else compiler.read_network(source, opened.name)
    if network is None:
        missing = f"{quantized.source.file} is neither beside {opened.path} nor here"
        warn(f"{missing}: no float figures; name it with --model")
    found_accuracy = evaluator.evaluate(
        opened, found, network, place, names=names, crew=crew, worst=worst, skips_bad=skip_bad, tell=progress
    )
    opened.write_report({**opened.report(), "accuracy": found_accuracy.as_json()})
    return found_accuracy


def profile(folder: Output, *, board: str | None = None, progress: Tell | None = None) -> Profile:
    """Count instructions in QEMU, measure stack, code and flash; into the folder's report too."""
    opened = _opened(folder)
    chosen = execution.find_place(opened, "qemu", board).board or boards.load(execution.DEFAULT_BOARD)
    measured = profiling.profile(opened, chosen, progress)
    opened.write_report(profiling.in_report(opened.report(), measured))
    return measured


def _opened(folder: Output) -> OutputFolder:
    if isinstance(folder, OutputFolder):
        return folder
    if not isinstance(folder, Result):
        return open_folder(folder)
    if folder.folder is None:
        raise Mbv2genError(f"{folder.name}: was not written; call write(FOLDER) on the result, or compile with output=")
    return folder.folder


def _where(folder: OutputFolder, on: On, board: str | None) -> Place:
    return on if isinstance(on, Place) else execution.find_place(folder, on, board)


def _text(values: Numbers | None) -> str | None:
    """As it stands on the command line."""
    if values is None or isinstance(values, str):
        return values
    return ",".join(repr(float(value)) for value in ([values] if isinstance(values, int | float) else values))


def _split(inputs: Int8Array) -> Iterator[Int8Array]:
    return (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))


def _place(folder: OutputFolder, on: On, board: str | None, warn: Warn) -> Place | None:
    """Where C runs; None where it is not to, or where that was not said and this machine cannot compile it."""
    place = _where(folder, on, board)
    if on is None and place.board is None and toolchain.find_host_compiler() is None:
        warn(f"{toolchain.HOST_HELP}: NumPy int8 alone is measured, not its C")
        return None
    return None if on == "numpy" else place
