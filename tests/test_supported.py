# SPDX-License-Identifier: Apache-2.0
"""SUPPORTED.md says what the lowering checks, and every operator that is translated is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mbv2gen.onnx_import.constraints import CONSTRAINTS, sentence
from mbv2gen.onnx_import.lowering import TRANSLATORS

ROOT = Path(__file__).parents[1]


def test_the_committed_document_is_what_the_command_writes() -> None:
    command = [sys.executable, str(ROOT / "tools" / "supported.py")]
    made = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert (ROOT / "SUPPORTED.md").read_text(encoding="utf-8") == made


def test_every_operator_has_constraints_and_every_constraint_is_a_sentence() -> None:
    assert CONSTRAINTS.keys() == TRANSLATORS.keys()
    for constraints in CONSTRAINTS.values():
        assert constraints
        assert all(sentence(constraint) for constraint in constraints)
