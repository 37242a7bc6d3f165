# SPDX-License-Identifier: Apache-2.0
"""Channel order: which channel stands at each position of a layout that has an order of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Int8Array: TypeAlias = NDArray[np.int8]
Order: TypeAlias = tuple[int, ...]  # position in a layout -> channel; -1 where none stands


def even(channels: int) -> int:
    """Channels filled up to pairs."""
    return channels + channels % 2


@dataclass(frozen=True)
class ChannelGroups:
    """Positions 0 .. even(channels) - 1 cut into ``count`` groups, one after the other."""

    channels: int
    count: int = 1

    @property
    def size(self) -> int:
        """Positions of each group but the last: whole turns of the bodies that read tiles, four pairs of channels."""
        return even(self.channels) if self.count == 1 else -(-self.channels // (8 * self.count)) * 8

    def group(self, number: int) -> slice:
        return slice(number * self.size, min((number + 1) * self.size, even(self.channels)))

    @property
    def are_full(self) -> bool:
        """Whether there are so many groups that none is empty."""
        return (self.count - 1) * self.size < self.channels


def canonical(pixels: Int8Array, channels: int, order: Order | None) -> Int8Array:
    """int8 [w][position] -> int8 [w][channels]."""
    result = np.zeros((len(pixels), channels), np.int8)
    for position, channel in enumerate(order if order is not None else range(channels)):
        if channel >= 0:
            result[:, channel] = pixels[:, position]
    return result


def stored(row: Int8Array, order: Order | None) -> Int8Array:
    """int8 [w][channels] -> int8 [w][position]; a position that no channel has holds -128, the zero of ReLU."""
    filled = np.concatenate([row, np.full((len(row), 1), -128, np.int8)], axis=1)
    if order is None:
        return filled if row.shape[1] % 2 else row
    return filled[:, [channel if channel >= 0 else row.shape[1] for channel in order]]
