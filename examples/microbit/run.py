# SPDX-License-Identifier: Apache-2.0
"""A trained MobileNetV2 on a BBC micro:bit as QEMU models it: Cortex-M0, 16 KB of RAM for everything, 256 KB of flash.

Rows of pixels are pushed in, the picture never stands in memory. The emulated board classifies test pictures; its
output must equal the NumPy reference in every byte, else this ends with exit code 1.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich_click as click

from mbv2gen import compiler, int8_reference
from mbv2gen.commands.terminal import Terminal
from mbv2gen.compiler import Options
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, firmware, runner, toolchain
from mbv2gen.hardware.board import Board
from mbv2gen.hardware.image_sizes import ImageSizes, image_sizes
from mbv2gen.hardware.runner import RunResult
from mbv2gen.output_folder import OutputFolder, write_folder
from mbv2gen.pixels import network_inputs
from mbv2gen.pixels.pictures import Pictures
from mbv2gen.quantized_network import Int8Array
from mbv2gen.result import Result

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
DIGITS = ROOT / "examples" / "digits"
BOARD, TARGET = "microbit", "cortex-m0"
SECONDS_WITHOUT_OUTPUT = 600.0  # one inference on a busy machine


@dataclass(frozen=True)
class Subject:
    """A network, what it is calibrated on, and labelled test pictures. ``preprocess`` None: a .toml says it."""

    name: str
    model: Path
    calibration: str
    test: str
    preprocess: str | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the board made of the pictures, and what it took. ``static_bytes``: variables beside arena and stack."""

    compiled: Result
    board: Board
    pictures: Pictures
    result: RunResult
    reference: Int8Array
    sizes: ImageSizes
    static_bytes: int
    flash_bytes: int


def subject(digits: bool) -> Subject:
    """The flowers where the shared data is, else (or where asked for) the digits."""
    flowers, pictures = SHARED / "models" / "flowers_w010_r96.onnx", SHARED / "images" / "flowers96_test_calib.npz"
    if digits or not (flowers.is_file() and pictures.is_file()):
        calibration, test = (str(DIGITS / f"digits_{part}.npz") for part in ("calibration", "test"))
        return Subject("digits", DIGITS / "digits.onnx", calibration, test, None)
    return Subject("flowers", flowers, f"{pictures}:x_calib", f"{pictures}:x_test", "tf")


def compile_subject(chosen: Subject, out: Path, screen: Terminal) -> tuple[Result, OutputFolder]:
    options = Options(
        target=TARGET,
        feed="rows",
        name=chosen.name,
        calibration=chosen.calibration,
        preprocess=chosen.preprocess,
    )
    with screen.progress(f"compile {chosen.model.name} for {TARGET}") as tell:
        compiled = compiler.compile_model(chosen.model, options, tell)
    return compiled, write_folder(out, chosen.name, compiled.files)


def run_on_board(chosen: Subject, out: Path, count: int, screen: Terminal) -> Outcome:
    """Compile, build, run ``count`` pictures that are spread over the test set, and measure."""
    board = boards.load(BOARD)
    compiled, folder = compile_subject(chosen, out, screen)
    elf = firmware.build_board(folder.path, folder.name, board, folder.builds)
    pictures = network_inputs.spread(network_inputs.open_pictures(compiled.quantized, chosen.test), count)
    inputs = np.concatenate([feed.integer for feed in network_inputs.feeds(compiled.quantized, pictures, count)])
    with screen.progress("run on the emulated micro:bit") as tell:
        title = f"{folder.name} on {board.name}"
        result = runner.run(
            elf, inputs, board=board, title=title, timeout_seconds=SECONDS_WITHOUT_OUTPUT, progress=tell
        )
    sections = section_bytes(elf)
    return Outcome(
        compiled,
        board,
        pictures,
        result,
        int8_reference.run_outputs(compiled.quantized, inputs).reshape(len(inputs), -1),
        image_sizes(elf, folder.name),
        sections.get(".data", 0) + sections.get(".bss", 0) - compiled.program.arena_bytes,
        sum(sections.get(name, 0) for name in (".text", ".ARM.exidx", ".weights", ".data")),
    )


def section_bytes(elf: Path) -> dict[str, int]:
    """{section: bytes} of a program, as binutils' size counts them."""
    size = toolchain.require_arm_compiler().with_name("arm-none-eabi-size")
    lines = subprocess.run([size, "-A", str(elf)], capture_output=True, text=True, check=True).stdout.splitlines()
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 3 and words[1].isdigit()}


def show(outcome: Outcome, screen: Terminal) -> None:
    screen.table("Pictures", ("picture", "true", "predicted", "", "equals NumPy", "instructions"), verdicts(outcome))
    board, result, sizes = outcome.board, outcome.result, outcome.sizes
    arena = outcome.compiled.program.arena_bytes
    whole = result.whole_stack_bytes
    memory = [
        ("RAM", "arena", arena, f"touched up to byte {result.touched_arena_bytes:,}"),
        ("", "stack", board.stack_bytes, f"{whole:,} used at the deepest, {result.stack_bytes:,} by the network"),
        ("", "variables", outcome.static_bytes, "one row of pixels, guards around the arena, context, command line"),
        ("", "free", board.ram_bytes - arena - board.stack_bytes - outcome.static_bytes, f"of {board.ram_bytes:,}"),
        ("flash", "weights", sizes.weights_bytes, ""),
        ("", "parameters", sizes.parameters_bytes, "biases, multipliers, shifts, the pixel table, literals"),
        ("", "code", sizes.code_bytes, "the network's"),
        ("", "firmware", outcome.flash_bytes - sizes.flash_bytes, "startup, main, semihosting, libgcc"),
        ("", "free", board.flash_bytes - outcome.flash_bytes, f"of {board.flash_bytes:,}"),
    ]
    screen.table("Memory, bytes", ("", "", "bytes", ""), memory)
    macs = outcome.compiled.quantized.macs
    if result.instructions:
        least, most = min(result.instructions), max(result.instructions)
        each = f"{least / macs:.2f} to {most / macs:.2f} per MAC of {macs:,}"
        screen.line(f"{least:,} to {most:,} instructions (QEMU) an inference, {each}")


def verdicts(outcome: Outcome) -> list[tuple[object, ...]]:
    """A row for each picture."""
    names, labels = outcome.pictures.class_names, outcome.pictures.labels
    classes = names or tuple(map(str, range(outcome.reference.shape[1])))
    instructions = outcome.result.instructions or (None,) * len(outcome.pictures)
    rows: list[tuple[object, ...]] = []
    for index, made in enumerate(outcome.result.outputs):
        right = None if labels is None else int(labels[index])
        chosen = int(made.argmax())
        rows.append(
            (
                outcome.pictures.names[index],
                None if right is None else classes[right],
                classes[chosen],
                "" if right is None else "right" if chosen == right else "wrong",
                bool((made == outcome.reference[index]).all()),
                instructions[index],
            )
        )
    return rows


@click.command()
@click.option("--digits", is_flag=True, help="The digits example, even where the flowers are there.")
@click.option("--count", type=click.IntRange(min=1), default=10, show_default=True, help="How many test pictures.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("build/microbit"), show_default=True, metavar="FOLDER"
)
def main(digits: bool, count: int, out: Path) -> None:
    """Classify test pictures on an emulated BBC micro:bit."""
    screen = Terminal(quiet=False, as_json=False)
    try:
        outcome = run_on_board(subject(digits), out, count, screen)
        show(outcome, screen)
        unequal = int((outcome.result.outputs != outcome.reference).any(axis=1).sum())
        if unequal:
            raise CheckFailed(f"{out}: {unequal} of {len(outcome.reference)} outputs are not NumPy's")
    except Mbv2genError as error:
        click.echo(f"microbit: error: {error}", err=True)
        sys.exit(error.exit_code)
    screen.line(f"All {len(outcome.reference)} outputs equal NumPy's, byte for byte.")


if __name__ == "__main__":
    main()
