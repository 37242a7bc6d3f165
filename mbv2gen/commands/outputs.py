# SPDX-License-Identifier: Apache-2.0
"""Commands on what compile has written: verify, bisect, run, export, profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import rich_click as click

from mbv2gen import api, bisection, output_folder, profiling
from mbv2gen.commands import terminal
from mbv2gen.commands.place_name import on_option
from mbv2gen.commands.terminal import Terminal
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.hardware import boards, execution
from mbv2gen.hardware.execution import Place
from mbv2gen.output_folder import OutputFolder, open_folder
from mbv2gen.pixels import network_inputs
from mbv2gen.profiling import DeviceProfile, Profile
from mbv2gen.quantization.exports import EXPORTS
from mbv2gen.report import Report

FILE = click.Path(path_type=Path)
OUT = click.argument("out", type=FILE)
BOARD = click.option("--board", metavar="BOARD", help="Which board to emulate. [default: that of the target]")


@click.command()
@OUT
@on_option("host", "qemu")
@BOARD
@click.option("--images", metavar="DATA", help="Pictures as for --calibration. [default: made-up inputs]")
@click.option("--count", type=click.IntRange(min=1), help="How many inputs. [default: all pictures; 64, on a board 8]")
@terminal.options
def verify(out: Path, on: str | None, board: str | None, images: str | None, count: int | None) -> None:
    """Prove that the C equals the NumPy reference in every byte; on the host under address and UB sanitizers.

    Compares the output of every input and every row of every layer of the first one, on the host with every byte of
    the arena that nobody owns overwritten after each unit of work. Where something differs, it
    says in which layer, row, column and channel first. At a serial line it asks the image of mbv2gen firmware --serial.

    Example: mbv2gen verify build/flowers --on qemu
    """
    screen, folder = terminal.current(), open_folder(out)
    place = execution.find_place(folder, on, board)
    with screen.progress(f"verify on {place.on}") as tell:
        result = api.verify(folder, on=place, images=images, count=count, progress=tell)
    screen.document(result.as_json())
    if result.difference is not None:
        raise CheckFailed(f"{out}: C on {place.title} is not NumPy: {result.difference}")
    rows = f"in all {result.layer_values:,} values of {result.layers} layers of the first"
    screen.line(
        f"{out}: C on {place.title} equals NumPy in all {result.output_values:,} output values of {result.inputs} "
        + (f"inputs, and {rows}" if result.layers else "inputs; this image has no taps to tell of layers")
        + (", dead bytes overwritten" if result.poisoned else "")
    )


@click.command()
@OUT
@click.option("--input", "input_", metavar="FILE", help="A picture, an .npy or FILE.npz:KEY. [default: made up]")
@click.option("--raw", is_flag=True, help="FILE holds the int8 input itself, NHWC.")
@on_option("host", "qemu")
@BOARD
@terminal.options
def bisect(out: Path, input_: str | None, *, raw: bool, on: str | None, board: str | None) -> None:
    """Name the first step of an inference, and the row, that is not NumPy's: for wrong answers of a board.

    The C tells a CRC of every row of every layer as it makes them. A second run brings the values of the row that
    differs; where that one is right, the board does not compute the same twice. A board at a serial line needs the
    image of mbv2gen firmware --serial taps.

    Example: mbv2gen bisect build/flowers --on serial:/dev/ttyACM0
    """
    screen, folder = terminal.current(), open_folder(out)
    network, place = folder.network(), execution.find_place(folder, on, board)
    if input_ is None:
        inputs = network_inputs.synthetic(network, 1)
    else:
        inputs = network_inputs.read_input(network, input_, raw=raw)[:1]
    with screen.progress(f"bisect on {place.on}"):
        found = bisection.bisect(folder, place, inputs)
    screen.document(found.as_json())
    if found.wrong is not None:
        raise CheckFailed(f"{out}: C on {place.title} is NumPy up to {found.wrong}")
    if not found.output_is_right:
        raise CheckFailed(
            f"{out}: C on {place.title} makes every row as NumPy does, but the output is changed after it"
        )
    screen.line(f"{out}: C on {place.title} equals NumPy in all {found.steps:,} steps, and in the output")


@click.command()
@OUT
@click.option("--input", "input_", required=True, metavar="FILE", help="A picture, an .npy or FILE.npz:KEY.")
@click.option("--output", "result", type=FILE, required=True, metavar="FILE", help="The .npy to write.")
@on_option("host", "qemu")
@BOARD
@click.option("--raw", is_flag=True, help="int8 in, int8 out, both NHWC: the integer network's own values.")
@terminal.options
def run(out: Path, input_: str, result: Path, *, on: str | None, board: str | None, raw: bool) -> None:
    """Run the compiled network on a picture or an array.

    Takes a picture file, uint8 pixels [H][W][C] or [N][H][W][C], or float in the model's own layout. Writes float32
    as the ONNX model itself would return it, softmax or sigmoid included.

    Example: mbv2gen run build/flowers --input rose.jpg --output y.npy
    """
    screen, folder = terminal.current(), open_folder(out)
    place = execution.find_place(folder, on, board)
    if not result.absolute().parent.is_dir():
        raise Mbv2genError(f"{result}: its folder does not exist; make it or choose another --output")
    with screen.progress(f"run on {place.on}") as tell:
        values = api.run(folder, input_, on=place, raw=raw, progress=tell)
    try:
        with result.open("wb") as stream:
            np.save(stream, values)
    except OSError as error:
        raise Mbv2genError(f"{result}: cannot be written ({error.strerror}); choose another --output") from None
    description = {"output": str(result), "dtype": str(values.dtype), "shape": list(values.shape), "on": place.on}
    screen.document(description)
    screen.line(f"{result}: {values.dtype} {list(values.shape)}, from C on {place.title}")


@click.command()
@OUT
@click.option("--tflite", type=FILE, help="The .tflite to write: int8, equal in TensorFlow Lite Micro in every byte.")
@click.option("--qdq", type=FILE, help="The QDQ .onnx to write, for onnxruntime and others: within a step a layer.")
@terminal.options
def export(out: Path, **files: Path | None) -> None:
    """Write the integer network of a compiled folder for other tools.

    A file of that name is replaced. compile --emit writes the same bytes into the folder.

    Example: mbv2gen export build/flowers --tflite flowers.tflite --qdq flowers_qdq.onnx
    """
    screen, folder = terminal.current(), open_folder(out)
    wanted = {name: file for name, file in files.items() if file is not None}
    if not wanted:
        raise Mbv2genError(f"{out}: nothing to export; name a file with --tflite or --qdq")
    network = folder.network()
    made = {file: EXPORTS[name].emit(network) for name, file in wanted.items()}
    for file, data in made.items():
        _write(folder, file, data)
    screen.document({name: str(file) for name, file in wanted.items()})
    for file, data in made.items():
        screen.line(f"{file}: {len(data):,} B")


def _write(folder: OutputFolder, file: Path, data: bytes) -> None:
    """In one step; not over what compile has written."""
    if file.absolute().parent == folder.path.absolute() and file.is_file():
        raise Mbv2genError(f"{file}: would replace a file of {folder.path} itself; choose another")
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_bytes(data)
        os.replace(new, file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise Mbv2genError(f"{file}: cannot be written ({error.strerror}); choose another") from None


@click.command()
@OUT
@on_option("qemu", default="qemu")
@BOARD
@terminal.options
def profile(out: Path, on: str, board: str | None) -> None:
    """Count the instructions of one inference in QEMU, whole and by layer; stack, code and flash. Into report.json.

    Instructions are exact and repeatable; they are not cycles. At a serial line the board counts its own cycles: whole
    with the image of mbv2gen firmware --serial plain, by layer with that of --serial profile.

    Example: mbv2gen profile build/flowers --on qemu --json
    """
    screen, folder = terminal.current(), open_folder(out)
    place = execution.find_place(folder, on, board)
    if place.device is not None:
        _profile_device(screen, folder, place)
        return
    with screen.progress(f"profile on {place.on}") as tell:
        measured = api.profile(folder, board=board, progress=tell)
    report = folder.report()
    screen.document(report)
    _show_profile(screen, report, measured)


def _profile_device(screen: Terminal, folder: OutputFolder, place: Place) -> None:
    with screen.progress("profile"):
        measured = profiling.profile_device(folder, place)
    report = profiling.with_device(folder.report(), measured)
    folder.write_report(report)
    screen.document(report)
    _show_device(screen, report, measured)


def _show_device(screen: Terminal, report: Report, measured: DeviceProfile) -> None:
    if measured.layers is not None:
        rows = [
            (index, layer["name"], layer["kernel"], layer["macs"], count, profiling.per_mac(count, layer["macs"]))
            for index, (layer, count) in enumerate(zip(report["layers"], measured.layers, strict=True))
        ]
        columns = ("layer", "operator", "kernel", "MAC", measured.unit, "per MAC")
        screen.table(f"{report['model']['file']} on {measured.board}", columns, rows)
    if measured.whole is not None:
        ratio = profiling.per_mac(measured.whole, report["macs"])
        screen.line(
            f"{measured.board}: {measured.whole:,} {measured.unit}"
            + ("" if ratio is None else f", {ratio:.3f} per MAC")
        )
    used = f"arena up to byte {measured.touched_arena_bytes:,}"
    stack = "" if measured.stack_bytes is None else f"; {measured.stack_bytes:,} B of stack"
    screen.line(f"used   {used}{stack}; {measured.whole_stack_bytes:,} B of stack with main and all")


def _show_profile(screen: Terminal, report: Report, measured: Profile) -> None:
    rows = [
        (index, layer["name"], layer["kernel"], layer["macs"], layer["instructions"],
         profiling.per_mac(layer["instructions"], layer["macs"]), layer["live_bytes"])
        for index, layer in enumerate(report["layers"])
    ]  # fmt: skip
    columns = ("layer", "operator", "kernel", "MAC", "instructions (QEMU)", "per MAC", "live B")
    screen.table(f"{report['model']['file']} on {measured.board}", columns, rows)
    if measured.instructions is None:
        screen.line(f"{measured.board} has no timer that counts instructions in QEMU")
    else:
        ratio = profiling.per_mac(measured.instructions, report["macs"])
        per_mac = "" if ratio is None else f", {ratio:.3f} per MAC"
        screen.line(f"instructions (QEMU)  {measured.instructions:,}{per_mac} of {report['macs']:,} MAC")
    _show_rows(screen, report["rows"])
    ram, flash = report["ram"], report["flash"]
    static, stack = ram["static_bytes"], ram["stack_bytes"]
    screen.line(f"RAM    {ram['arena_bytes']:,} B arena + {static} B static + {stack} B stack")
    whole = "" if ram["whole_stack_bytes"] is None else f"; {ram['whole_stack_bytes']:,} B of stack with main and all"
    screen.line(f"used   arena up to byte {ram['arena_touched_bytes']:,}{whole}")
    screen.line(
        f"flash  {flash['total_bytes']:,} B: {flash['weights_bytes']:,} weights, "
        f"{flash['parameters_bytes']:,} parameters, {flash['descriptions_bytes']:,} descriptions of layers, "
        f"{flash['code_bytes']:,} code"
    )


def _show_rows(screen: Terminal, rows: dict[str, Any] | None) -> None:
    """What a pushed row sets off, where the network is fed rows."""
    if rows is None or rows["instructions"] is None:
        return
    counted = rows["instructions"]
    rate = rows["greatest_rate_per_mhz"]
    screen.line(
        f"rows   {counted['mean']:,.0f} instructions a pushed row on average, {counted['worst']:,} at most, "
        f"{counted['last']:,} behind the last one"
        + ("" if rate is None else f"; {rate:.2f} rows a second per MHz at one a cycle")
    )


@click.command()
@OUT
@click.option("--board", metavar="BOARD", help="Compare with this board's memories from now on; see mbv2gen boards.")
@terminal.options
def report(out: Path, board: str | None) -> None:
    """Write report.html again: what report.json holds, as one page that needs no network.

    compile writes it; evaluate, profile and analyze --into keep it up to date.

    Example: mbv2gen report build/flowers --board nucleo-h743zi
    """
    screen, folder = terminal.current(), open_folder(out)
    facts = folder.report()
    if board is not None:
        facts["board"] = boards.load(board).name
    folder.write_page(facts)
    if board is not None:
        folder.write_report(facts)
    file = folder.path / output_folder.PAGE
    screen.document({"page": str(file), "board": facts["board"]})
    screen.line(f"{file}: {file.stat().st_size:,} B")


COMMANDS = (verify, bisect, run, export, profile, report)
