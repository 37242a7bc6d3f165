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
    before, started = time.process_time(), time.monotonic()
    quantized, _ = compiler.quantize(model, network, options)
    calibrating, waited = time.process_time() - before, time.monotonic() - started
    compiler.generate(model, network, quantized, options)
    rest = time.process_time() - calibrating
    click.echo(
        f"calibration {waited:.1f} s, {calibrating:.1f} s of a processor; the rest, start included, {rest:.1f} s of one"
    )


if __name__ == "__main__":
    main()
