# SPDX-License-Identifier: Apache-2.0
"""The networks that are measured: MobileNetV2 from a seed (seeded_mobilenet), and trained ones where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mbv2gen import compiler, identifiers, mac_count
from mbv2gen.compiler import Options
from mbv2gen.pixels import network_inputs
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork
from mbv2gen.seeded_mobilenet import BOTTLENECKS, divisible, mobilenet_v2

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
DIGITS = ROOT / "examples" / "digits"
FLOWERS = SHARED / "images" / "flowers96_test_calib.npz"


@dataclass(frozen=True)
class Seeded:
    """MobileNetV2 with random weights; ``padding``: torch (all sides) or same (TensorFlow's)."""

    width: float
    resolution: int
    padding: str = "torch"
    classes: int = 1000

    @property
    def title(self) -> str:
        return f"{float(self.width)} @ {self.resolution}" + (", SAME" if self.padding == "same" else "")


@dataclass(frozen=True)
class Trained:
    """An ONNX file, what it is calibrated on, and pictures it was made for. ``preprocess`` None: a .toml says it."""

    model: Path
    calibration: str
    pictures: str
    preprocess: str | None

    @property
    def title(self) -> str:
        return self.model.stem


Net: TypeAlias = Seeded | Trained

DIGITS_NET = Trained(
    DIGITS / "digits.onnx", str(DIGITS / "digits_calibration.npz"), str(DIGITS / "digits_test.npz"), None
)
_RUBBISH = str(SHARED / "images" / "rubbish4" / "can")
_SHARED_NETS = (
    Trained(SHARED / "models" / "flowers_w010_r96.onnx", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf"),
    Trained(SHARED / "models" / "flowers_w035_r96.onnx", f"{FLOWERS}:x_calib", f"{FLOWERS}:x_test", "tf"),
    Trained(
        SHARED / "models_found" / "st_flowers_w035_r128.onnx",
        str(SHARED / "images" / "flowers160" / "calib"),
        str(SHARED / "images" / "flowers160" / "test"),
        "tf",
    ),
    Trained(SHARED / "models_found" / "ei_rubbish4_w035_r96.onnx", _RUBBISH, _RUBBISH, "unit"),
    Trained(SHARED / "models_found" / "fomo_face_w035_r96.onnx", _RUBBISH, _RUBBISH, "unit"),
)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A quantized network; ``macs`` are counted without the compiler's own count."""

    net: Net
    name: str
    quantized: QuantizedNetwork
    macs: int


def trained_nets() -> tuple[Trained, ...]:
    """The digits, and the shared networks whose files are here."""
    return (DIGITS_NET, *(net for net in _SHARED_NETS if net.model.is_file()))


def load(net: Net) -> Loaded:
    """Make or read the network and quantize it."""
    if isinstance(net, Seeded):
        quantized = mobilenet_v2(net.width, net.resolution, net.classes, padding=net.padding)
        return Loaded(net, quantized.name, quantized, mobilenet_macs(net.width, net.resolution, net.classes))
    options = Options(calibration=net.calibration, preprocess=net.preprocess)
    network = compiler.read_network(net.model)
    quantized, _ = compiler.quantize(net.model, network, options)
    return Loaded(net, identifiers.network_name(net.model.stem), quantized, mac_count.count(net.model))


def mobilenet_macs(width: float, resolution: int, classes: int) -> int:
    """MACs of MobileNetV2 by the paper's table 2 (a stride of 2 halves a plane, rounding up)."""
    side, c = -(-resolution // 2), divisible(32 * width)
    macs = side * side * 9 * 3 * c
    for expansion, channels, repeats, first_stride in BOTTLENECKS:
        c_out = divisible(channels * width)
        for repeat in range(repeats):
            expanded = c * expansion
            macs += side * side * c * expanded if expansion > 1 else 0
            side = -(-side // first_stride) if repeat == 0 else side
            macs += side * side * (9 * expanded + expanded * c_out)
            c = c_out
    last = divisible(1280 * max(1.0, width))
    return macs + side * side * c * last + last * classes


def random_and_real(loaded: Loaded, count: int) -> Int8Array:
    """``count`` made-up inputs and as many real pictures, int8 [2 * count][h][w][c]."""
    network = loaded.quantized
    if isinstance(loaded.net, Trained):
        source = loaded.net.pictures
    else:
        source = f"{FLOWERS}:x_test" if FLOWERS.is_file() else str(DIGITS / "pictures")
    pictures = network_inputs.spread(network_inputs.open_pictures(network, source), count)
    real = [feed.integer for feed in network_inputs.feeds(network, pictures, count)]
    return np.concatenate([network_inputs.synthetic(network, count), *real])
