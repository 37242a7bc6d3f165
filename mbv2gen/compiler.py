# SPDX-License-Identifier: Apache-2.0
"""The compiler: one chain of stages over frozen values. After each stage stands a check that shares no code with it.

model.onnx -> Graph -> Network -> QuantizedNetwork -> Candidates -> Plan -> Program -> CSources
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mbv2gen import (
    candidates,
    csources,
    identifiers,
    output_folder,
    program,
    program_interpreter,
    pruning,
    report,
    targets,
)
from mbv2gen.dsp.call_fields import BodySet
from mbv2gen.dsp.ranges import Ranges, ranges
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Network
from mbv2gen.onnx_import import lowering, onnx_file
from mbv2gen.packing import check as packing_check
from mbv2gen.pixels import pictures, preprocessing
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.plan import Plan
from mbv2gen.planning import trade_offs
from mbv2gen.planning.objective import OBJECTIVES, Objective, objective
from mbv2gen.planning.occupancy import occupancy
from mbv2gen.quantization import bounds, effort, given_network, quantized_network_file, weight_storage
from mbv2gen.quantization.exports import EXPORTS
from mbv2gen.quantization.weight_storage import Budget, Storage
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.report_page import page
from mbv2gen.result import Result

Progress = Callable[[int, int], None]

CHOICES = {
    "feed": ("frame", "rows"),
    "emit": tuple(EXPORTS),
    "optimize": tuple(OBJECTIVES),
    "weights": weight_storage.KINDS,
}
INPUT_ALIGNS = (16, 32, 64)  # bytes; a line of the Cortex-M7's data cache has 32
FEW_PICTURES = 32  # of calibration: below it results differ by several decibels from draw to draw


@dataclass(frozen=True)
class Options:
    """What the user asked for; see ``mbv2gen compile --help``. None is: not said."""

    target: str = "cortex-m7"
    board: str | None = None
    name: str | None = None
    calibration: str | None = None
    mean: str | None = None
    std: str | None = None
    preprocess: str | None = None
    resize: str | None = None
    colour: str | None = None
    emit: tuple[str, ...] = ()
    feed: str = "frame"
    keep_input: bool = False
    input_align: int | None = None
    effort: int = effort.DEFAULT
    optimize: str | None = None
    arena_limit: int | None = None
    weights: str = "int8"
    weights_budget: Budget | None = None

    def __post_init__(self) -> None:
        """Mbv2genError where a value is none of those there are."""
        if not 0 <= self.effort <= effort.HIGHEST:
            raise Mbv2genError(f"--effort {self.effort}: is none of 0 to {effort.HIGHEST}")
        chosen = {
            "feed": (self.feed,),
            "emit": self.emit,
            "optimize": () if self.optimize is None else (self.optimize,),
            "weights": (self.weights,),
        }
        if self.input_align is not None:
            if self.input_align not in INPUT_ALIGNS:
                allowed_bytes = ", ".join(map(str, INPUT_ALIGNS))
                raise Mbv2genError(f"--input-align {self.input_align}: is none of {allowed_bytes}")
            if self.feed != "frame":
                raise Mbv2genError(
                    "--input-align goes with --feed frame; rows are copied from the caller's own buffer, align that one"
                )
        if self.weights_budget is not None and self.weights != "mixed":
            raise Mbv2genError("--weights-budget goes with --weights mixed")
        for option, allowed in CHOICES.items():
            for value in chosen[option]:
                if value not in allowed:
                    raise Mbv2genError(f"--{option} {value}: is none of {', '.join(allowed)}")

    @property
    def storage(self) -> Storage:
        return Storage(self.weights, self.weights_budget)

    @property
    def objective(self) -> Objective:
        return objective(self.optimize, self.arena_limit)


def read_network(model: Path, name: str | None = None) -> Network:
    """model.onnx -> Graph -> Network."""
    chosen = identifiers.check_network_name(name) if name else identifiers.network_name(model.stem)
    return lowering.lower(onnx_file.read_graph(model), chosen)


def compile_model(model: Path, options: Options, progress: Progress | None = None) -> Result:
    """The whole chain but the writing; raises Mbv2genError for bad input, CheckFailed where a stage's check fails."""
    network = read_network(model, options.name)
    quantized, warnings = quantize(model, network, options, progress)
    complete, files = generate(model, network, quantized, options)
    return Result(network, quantized, complete, files, warnings)


def generate(
    model: Path, network: Network, quantized: QuantizedNetwork, options: Options
) -> tuple[program.Program, dict[str, bytes]]:
    """QuantizedNetwork -> ... -> CSources, and the files of the output folder."""
    bounds.check(quantized)
    known = ranges(quantized)
    planned = plan_network(quantized, options, known)
    complete = complete_program(quantized, planned, options, known)
    command = command_line(model, network.name, options)
    sources = csources.render(complete, network.name, command)
    files = {file: text.encode() for file, text in sources.items()}
    files[output_folder.NETWORK] = quantized_network_file.dump(quantized)
    facts = report.report(complete, occupancy(planned), options.objective, command=command, board=options.board)
    files |= {output_folder.REPORT: report.text(facts), output_folder.PAGE: page.page(facts).encode()}
    for export in (EXPORTS[name] for name in options.emit):
        files[f"{network.name}{export.ending}"] = export.emit(quantized)
    return complete, files


def plan_network(quantized: QuantizedNetwork, options: Options, known: Ranges) -> Plan:
    """QuantizedNetwork -> Candidates -> Plan."""
    kernels = candidates.candidates(quantized, targets.find(options.target).family, known)
    return trade_offs.plan_for(
        quantized,
        kernels,
        options.objective,
        feed=options.feed,
        keep_input=options.keep_input,
        input_align=options.input_align or 1,
    )


def complete_program(quantized: QuantizedNetwork, planned: Plan, options: Options, known: Ranges) -> program.Program:
    """Plan -> Program, checked."""
    bodies = BodySet(few=options.objective.is_small)
    complete = program.program(quantized, planned, options.target, known, bodies)
    program_interpreter.check_arena(complete)
    packing_check.check_packing(complete)
    return complete


def plan_program(quantized: QuantizedNetwork, options: Options) -> program.Program:
    """QuantizedNetwork -> ... -> Program."""
    known = ranges(quantized)
    return complete_program(quantized, plan_network(quantized, options, known), options, known)


def quantize(
    model: Path, network: Network, options: Options, progress: Progress | None = None
) -> tuple[QuantizedNetwork, tuple[str, ...]]:
    """Network -> pruned Network -> QuantizedNetwork, and what the user should know about it.

    A network that its file has quantized already stays as it is.
    """
    data, how, warnings = open_calibration(model, network, options)
    storage = options.storage
    if network.is_quantized:
        refuse_four_bits(network, storage)
        return given_network.quantize(network, data, how, progress), warnings
    pruned = pruning.prune(network)
    return weight_storage.quantize(pruned, data, how, options.effort, storage, progress).integer, warnings


def refuse_four_bits(network: Network, storage: Storage) -> None:
    """Of a network that its file has quantized; raises Mbv2genError."""
    if storage.kind != "int8":
        raise Mbv2genError(
            f"--weights {storage.kind}: {network.source.file} is quantized already, and its weights stay as they are; "
            "give the float model it was made of"
        )


def open_calibration(
    model: Path, network: Network, options: Options
) -> tuple[Pictures | None, Preprocessing, tuple[str, ...]]:
    """The pictures of ``options.calibration``, how pixels become input, and what the user should know about both."""
    shape = network.shape(network.inputs[0])
    how = preprocessing.from_options(
        shape[2],
        network.model_input,
        mean=options.mean,
        std=options.std,
        preprocess=options.preprocess,
        resize=options.resize,
        colour=options.colour,
        toml=model.with_suffix(".toml"),
    )
    data = None
    if options.calibration is not None:
        data = pictures.open_pictures(options.calibration, shape, how, network.model_input)
    return data, how, ((how.note,) if how.note else ()) + _about_calibration(network, data)


def _about_calibration(network: Network, data: Pictures | None) -> tuple[str, ...]:
    if network.is_quantized:
        if data is None:
            return ()
        left = given_network.unquantized(network)
        kept = "the file is quantized: its own scales and zero points are kept, --calibration "
        return (kept + (f"gives a range to {', '.join(left)} alone" if left else "changes none of them"),)
    if data is None:
        return (
            "no --calibration: ranges come from ReLU6 and synthetic pictures, and accuracy will suffer; "
            "give about 100 pictures like those the network will see",
        )
    if len(data) < FEW_PICTURES:
        counted = f"{len(data)} picture{'' if len(data) == 1 else 's'}"
        return (f"--calibration: {counted} cannot tell much, and accuracy may suffer; give about 100",)
    return ()


def command_line(model: Path, name: str, options: Options) -> str:
    """The command that makes these files again, with bare file names: the same in every folder."""
    words = ["mbv2gen compile", model.name, "--target", options.target, "--name", name]
    if options.board is not None:
        words += ["--board", options.board]
    if options.calibration is not None:
        words += ["--calibration", options.calibration.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]]
    for option in ("mean", "std", "preprocess", "resize", "colour"):
        value = getattr(options, option)
        if value is not None:
            words += [f"--{option}", value]
    if options.effort != effort.DEFAULT:
        words += ["--effort", str(options.effort)]
    if options.weights != Options.weights:
        words += ["--weights", options.weights]
    if options.weights_budget is not None:
        words += ["--weights-budget", options.weights_budget.text]
    if options.feed != "frame":
        words += ["--feed", options.feed]
    if options.keep_input:
        words.append("--keep-input")
    if options.input_align is not None:
        words += ["--input-align", str(options.input_align)]
    return " ".join([*words, *planning_words(options.optimize, options.arena_limit)])


def planning_words(optimize: str | None, arena_limit: int | None) -> list[str]:
    """What was said of the trade-off between memory, speed and size, as it stands on the command line."""
    words = ["--optimize", optimize] if optimize is not None else []
    return words + (["--arena-limit", str(arena_limit)] if arena_limit is not None else [])
