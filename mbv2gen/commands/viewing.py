# SPDX-License-Identifier: Apache-2.0
"""The command on what a board saw: view-input."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import rich_click as click
from PIL import Image

from mbv2gen.commands import terminal
from mbv2gen.commands.terminal import Terminal
from mbv2gen.errors import Mbv2genError
from mbv2gen.output_folder import open_folder
from mbv2gen.pixels import network_inputs
from mbv2gen.pixels.image import UInt8Array, fit, read_image
from mbv2gen.pixels.input_diagnosis import Diagnosis, diagnose, readings
from mbv2gen.quantized_network import QuantizedNetwork

FILE = click.Path(path_type=Path)


@click.command("view-input")
@click.argument("dump", type=FILE)
@click.argument("out", type=FILE)
@click.option("-o", "--output", "picture", type=FILE, required=True, metavar="FILE", help="The .png to write.")
@click.option("--expected", type=FILE, metavar="IMAGE", help="What was before the camera.")
@terminal.options
def view_input(dump: Path, out: Path, picture: Path, expected: Path | None) -> None:
    """Show what the network really saw, and what may be wrong with it.

    DUMP holds the bytes of NAME_input as a debugger saves them, right before NAME_run; or a frame of RGB565. With the
    expected picture it tells a missed zero point, RGB565 and its byte order, swapped colours and turned or mirrored
    pictures; without it, the first two, and those not for certain.

    Example: mbv2gen view-input dump.bin build/flowers -o seen.png --expected rose.jpg
    """
    screen, network = terminal.current(), open_folder(out).network()
    shape, how = network.shape(network.inputs[0]), network_inputs.preprocessing_of(network)
    pixels = network.pixel_input
    if pixels is None or shape[2] not in (1, 3):
        raise Mbv2genError(f"{out}: takes {shape[2]} channels, which are no picture")
    try:
        data = dump.read_bytes()
    except OSError as error:
        raise Mbv2genError(f"{dump}: cannot be read ({error.strerror})") from None
    wanted = None
    if expected is not None:
        wanted = fit(read_image(expected, "L" if shape[2] == 1 else "RGB"), shape, how)
    try:
        seen = next(iter(readings(data, shape, pixels.table).values()))
        found = diagnose(data, shape, pixels.table, wanted)
    except Mbv2genError as error:
        raise Mbv2genError(f"{dump}: {error}") from None
    _write(picture, _shown(seen, network))
    screen.document({"picture": str(picture), **asdict(found)})
    screen.line(f"{picture}: {shape[1]}x{shape[0]}, what the network saw")
    _show(screen, found)


def _shown(seen: UInt8Array, network: QuantizedNetwork) -> UInt8Array:
    """In the order of colours in which pictures are shown."""
    is_bgr = network.pixel_input is not None and network.pixel_input.colour == "BGR"
    return np.ascontiguousarray(seen[:, :, ::-1] if is_bgr else seen)


def _write(file: Path, pixels: UInt8Array) -> None:
    try:
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    except OSError as error:
        raise Mbv2genError(f"{file}: cannot be written ({error.strerror or error}); choose another -o") from None


def _show(screen: Terminal, found: Diagnosis) -> None:
    for note in found.notes:
        screen.line(f"- {note}")
    if found.is_compared:
        measure = f"likeness to the expected picture {found.score:.2f}; next, {found.rival}: {found.rival_score:.2f}"
    else:
        measure = f"roughness {found.score:.2f}; next, {found.rival}: {found.rival_score:.2f}"
    if found.certainty == "none":
        screen.line(f"no telling what it is ({measure})")
    else:
        screen.line(f"{'it is' if found.certainty == 'clear' else 'it may well be'}: {found.best} ({measure})")
    if not found.is_compared:
        screen.line("colours and orientation cannot be told without --expected")


COMMANDS = (view_input,)
