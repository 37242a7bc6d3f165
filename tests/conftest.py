# SPDX-License-Identifier: Apache-2.0
"""Fixtures and settings that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# A slow or busy machine is no failure: no deadline. In CI the examples are the same every time.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden with what is generated now")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared test data, which is no part of the repository: the test is skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the shared test data (../shared/data), absent here")
    return SHARED_DATA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the long tests have recorded as proofs, sorted; xdist's workers send it along."""
    reports = terminalreporter.getreports("passed")
    proofs = sorted(str(value) for report in reports for name, value in report.user_properties if name == "proof")
    if proofs:
        terminalreporter.section("proven")
        for proof in proofs:
            terminalreporter.write_line(proof)
