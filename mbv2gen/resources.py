# SPDX-License-Identifier: Apache-2.0
"""Resources: the folders of files that are not Python, in a wheel (beside the modules) and in a checkout (above); how
their templates are read."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

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


def cache_dir() -> Path:
    """mbv2gen in $XDG_CACHE_HOME, or in ~/.cache: what may be deleted at any time. It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mbv2gen"


def writable_cache(name: str) -> Path | None:
    """The folder of that name in the user's cache folder; None where it cannot be written."""
    try:
        folder = cache_dir() / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody's home
        return None
    return folder if os.access(folder, os.W_OK) else None


def environment(folder: Path, *, autoescape: bool = False) -> Environment:
    """The templates of ``folder``, translated once for all runs; a name that nothing gives is an error."""
    translated = writable_cache("templates")
    return Environment(
        loader=FileSystemLoader(folder),
        bytecode_cache=None if translated is None else FileSystemBytecodeCache(str(translated)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )
