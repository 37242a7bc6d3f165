# SPDX-License-Identifier: Apache-2.0
"""A Chromium that is installed, driven by Playwright; tests that need it are skipped without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "needs Chromium (Debian: apt-get install chromium) and pip install playwright, absent here"

needs_chromium = pytest.mark.skipif(CHROMIUM is None or find_spec("playwright") is None, reason=MISSING)


@contextmanager
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be absent

    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if is_root else [])
