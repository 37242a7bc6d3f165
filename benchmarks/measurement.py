# SPDX-License-Identifier: Apache-2.0
"""One network on one emulated board: bytes, instructions and exactness of one ELF, and its kernels' instructions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from networks import Loaded
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime

from mbv2gen import compiler, csources, int8_reference, output_folder, report
from mbv2gen.compiler import Options
from mbv2gen.dsp.calls import DSP_BODIES
from mbv2gen.dsp.ranges import ranges
from mbv2gen.hardware import firmware, image_sizes, runner
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.runner import RunResult
from mbv2gen.output_folder import OutputFolder
from mbv2gen.plan import Plan
from mbv2gen.planning.objective import BALANCED
from mbv2gen.planning.occupancy import occupancy
from mbv2gen.program import Program
from mbv2gen.quantization import quantized_network_file, tflite_file
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

SECONDS_WITHOUT_OUTPUT = 900.0  # one inference of the largest network on a busy machine
TFLITE_MICRO_ARENA = 16 << 20


@dataclass(frozen=True, eq=False)
class Expected:
    """Inputs int8 [n][h][w][c], and what NumPy and TensorFlow Lite Micro make of them, int8 [n][output bytes]."""

    inputs: Int8Array
    numpy: Int8Array
    tflite_micro: Int8Array


@dataclass(frozen=True)
class Kernel:
    """All calls of one kernel in one network."""

    body: str
    calls: int
    macs: int
    instructions: int


@dataclass(frozen=True, eq=False)
class Measured:
    """A row of the table.

    ``weights_bytes`` as the packer counts them in streams that hold parameters too; ``parameters_bytes`` are all other
    constants of the image, literals included. ``general_channels`` of ``channels`` run on the general fallback body of
    a fast kernel, ``plain_calls`` layers (``plain_macs``) in plain kernels, where there is a fast family; ``kernels``
    come from a profiling build.
    """

    loaded: Loaded
    board: Board
    feed: str
    code_bytes: int
    weights_bytes: int
    parameters_bytes: int
    result: RunResult
    off_numpy: int
    off_tflite_micro: int
    output_channels: int
    channels: int
    general_channels: int
    plain_calls: int
    plain_macs: int
    kernels: tuple[Kernel, ...]

    @property
    def per_mac(self) -> float | None:
        """Of the longest inference."""
        return max(self.result.instructions) / self.loaded.macs if self.result.instructions else None

    @property
    def is_constant(self) -> bool | None:
        """Whether every inference took the same instructions, whatever the input."""
        return len(set(self.result.instructions)) == 1 if self.result.instructions else None


def expected(network: QuantizedNetwork, inputs: Int8Array) -> Expected:
    data = tflite_file.emit(network)
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=len(data) + TFLITE_MICRO_ARENA)
    outputs = []
    for one in inputs:
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1).copy())
    reference = int8_reference.run_outputs(network, inputs).reshape(len(inputs), -1)
    return Expected(inputs, reference, np.stack(outputs))


def measure(
    loaded: Loaded,
    known: Expected,
    board: Board,
    feed: str,
    work: Path,
    *,
    with_kernels: bool,
    optimize: str | None = None,
) -> Measured:
    """Compile, build and run; ``with_kernels``: also the profiling build, on one input."""
    options = Options(target=board.core, feed=feed, optimize=optimize)
    known_values = ranges(loaded.quantized)
    planned = compiler.plan_network(loaded.quantized, options, known_values)
    complete = compiler.complete_program(loaded.quantized, planned, options, known_values)
    folder = written(
        loaded, planned, complete, work / f"{loaded.name}-{board.name}-{feed}{f'-{optimize}' if optimize else ''}"
    )
    title = f"{loaded.name} on {board.name}"
    elf = firmware.build_board(folder.path, folder.name, board, folder.builds)
    result = runner.run(elf, known.inputs, board=board, title=title, timeout_seconds=SECONDS_WITHOUT_OUTPUT)
    layers: tuple[int, ...] = ()
    if with_kernels:
        profiling = firmware.build_board(folder.path, folder.name, board, folder.builds, profile=True)
        one = runner.run(profiling, known.inputs[:1], board=board, title=title, timeout_seconds=SECONDS_WITHOUT_OUTPUT)
        layers = (one.layer_instructions or ((),))[0]
    sizes = image_sizes.image_sizes(elf, folder.name)
    plain = [call for call in complete.calls if call.body not in DSP_BODIES]
    channels = [dict(call.work.statistics) for call in complete.calls if call.work.statistics]
    return Measured(
        loaded=loaded,
        board=board,
        feed=feed,
        code_bytes=sizes.code_bytes,
        weights_bytes=complete.weights_bytes,
        parameters_bytes=sizes.flash_bytes - sizes.code_bytes - complete.weights_bytes,
        result=result,
        off_numpy=_differing(result.outputs, known.numpy),
        off_tflite_micro=_differing(result.outputs, known.tflite_micro),
        output_channels=sum(call.output_shape[2] for call in complete.calls if call.macs),
        channels=sum(each[kind] for each in channels for kind in ("solved", "own_shift", "constant", "general")),
        general_channels=sum(each["general"] for each in channels),
        plain_calls=len(plain),
        plain_macs=sum(call.macs for call in plain),
        kernels=kernels(complete, layers),
    )


def kernels(complete: Program, layers: tuple[int, ...]) -> tuple[Kernel, ...]:
    """Calls, MACs and instructions of every kernel, the costliest first; none where there are no ``layers``."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for call, instructions in zip(complete.calls, layers, strict=False):
        for index, value in enumerate((1, call.macs, instructions)):
            sums[call.body][index] += value
    return tuple(Kernel(body, *values) for body, values in sorted(sums.items(), key=lambda item: -item[1][2]))


def written(loaded: Loaded, planned: Plan, complete: Program, path: Path) -> OutputFolder:
    """The output folder, as ``mbv2gen compile`` would write it."""
    sources = csources.render(complete, loaded.name, f"mbv2gen compile {complete.network.source.file}")
    files = {file: text.encode() for file, text in sources.items()}
    files[output_folder.NETWORK] = quantized_network_file.dump(loaded.quantized)
    files[output_folder.REPORT] = report.text(report.report(complete, occupancy(planned), BALANCED, command=""))
    return output_folder.write_folder(path, loaded.name, files)


def _differing(made: Int8Array, wanted: Int8Array) -> int:
    different: NDArray[np.bool_] = made != wanted
    return int(different.sum())
