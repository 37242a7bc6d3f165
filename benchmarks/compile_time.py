"""Processor seconds of a compile, calibration apart: ``compile_time.py MODEL CALIBRATION``."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
STARTED = time.process_time()

from pathlib import Path  # noqa: E402 - the imports are part of what is timed

import click  # noqa: E402

from mbv2gen import compiler  # noqa: E402


@click.command(help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("calibration")
def main(model: Path, calibration: str) -> None:
    started = time.process_time() - STARTED
    options = compiler.Options(calibration=calibration, mean="127.5", std="127.5")
    network = compiler.read_network(model)
    before = time.process_time()
    compiler.quantize(model, network, options)
    calibration = time.process_time() - before
    before = time.process_time()
    compiler.compile_model(model, options)
    rest = started + time.process_time() - before - calibration
    click.echo(f"calibration {calibration:.1f} s; the rest, start included, {rest:.1f} s of a processor")


if __name__ == "__main__":
    main()
