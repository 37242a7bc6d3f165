# SPDX-License-Identifier: Apache-2.0
"""Seconds of a compile, calibration apart: ``compile_time.py MODEL CALIBRATION``."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import click

from mbv2gen import compiler


@click.command(help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("calibration")
@click.option("--feed", type=click.Choice(["frame", "rows"]), default="frame", show_default=True)
def main(model: Path, calibration: str, feed: str) -> None:
    options = compiler.Options(calibration=calibration, mean="127.5", std="127.5", feed=feed)
    network = compiler.read_network(model)
    started, before = time.monotonic(), time.process_time()
    quantized, _ = compiler.quantize(model, network, options)
    calibrated, between = time.monotonic(), time.process_time()
    compiler.generate(model, network, quantized, options)
    ended, after = time.monotonic(), time.process_time()
    calibrating = between - before
    click.echo(
        f"calibration {calibrated - started:.1f} s, {calibrating:.1f} s of processors; "
        f"the rest {before + ended - calibrated:.1f} s, {after - calibrating:.1f} s of processors, start included"
    )


if __name__ == "__main__":
    main()
