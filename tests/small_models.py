# SPDX-License-Identifier: Apache-2.0
"""A MobileNetV2 of a few kilobytes as ONNX, pictures for it, and output folders without going through ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx_models import Builder, build, saved

from mbv2gen import compiler, csources, output_folder, report
from mbv2gen.compiler import Options
from mbv2gen.dsp.ranges import ranges
from mbv2gen.output_folder import OutputFolder
from mbv2gen.planning.occupancy import occupancy
from mbv2gen.program import Program
from mbv2gen.quantization import quantized_network_file
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.report import Report

CLASSES = 5
SIZE = (3, 12, 14)  # c, h, w


def layers(b: Builder, x: str) -> str:
    """Stem, one inverted residual with its addition, head, softmax: every kind of operator."""
    x = b.relu6(b.conv(x, 3, 6, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    y = b.relu6(b.conv(x, 6, 14))
    y = b.relu6(b.conv(y, 14, 14, 3, group=14, pads=[1, 1, 1, 1]))
    x = b("Add", x, b.conv(y, 14, 6))
    x = b.relu6(b.conv(x, 6, 20))
    x = b("Flatten", b("GlobalAveragePool", x))
    return b("Softmax", b("Gemm", x, b.random(CLASSES, 20), b.random(CLASSES), transB=1), axis=1)


def small_model(seed: int = 0) -> onnx.ModelProto:
    return build(layers, (1, *SIZE), seed=seed)


def save_small_model(folder: Path, name: str = "small.onnx", seed: int = 0) -> Path:
    return saved(small_model(seed), folder, name)


def pixels(count: int, seed: int = 3) -> NDArray[np.uint8]:
    """uint8 [count][h][w][c]"""
    c, h, w = SIZE
    return np.random.default_rng(seed).integers(0, 256, (count, h, w, c)).astype(np.uint8)


def save_pixels(folder: Path, count: int = 6) -> Path:
    path = folder / "pixels.npy"
    np.save(path, pixels(count))
    return path


def write_network(
    network: QuantizedNetwork,
    path: Path,
    target: str = "cortex-m7",
    feed: str = "frame",
    optimize: str | None = None,
    input_align: int | None = None,
) -> OutputFolder:
    """The output folder of a quantized network, whatever it came from."""
    known, options = ranges(network), Options(target=target, feed=feed, optimize=optimize, input_align=input_align)
    planned = compiler.plan_network(network, options, known)
    complete = compiler.complete_program(network, planned, options, known)
    return write_program(complete, path, report.report(complete, occupancy(planned), options.objective, command="test"))


def write_program(complete: Program, path: Path, about: Report | None = None) -> OutputFolder:
    """The output folder of a program; its report says no more than target and feed where none is given."""
    network = complete.network
    files = {file: text.encode() for file, text in csources.render(complete, network.name, "test").items()}
    files[output_folder.NETWORK] = quantized_network_file.dump(network)
    files[output_folder.REPORT] = report.text(about or {"schema": 1, "target": complete.target, "feed": complete.feed})
    return output_folder.write_folder(path, network.name, files)
