# SPDX-License-Identifier: Apache-2.0
"""Weights budget: an option's value such as 0.6, 250k or 20dB."""

from __future__ import annotations

from typing import Any

import rich_click as click

from mbv2gen.errors import Mbv2genError
from mbv2gen.quantization import weight_storage
from mbv2gen.quantization.weight_storage import Budget


class WeightsBudget(click.ParamType[Budget]):
    """A share of 1 at most, a number of bytes, or decibels."""

    name = "budget"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Budget:
        if isinstance(value, Budget):
            return value
        try:
            return weight_storage.read_budget(str(value))
        except Mbv2genError as error:
            self.fail(str(error), parameter, context)
