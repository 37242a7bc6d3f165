# SPDX-License-Identifier: Apache-2.0
"""mbv2gen: an ahead-of-time compiler from a trained MobileNetV2 in ONNX to int8 C for microcontrollers.

import mbv2gen

result = mbv2gen.compile("flowers.onnx", target="cortex-m7", calibration="images/", output="build/flowers")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbv2gen.api import compile, evaluate, open_folder, profile, run, verify
    from mbv2gen.errors import CheckFailed, Mbv2genError
    from mbv2gen.output_folder import OutputFolder
    from mbv2gen.result import Result

__version__ = "0.1.0"

__all__ = [
    "CheckFailed",
    "Mbv2genError",
    "OutputFolder",
    "Result",
    "compile",
    "evaluate",
    "open_folder",
    "profile",
    "run",
    "verify",
]

_MODULES = {"CheckFailed": "errors", "Mbv2genError": "errors", "OutputFolder": "output_folder", "Result": "result"}


def __getattr__(name: str) -> object:
    """The names above, when they are first asked for: importing the package alone takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'mbv2gen' has no attribute '{name}'")
    return getattr(import_module(f"mbv2gen.{_MODULES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
