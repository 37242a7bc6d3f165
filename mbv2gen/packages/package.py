# SPDX-License-Identifier: Apache-2.0
"""Package: {path: bytes} of compiled networks as another build system wants them; the C is laid out, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from jinja2 import Environment

from mbv2gen import __version__, output_folder, resources
from mbv2gen.output_folder import OutputFolder
from mbv2gen.packages import amalgamation
from mbv2gen.packages.contents import Contents, contents
from mbv2gen.packages.kinds import Kind

_ENDING = ".j2"
_COMMON = ("README.md", "LICENSE")  # of every kind; the example too, wherever its kind wants it


def write(folders: Sequence[OutputFolder], kind: Kind, path: Path, name: str | None = None) -> tuple[str, ...]:
    """Write the package ``path`` -> its files.

    As a compile writes its folder: whole or not at all, and only over what mbv2gen wrote and nobody changed. Raises
    Mbv2genError and CheckFailed as ``contents`` does.
    """
    output_folder.check_writable(path)
    packed = contents(folders, name)
    files = package(packed, kind)
    output_folder.write_folder(path, packed.name, files)
    return tuple(sorted(files))


def package(packed: Contents, kind: Kind) -> dict[str, bytes]:
    """The files of a package; deterministic, no path, no time."""
    laid_out = amalgamation.amalgamate(packed) if kind.amalgamates else packed
    folders = {".h": kind.headers, ".c": kind.sources, ".S": kind.sources}
    files = {_place(folders[PurePosixPath(name).suffix], name, kind): data for name, data in laid_out.files}
    environment = _environment()
    templates = resources.templates_dir() / "packages"
    rendered = {name: f"{name}{_ENDING}" for name in _COMMON}
    rendered[kind.example] = f"example.c{_ENDING}"
    for template in sorted((templates / kind.name).rglob(f"*{_ENDING}")):
        relative = template.relative_to(templates / kind.name).as_posix()
        if not relative.startswith("use.md"):
            rendered[relative.removesuffix(_ENDING)] = f"{kind.name}/{relative}"
    values = {"p": laid_out, "kind": kind, "version": __version__}
    for file, name in rendered.items():
        text = environment.get_template(name).render(values)
        files[file.replace("NAME", packed.name)] = text.encode()
    return files


def _place(folder: str, name: str, kind: Kind) -> str:
    return name if kind.amalgamates else f"{folder}/{name}"


def _environment() -> Environment:
    environment = resources.environment(resources.templates_dir() / "packages")
    environment.filters["object"] = lambda source: str(PurePosixPath(source).with_suffix(".o"))
    return environment
