# SPDX-License-Identifier: Apache-2.0
"""A QuantizedNetwork on disk: one .npz, its arrays beside a JSON text that holds all the rest.

Nothing is pickled. Equal networks give equal bytes: members are stored uncompressed, in order, under one fixed date.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Block, ModelInput, ModelOutput, Source, Window, frozen
from mbv2gen.quantized_network import (
    PixelInput,
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QTensor,
    QuantizedNetwork,
)

FORMAT = "mbv2gen quantized network 1"
STRUCTURE = "structure"  # the member with the JSON text, UTF-8 bytes as uint8
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
DTYPES = (np.int8, np.int32, np.float32)
NETWORK_PARTS = (QuantizedNetwork, QTensor, Block, ModelInput, ModelOutput, PixelInput, Source, Window)
OPERATORS = (QConv2D, QDepthwiseConv2D, QFullyConnected, QAdd, QMean, QActivation)
CLASSES = {cls.__name__: cls for cls in (*NETWORK_PARTS, *OPERATORS)}

Arrays = dict[str, NDArray[np.generic]]


def dump(network: QuantizedNetwork) -> bytes:
    """The bytes of the file: equal for equal networks."""
    arrays: Arrays = {}
    structure = {"format": FORMAT, "network": _encode(network, "network", arrays)}
    text = json.dumps(structure, sort_keys=True, allow_nan=False).encode("ascii")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {STRUCTURE: np.frombuffer(text, np.uint8), **arrays}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def save(network: QuantizedNetwork, path: Path) -> None:
    """Writes ``network`` to ``path``; raises Mbv2genError where the file cannot be written."""
    try:
        path.write_bytes(dump(network))
    except OSError as error:
        raise Mbv2genError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error


def load(path: Path) -> QuantizedNetwork:
    """The network that ``save`` wrote to ``path``, its arrays read-only; raises Mbv2genError where it is none."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        structure = json.loads(arrays.pop(STRUCTURE).tobytes())
        if structure["format"] != FORMAT:
            raise Mbv2genError(f"{path}: written as '{structure['format']}', not '{FORMAT}'; compile the model again")
        network = _decode(structure["network"], arrays)
    except OSError as error:
        raise Mbv2genError(f"{path}: cannot be read: {error.strerror or error}; compile the model again") from error
    except DAMAGE as error:
        raise Mbv2genError(f"{path}: is not a quantized network, or damaged; compile the model again") from error
    if not isinstance(network, QuantizedNetwork):
        raise Mbv2genError(f"{path}: is not a quantized network; compile the model again")
    return network


def _encode(value: Any, where: str, arrays: Arrays) -> Any:
    """JSON of ``value``; arrays go into ``arrays`` under their place in the network, as operators.3.weights."""
    if isinstance(value, np.ndarray):
        arrays[where] = value
        return {"array": where}
    if is_dataclass(value):
        parts = {f.name: _encode(getattr(value, f.name), f"{where}.{f.name}", arrays) for f in fields(value)}
        return {"class": type(value).__name__, "fields": parts}
    if isinstance(value, tuple):
        return [_encode(part, f"{where}.{i}", arrays) for i, part in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _decode(value: Any, arrays: Arrays) -> Any:
    """What ``_encode`` was given; ValueError, KeyError or TypeError where it was not ``_encode`` that wrote it."""
    if isinstance(value, list):
        return tuple(_decode(part, arrays) for part in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[value["array"]]
        if array.dtype not in DTYPES:
            raise ValueError(f"array of {array.dtype}")
        return frozen(array, array.dtype.type)
    return CLASSES[value["class"]](**{name: _decode(part, arrays) for name, part in value["fields"].items()})
