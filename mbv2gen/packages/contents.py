# SPDX-License-Identifier: Apache-2.0
"""Contents: the C files of the networks that go into one package, shared kernels once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbv2gen import identifiers
from mbv2gen.errors import Mbv2genError
from mbv2gen.output_folder import OutputFolder, check_unchanged, generated_files

_SUFFIXES = (".c", ".S", ".h")
_SHARED = "mbv2_"


@dataclass(frozen=True)
class PackedNetwork:
    """What templates want to know. ``is_fed``: the caller pushes rows; ``converts``: there is a NAME_pixels."""

    name: str
    target: str
    is_fed: bool
    converts: bool

    @property
    def macro(self) -> str:
        """The prefix of its macros."""
        return self.name.upper()


@dataclass(frozen=True)
class Contents:
    """``files``: name -> bytes, sorted. Kernels, mbv2_*, are the same in all networks."""

    name: str
    networks: tuple[PackedNetwork, ...]
    files: tuple[tuple[str, bytes], ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.files if not name.endswith(".h"))

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.files if name.endswith(".h"))

    @property
    def optimization(self) -> str:
        """For the C: where the loops are assembly, small is as fast."""
        return "-Os" if any(name.endswith(".S") for name in self.sources) else "-O2"


def contents(folders: Sequence[OutputFolder], name: str | None = None) -> Contents:
    """The files of all ``folders``; ``name`` None: the networks' own.

    Raises Mbv2genError where two networks have one name or kernels of different versions, CheckFailed where a file
    was changed since it was generated.
    """
    files: dict[str, tuple[OutputFolder, bytes]] = {}
    networks: list[PackedNetwork] = []
    for folder in folders:
        check_unchanged(folder)
        if folder.name in {network.name for network in networks}:
            raise Mbv2genError(f"{folder.path}: is named '{folder.name}' as another is; compile it with another --name")
        networks.append(_network(folder))
        for file in generated_files(folder.path):
            if file.endswith(_SUFFIXES):
                data = (folder.path / file).read_bytes()
                first, known = files.setdefault(file, (folder, data))
                if known != data:
                    raise Mbv2genError(
                        f"{folder.path}: its {file} is not that of {first.path}: compile both with one mbv2gen"
                    )
    chosen = name or "_".join(network.name for network in networks)
    listed = tuple((file, files[file][1]) for file in sorted(files))
    return Contents(identifiers.check_network_name(chosen), tuple(networks), listed)


def _network(folder: OutputFolder) -> PackedNetwork:
    report = folder.report()
    converts = f"{folder.name}_pixels.c" in generated_files(folder.path)
    return PackedNetwork(folder.name, str(report["target"]), report["feed"] == "rows", converts)
