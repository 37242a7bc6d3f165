# SPDX-License-Identifier: Apache-2.0
"""Calibration options: those of every command that quantizes; they are fields of compiler.Options."""

from __future__ import annotations

import rich_click as click

from mbv2gen.commands.terminal import Command
from mbv2gen.commands.weights_budget import WeightsBudget
from mbv2gen.pixels import preprocessing
from mbv2gen.quantization import effort, weight_storage

CALIBRATION = "About 100 pictures: a folder of them or of CLASS/ folders, .csv[:SPLIT], .npz[:KEY] or .npy."
EFFORT = "For accuracy: 0 none, 1 corrected biases, 2 ranges and rounding of least error, 3 the best of four ways."
WEIGHTS = "Bits of weights: 8; 4 in all pointwise and fully connected layers; or 4 in the largest of these."
BUDGET = "Of mixed: of the bytes with int8 (0.6), bytes (250k), or least signal-to-noise (20dB).  [default: 0.6]"
COLOURS = click.Choice(preprocessing.COLOURS, case_sensitive=False)
RESIZE = "How pictures get their size; areas and bilinear are what mbv2_pixels.c does on a board, to the byte."


def calibration_options(command: Command) -> Command:
    """--calibration, --effort, --weights, and how pictures become input."""
    for option in reversed(
        (
            click.option("--calibration", metavar="DATA", help=CALIBRATION),
            click.option(
                "--effort",
                type=click.IntRange(0, effort.HIGHEST),
                default=effort.DEFAULT,
                show_default=True,
                help=EFFORT,
            ),
            click.option(
                "--weights",
                type=click.Choice(weight_storage.KINDS),
                default=weight_storage.KINDS[0],
                show_default=True,
                help=WEIGHTS,
            ),
            click.option("--weights-budget", type=WeightsBudget(), metavar="BUDGET", help=BUDGET),
            click.option("--mean", metavar="X[,X,X]", help="x = (pixel - mean) / std on 0..255 pixels: the mean."),
            click.option("--std", metavar="X[,X,X]", help="... and the standard deviation."),
            click.option("--preprocess", type=click.Choice(list(preprocessing.PRESETS)), help="A usual pair of both."),
            click.option("--resize", type=click.Choice(preprocessing.RESIZES), help=RESIZE),
            click.option("--colour", type=COLOURS, help="Order of the channels."),
        )
    ):
        command = option(command)
    return command
