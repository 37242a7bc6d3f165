# SPDX-License-Identifier: Apache-2.0
"""EstimateCache: what was computed before, in a file of the user's cache folder, which may be deleted at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mbv2gen.resources import cache_dir

_PACKAGE = Path(__file__).parent


class EstimateCache:
    """JSON objects by key, of this very code: another version of mbv2gen keeps a file of its own."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` None: the user's cache folder."""
        self._file = (folder or cache_dir()) / f"estimates-{_code()}.json"
        self._known: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._file.read_text(encoding="utf-8"))
            self._known = found if isinstance(found, dict) else {}

    def get(self, key: str) -> dict[str, Any] | None:
        return self._known.get(key)

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Kept at once; where the folder cannot be written, for this run alone."""
        self._known[key] = value
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(f".{os.getpid()}.new")
            new.write_text(json.dumps(self._known), encoding="utf-8")
            new.replace(self._file)


def _code() -> str:
    """A digest of the package's source."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
