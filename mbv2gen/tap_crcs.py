# SPDX-License-Identifier: Apache-2.0
"""TapCrcs: checksums of every layer's rows, in the order of execution (firmware/tap_crcs.c), against NumPy's rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mbv2gen.errors import CheckFailed
from mbv2gen.quantized_network import Int8Array, QuantizedNetwork

_RECORD = struct.Struct("<5I")  # layer, row, first value, count, CRC-32
_END = 0xFFFFFFFF


@dataclass(frozen=True)
class TapCrc:
    """What a unit of work has made: ``count`` values of a row of a layer's output from value ``first`` on, as a CRC-32.
    ``values``: they themselves, where they were asked for."""

    layer: int
    row: int
    first: int
    count: int
    crc: int
    values: bytes = b""


def read_crcs(file: Path, title: str, values_of: tuple[int, int] | None = None) -> Iterator[tuple[TapCrc, ...]]:
    """For each inference all records, in the order of execution. ``values_of``: the layer and row that came with their
    values. CheckFailed where the file ends within a record."""
    data, at = file.read_bytes(), 0
    records: list[TapCrc] = []
    while at < len(data):
        if len(data) - at < _RECORD.size:
            raise CheckFailed(f"{title}: the file of CRCs ends within a record")
        layer, row, first, count, crc = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if layer == _END:
            yield tuple(records)
            records = []
            continue
        values = data[at : at + count] if (layer, row) == values_of else b""
        at += len(values)
        records.append(TapCrc(layer, row, first, count, crc, values))


def first_wrong(
    records: Sequence[TapCrc], network: QuantizedNetwork, wanted: Mapping[str, Int8Array], title: str
) -> int | None:
    """Index of the first record that is not the CRC of NumPy's values, ``wanted`` {tensor: int8 [h][w][c]}.

    CheckFailed where, up to there or at the end, a record is of nothing that exists, or a value is in none or in two.
    """
    seen = [np.zeros(np.prod(network.shape(op.outputs[0])), np.uint8) for op in network.operators]
    for index, record in enumerate(records):
        expected = row_values(record, network, wanted, title)
        if zlib.crc32(expected.tobytes()) != record.crc:
            return index
        width = seen[record.layer].size // network.shape(network.operators[record.layer].outputs[0])[0]
        at = record.row * width + record.first
        seen[record.layer][at : at + record.count] += 1
    for layer, operator in enumerate(network.operators):
        odd = np.flatnonzero(seen[layer] != 1)
        if odd.size:
            times = "is missing" if seen[layer][odd[0]] == 0 else "comes twice"
            raise CheckFailed(f"{title}: layer {layer} ('{operator.name}') value {odd[0]} {times} among the CRCs")
    return None


def row_values(record: TapCrc, network: QuantizedNetwork, wanted: Mapping[str, Int8Array], title: str) -> Int8Array:
    """NumPy's values of what a record is about, int8 [count]."""
    if record.layer < len(network.operators):
        tensor = wanted[network.operators[record.layer].outputs[0]]
        rows = tensor.reshape(tensor.shape[0], -1)
        if record.row < rows.shape[0] and record.first + record.count <= rows.shape[1]:
            return np.ascontiguousarray(rows[record.row, record.first : record.first + record.count])
    raise CheckFailed(
        f"{title}: a CRC of layer {record.layer}, row {record.row}, values {record.first} to "
        f"{record.first + record.count - 1}, which do not exist; is it the same network?"
    )
