# SPDX-License-Identifier: Apache-2.0
"""Result: a compiled network in memory, from which files can be written and which runs in NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbv2gen import float_reference, int8_reference, output_folder
from mbv2gen.network import FloatArray, Network
from mbv2gen.output_folder import OutputFolder
from mbv2gen.pixels import network_inputs
from mbv2gen.program import Program
from mbv2gen.quantization.tensor_scales import dequantize
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork
from mbv2gen.report import Report


@dataclass(frozen=True, eq=False)
class Result:
    """The values of the compiler's stages, and the files they become. ``folder`` None: not written.

    ``network`` is the model in float, ``quantized`` its integers, ``program`` the calls, tables and offsets that
    ``files`` (name -> bytes) spell out; ``warnings`` say what makes it worse than it could be.
    """

    network: Network
    quantized: QuantizedNetwork
    program: Program
    files: Mapping[str, bytes]
    warnings: tuple[str, ...]
    folder: OutputFolder | None = None

    @property
    def name(self) -> str:
        """The prefix of all symbols and files."""
        return self.network.name

    @cached_property
    def report(self) -> Report:
        """What report.json holds; ``folder.report()`` has what was measured since."""
        report: Report = json.loads(self.files[output_folder.REPORT])
        return report

    def write(self, folder: str | PathLike[str]) -> Result:
        """This result, written as ``folder``: whole or not at all.

        Raises Mbv2genError where something stands there that mbv2gen did not write, or that was changed since.
        """
        return replace(self, folder=output_folder.write_folder(Path(folder), self.name, self.files))

    def run(self, x: NDArray[np.generic]) -> FloatArray:
        """What the ONNX model itself would return for ``x``, float32, computed by the int8 network in NumPy.

        ``x``: uint8 pixels [H][W][C] or [N][H][W][C], resized where they have to be, or float values in the model's own
        layout. The C computes the same bytes. Raises Mbv2genError where ``x`` does not fit.
        """
        return model_output(self.quantized, self.run_int8(network_inputs.from_array(self.quantized, x)))

    def run_int8(self, x: Int8Array) -> Int8Array:
        """The integer network's own output for its own input, int8 [n][h][w][c] both."""
        return int8_reference.run_outputs(self.quantized, x)


def model_output(network: QuantizedNetwork, made: Int8Array) -> FloatArray:
    """int8 outputs [n][h][w][c] as the ONNX model itself returns them: float, with its tail, layout and shape."""
    real = dequantize(made, network.tensor(network.outputs[0])).astype(np.float32)
    return float_reference.to_model_output(network, real)
