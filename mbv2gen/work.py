"""Work: what a kernel call needs besides its place in the schedule."""

from __future__ import annotations

from dataclasses import dataclass

from mbv2gen.fields import Fields
from mbv2gen.layouts import Order
from mbv2gen.packing import Table


@dataclass(frozen=True)
class Work:
    """``fields`` fill the kernel's ``struct`` in its order; ``arguments`` are the plain kernels' scalars among them.

    ``order``: which channel stands at each position of the output, where the layout has an order of its own.
    ``bodies``: inner bodies that the call names. ``statistics``: channels by how they are computed, for the report.
    """

    struct: str
    fields: Fields
    arguments: tuple[tuple[str, int], ...]
    tables: tuple[Table, ...]
    order: Order | None = None
    bodies: tuple[str, ...] = ()
    statistics: tuple[tuple[str, int], ...] = ()
