# SPDX-License-Identifier: Apache-2.0
"""The few tables of TFLite's flatbuffer schema that an int8 network needs, and their bytes.

Numbers of enums and slots are those of schema.fbs (version 3), tensorflow/compiler/mlir/lite/schema/schema.fbs; slots
count a table's fields from 0, a union taking two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16
TENSOR_TYPES = {np.dtype(np.int32): 2, np.dtype(np.int8): 9}


class BuiltinOperator(IntEnum):
    ADD = 0
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    FULLY_CONNECTED = 9
    RESHAPE = 22
    PAD = 34
    MEAN = 40
    MAXIMUM = 55
    MINIMUM = 57


# For each operator the version with int8 (per channel where it has weights) and the number of its options' type.
VERSION_AND_OPTIONS = {
    BuiltinOperator.ADD: (2, 11),
    BuiltinOperator.CONV_2D: (3, 1),
    BuiltinOperator.DEPTHWISE_CONV_2D: (3, 2),
    BuiltinOperator.FULLY_CONNECTED: (4, 8),
    BuiltinOperator.RESHAPE: (1, 17),
    BuiltinOperator.PAD: (2, 22),
    BuiltinOperator.MEAN: (2, 27),
    BuiltinOperator.MAXIMUM: (2, 39),
    BuiltinOperator.MINIMUM: (2, 39),
}


@dataclass(frozen=True)
class TfliteTensor:
    """``scales`` holds one value, or one for each index of dimension ``quantized_dimension``; none: unquantized."""

    name: str
    shape: tuple[int, ...]
    scales: tuple[float, ...] = ()
    zero_point: int = 0
    quantized_dimension: int = 0
    dtype: type[np.generic] = np.int8
    data: NDArray[np.generic] | None = None  # of a constant


@dataclass(frozen=True)
class TfliteOperator:
    """``options`` gives the fields of the operator's options table as (slot, kind, value); see ``_table``."""

    code: BuiltinOperator
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True)
class TfliteModel:
    """One subgraph; inputs and outputs are indices into ``tensors``."""

    name: str
    description: str
    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def serialize(model: TfliteModel) -> bytes:
    """The bytes of the .tflite file; constants are aligned to 16 bytes, equal models give equal bytes."""
    builder = flatbuffers.Builder(1024)
    constants = [tensor.data for tensor in model.tensors if tensor.data is not None]
    buffers = [_table(builder)] + [_buffer(builder, data) for data in constants]
    tensors, next_buffer = [], 1
    for tensor in model.tensors:
        tensors.append(_tensor(builder, tensor, 0 if tensor.data is None else next_buffer))
        next_buffer += tensor.data is not None
    codes = sorted({operator.code for operator in model.operators})
    operators = [_operator(builder, operator, codes.index(operator.code)) for operator in model.operators]
    subgraph = _table(
        builder,
        (0, "offset", _offsets(builder, tensors)),
        (1, "offset", _array(builder, model.inputs, np.int32)),
        (2, "offset", _array(builder, model.outputs, np.int32)),
        (3, "offset", _offsets(builder, operators)),
        (4, "offset", _string(builder, model.name)),
    )
    root = _table(
        builder,
        (0, "uint32", SCHEMA_VERSION),
        (1, "offset", _offsets(builder, [_operator_code(builder, code) for code in codes])),
        (2, "offset", _offsets(builder, [subgraph])),
        (3, "offset", _string(builder, model.description)),
        (4, "offset", _offsets(builder, buffers)),
    )
    builder.Finish(root, file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: Any, tensor: TfliteTensor, buffer: int) -> int:
    fields = [
        (0, "offset", _array(builder, tensor.shape, np.int32)),
        (1, "int8", TENSOR_TYPES[np.dtype(tensor.dtype)]),
        (2, "uint32", buffer),
        (3, "offset", _string(builder, tensor.name)),
    ]
    if tensor.scales:
        quantization = _table(
            builder,
            (2, "offset", _array(builder, tensor.scales, np.float32)),
            (3, "offset", _array(builder, [tensor.zero_point] * len(tensor.scales), np.int64)),
            (6, "int32", tensor.quantized_dimension),
        )
        fields.append((4, "offset", quantization))
    return _table(builder, *fields)


def _operator(builder: Any, operator: TfliteOperator, code_index: int) -> int:
    return _table(
        builder,
        (0, "uint32", code_index),
        (1, "offset", _array(builder, operator.inputs, np.int32)),
        (2, "offset", _array(builder, operator.outputs, np.int32)),
        (3, "uint8", VERSION_AND_OPTIONS[operator.code][1]),
        (4, "offset", _table(builder, *operator.options)),
    )


def _operator_code(builder: Any, code: BuiltinOperator) -> int:
    version, _ = VERSION_AND_OPTIONS[code]
    return _table(builder, (0, "int8", int(code)), (2, "int32", version), (3, "int32", int(code)))


def _buffer(builder: Any, data: NDArray[np.generic]) -> int:
    contents = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<")).tobytes()
    builder.Prep(BUFFER_ALIGNMENT, len(contents))
    return _table(builder, (0, "offset", builder.CreateByteVector(contents)))


def _table(builder: Any, *fields: tuple[int, str, int]) -> int:
    """A table of (slot, kind, value); kind is offset or a scalar type. The values' own tables are written already."""
    builder.StartObject(1 + max((slot for slot, _, _ in fields), default=-1))
    prepend = {
        "offset": builder.PrependUOffsetTRelativeSlot,
        "bool": builder.PrependBoolSlot,
        "int8": builder.PrependInt8Slot,
        "uint8": builder.PrependUint8Slot,
        "int32": builder.PrependInt32Slot,
        "uint32": builder.PrependUint32Slot,
    }
    for slot, kind, value in fields:
        prepend[kind](slot, value, 0)
    return int(builder.EndObject())


def _array(builder: Any, values: Sequence[float], dtype: type[np.generic]) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype=dtype)))


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _string(builder: Any, text: str) -> int:
    return int(builder.CreateString(text.encode("utf-8", "replace")))
