# SPDX-License-Identifier: Apache-2.0
"""The output folder: written whole or not at all, and only over what mbv2gen itself wrote and nobody changed.

A marker file lists what was written, each with its hash. A new compile is prepared beside the folder and takes its
place by renaming; whatever else lies in the old folder moves along. Symbolic links are not followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbv2gen import __version__
from mbv2gen.errors import CheckFailed, Mbv2genError
from mbv2gen.quantization.quantized_network_file import load
from mbv2gen.quantized_network import QuantizedNetwork
from mbv2gen.report import Report, text
from mbv2gen.report_page import page

MARKER = ".mbv2gen.json"
NETWORK = "network.npz"
REPORT = "report.json"
PAGE = "report.html"
BUILDS = ".build"  # programs built for verify, run and profile; ours to delete
_GROWING = frozenset({REPORT, PAGE})  # evaluate, profile and analyze add to them


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a compile has written."""

    path: Path
    name: str

    @property
    def builds(self) -> Path:
        return self.path / BUILDS

    def network(self) -> QuantizedNetwork:
        return load(self.path / NETWORK)

    def report(self) -> Report:
        try:
            report = json.loads((self.path / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Mbv2genError(f"{self.path / REPORT}: cannot be read ({_reason(error)}); compile again") from None
        if not isinstance(report, dict):
            raise Mbv2genError(f"{self.path / REPORT}: is not a report; compile again")
        return report

    def write_report(self, report: Report) -> None:
        """Replace report.json, and the page that shows it where there is one."""
        self._replace(REPORT, text(report))
        if PAGE in generated_files(self.path) and (self.path / PAGE).is_file():
            self.write_page(report)

    def write_page(self, report: Report) -> None:
        """Replace report.html; Mbv2genError where ``report`` is none of this version's."""
        self._replace(PAGE, page.page(report).encode())

    def _replace(self, name: str, data: bytes) -> None:
        """In one step."""
        new = self.path / (name + ".new")
        try:
            new.write_bytes(data)
            os.replace(new, self.path / name)
        except OSError as error:
            raise Mbv2genError(f"{self.path / name}: cannot be written ({_reason(error)})") from None


def open_folder(path: Path) -> OutputFolder:
    """The output of an earlier compile; raises Mbv2genError where ``path`` is none."""
    marker = _marker(path)
    if marker is None:
        raise Mbv2genError(f"{path}: not written by mbv2gen compile; give the folder named by its -o")
    return OutputFolder(path, str(marker["name"]))


def generated_files(path: Path) -> tuple[str, ...]:
    """The names of the files that a compile wrote into ``path``; none where it is no output folder."""
    return tuple(_files(path))


def check_unchanged(folder: OutputFolder) -> None:
    """Raises CheckFailed naming the first file that is not as ``compile`` wrote it (the report may grow)."""
    for file, digest in _files(folder.path).items():
        entry = folder.path / file
        if not entry.is_file() or entry.is_symlink():
            raise CheckFailed(f"{entry}: is missing; compile again")
        if file not in _GROWING and _sha256(entry) != digest:
            raise CheckFailed(f"{entry}: was changed since it was generated; compile again")


def check_writable(path: Path) -> None:
    """Raises Mbv2genError where a compile may not write ``path``: early, before any work is done."""
    if path.is_symlink():
        raise Mbv2genError(f"{path}: is a symbolic link; name the folder itself with -o")
    if path.exists():
        if not path.is_dir():
            raise Mbv2genError(f"{path}: is a file; choose another folder with -o")
        _check_ours(path)
    parent = next(p for p in (path.absolute().parent, *path.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise Mbv2genError(f"{path}: its parent is not a writable folder; choose another with -o")


def write_folder(path: Path, name: str, files: Mapping[str, bytes]) -> OutputFolder:
    """Write ``files``, paths below it, as the output folder ``path``, in place of an earlier one, which stays if this
    fails."""
    check_writable(path)
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as work:
            new, old = Path(work) / "new", Path(work) / "old"
            new.mkdir()
            for file, data in files.items():
                (new / file).parent.mkdir(parents=True, exist_ok=True)
                (new / file).write_bytes(data)
            digests = {file: hashlib.sha256(data).hexdigest() for file, data in sorted(files.items())}
            marker = {"schema": 1, "version": __version__, "name": name, "files": digests}
            (new / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
            if path.exists():
                _swap(path, new, old)
            else:
                os.rename(new, path)
    except OSError as error:
        raise Mbv2genError(f"{path}: cannot be written ({_reason(error)}); choose another folder with -o") from None
    return OutputFolder(path, name)


def _swap(path: Path, new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``path``; what the user added there moves along."""
    written = {*_files(path), MARKER, BUILDS, REPORT, PAGE}
    os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(old, path)
        raise
    _keep_others(old, path, written)


def _keep_others(old: Path, new: Path, written: set[str], below: str = "") -> None:
    """Move what is not among ``written``, paths below the folder, to its place in the new one."""
    for entry in sorted(old.iterdir()):
        name = f"{below}{entry.name}"
        holds = any(file.startswith(f"{name}/") for file in written)
        if holds and entry.is_dir() and not entry.is_symlink():
            _keep_others(entry, new / entry.name, written, f"{name}/")
        elif name not in written and not (new / entry.name).exists():
            new.mkdir(parents=True, exist_ok=True)
            shutil.move(entry, new / entry.name)


def _check_ours(path: Path) -> None:
    if _marker(path) is None:
        with contextlib.suppress(StopIteration, OSError):
            next(path.iterdir())
            raise Mbv2genError(f"{path}: exists and was not written by mbv2gen; choose another folder with -o")
        return
    for file, digest in _files(path).items():
        entry = path / file
        changed = entry.is_symlink() or (entry.exists() and _sha256(entry) != digest)
        if file not in _GROWING and changed:
            raise Mbv2genError(f"{entry}: was changed since it was generated; move it away or choose another -o")


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _files(path: Path) -> dict[str, str]:
    files = (_marker(path) or {}).get("files")
    return {str(k): str(v) for k, v in files.items()} if isinstance(files, dict) else {}


def _marker(path: Path) -> dict[str, object] | None:
    file = path / MARKER
    if file.is_symlink() or not file.is_file():
        return None
    try:
        marker = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and isinstance(marker.get("name"), str) else None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
