# SPDX-License-Identifier: Apache-2.0
"""Work: what a kernel call needs besides its place in the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mbv2gen.dsp.fully_connected import PackedFullyConnected
from mbv2gen.dsp.packing import PackedDepthwise, PackedLinear, PackedRelu
from mbv2gen.dsp.partial import PackedPartial
from mbv2gen.packing.fields import Fields
from mbv2gen.packing.tables import Table
from mbv2gen.planning.channel_order import Order

Packed: TypeAlias = PackedRelu | PackedDepthwise | PackedLinear | PackedPartial | PackedFullyConnected


@dataclass(frozen=True)
class Work:
    """``fields`` fill the kernel's ``struct`` in its order; ``arguments`` are the plain kernels' scalars among them.

    ``order``: which channel stands at each position of the output, where the layout has an order of its own.
    ``bodies``: inner bodies that the call names. ``statistics``: channels by how they are computed, for the report.
    ``packed``: what the tables were made of, for the check. ``structs``: (field, type, fields) of structs that fields
    point to.
    """

    struct: str
    fields: Fields
    arguments: tuple[tuple[str, int], ...]
    tables: tuple[Table, ...]
    order: Order | None = None
    bodies: tuple[str, ...] = ()
    statistics: tuple[tuple[str, int], ...] = ()
    packed: Packed | None = None
    structs: tuple[tuple[str, str, Fields], ...] = ()
