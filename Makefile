# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv, made here; `make help` lists the targets.
PYTHON ?= python3
BIN    := .venv/bin
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help setup demo test prove bench mix memory fusion exports microbit supported picture accuracy weights clean

help:
	@echo "make demo    compile the example for a Cortex-M7 and prove it on the host and in QEMU"
	@echo "make test    ruff, mypy and the tests (some 8 minutes on 2 cores, with ccache)"
	@echo "make prove   the long checks: all images on all networks (some 20 minutes on 2 cores)"
	@echo "make bench   instructions, bytes and exactness on the emulated boards -> docs/benchmarks.md"
	@echo "make mix     what the executed instructions of each body are for -> docs/instruction_mix.md"
	@echo "make memory  the arena of many networks -> docs/memory.md"
	@echo "make exports   the .tflite and QDQ files in other engines -> docs/exports.md"
	@echo "make supported  what ONNX files may hold, from the code -> SUPPORTED.md"
	@echo "make picture   the head of the example's report.html -> docs/report.png (Chromium)"
	@echo "make weights   weights of 4 bits: bytes, instructions, accuracy -> docs/weights.md"
	@echo "make accuracy  int8 against float by effort, on trained networks -> docs/accuracy.md"
	@echo "make fusion  instructions row by row against layer by layer -> docs/fusion.md"
	@echo "make microbit  a trained network on an emulated BBC micro:bit"
	@echo "make setup   only what these need: .venv, and Debian packages where missing"
	@echo "make clean   remove .venv and everything built"

setup: .venv/installed
	@tools/debian_packages.sh optional

# Made again when the dependencies change; the source is installed editable and needs no new installation.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and f"mbv2gen needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.11")'
	@PYTHON=$(PYTHON) tools/debian_packages.sh required
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: setup
	$(BIN)/mbv2gen demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto

prove: setup
	$(BIN)/pytest -n auto -m prove

bench: setup
	$(BIN)/python benchmarks/bench.py

memory: .venv/installed
	$(BIN)/python benchmarks/memory.py

exports: .venv/installed
	$(BIN)/python benchmarks/exports.py

supported: .venv/installed
	$(BIN)/python tools/supported.py > SUPPORTED.md

picture: setup
	$(BIN)/python tools/report_picture.py docs/report.png

weights: .venv/installed
	$(BIN)/python benchmarks/weights.py

accuracy: .venv/installed
	$(BIN)/python benchmarks/accuracy.py

mix: setup
	$(BIN)/python benchmarks/instruction_mix.py

fusion: setup
	$(BIN)/python benchmarks/fusion.py

microbit: setup
	$(BIN)/python examples/microbit/run.py

clean:
	rm -rf .venv build dist mbv2gen.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
