"""Resources: the folders of files that are not Python, in a wheel (beside the modules) and in a checkout (above)."""

from __future__ import annotations

from pathlib import Path

from mbv2gen.errors import Mbv2genError


def _folder(name: str) -> Path:
    package = Path(__file__).resolve().parent
    for place in (package, package.parent):
        if (place / name).is_dir():
            return place / name
    raise Mbv2genError(f"{package}: the folder {name}/ is missing from this installation; install mbv2gen again")


def templates_dir() -> Path:
    """The C sources and templates that a compiled network is made of."""
    return _folder("templates")


def firmware_dir() -> Path:
    """Startup code, drivers, linker template and boards/."""
    return _folder("firmware")


def examples_dir() -> Path:
    """The example networks, one folder each, with pictures to calibrate on and to test with."""
    return _folder("examples")
