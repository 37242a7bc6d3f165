# SPDX-License-Identifier: Apache-2.0
"""Reads an ONNX file into a Graph: size limits, parsing, external data inside the model's folder, ONNX's checker."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf has no types
from onnx import AttributeProto, ModelProto, TensorProto, checker, inliner

from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Graph
from mbv2gen.onnx_import.graph_folding import static_graph
from mbv2gen.onnx_import.qoperators import with_quantize_nodes

MAX_FILE_BYTES = 256 << 20
MAX_NODES = 10_000
MIN_OPSET = 9


def read_graph(path: Path) -> Graph:
    """The ONNX file as a Graph: static shapes, constants computed, weights float32.

    Raises Mbv2genError, one line that names the file, for a file that cannot be read, is no ONNX model, is too
    large, leaves its folder for external data, or needs something that a static graph of one input cannot express.
    """
    data = _bytes_of(path, path.name, MAX_FILE_BYTES)
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        raise Mbv2genError(f"{path.name}: not an ONNX model, or cut short: export or copy it again") from None
    _check_limits(model, path.name)
    total = len(data)
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            total += _load_external(tensor, path, MAX_FILE_BYTES - total)
    _check_model(model, path.name)
    if model.functions:
        model = _inlined(model, path.name)
        _check_limits(model, path.name)
    return static_graph(with_quantize_nodes(model), path.name, hashlib.sha256(data).hexdigest())


def _bytes_of(path: Path, where: str, limit: int, offset: int = 0, length: int | None = None) -> bytes:
    try:
        if not path.is_file():
            raise Mbv2genError(f"{where}: {'not a file' if path.exists() else 'no such file'}")
        size = path.stat().st_size
        wanted = size - offset if length is None else length
        if wanted > limit:
            raise Mbv2genError(f"{where}: a model of more than {MAX_FILE_BYTES} bytes is not supported")
        if offset < 0 or wanted < 0 or offset + wanted > size:
            raise Mbv2genError(f"{where}: {path.name!r} ends before byte {offset + wanted}: copy it again")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(wanted)
    except OSError as error:
        raise Mbv2genError(f"{where}: cannot be read: {error.strerror}") from None


def _check_limits(model: ModelProto, file: str) -> None:
    if len(model.graph.node) > MAX_NODES:
        raise Mbv2genError(f"{file}: {len(model.graph.node)} nodes, more than the limit of {MAX_NODES}")
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    newest = onnx.defs.onnx_opset_version()
    if model.graph.node and not opsets:
        raise Mbv2genError(f"{file}: names no opset of ONNX's own operators: export it again")
    if opsets and not MIN_OPSET <= max(opsets) <= newest:
        hint = f"opset {MIN_OPSET} to {newest}: convert it with onnx.version_converter"
        raise Mbv2genError(f"{file}: opset {max(opsets)} is not supported, only {hint}")


def _tensors(model: ModelProto) -> list[TensorProto]:
    """Every tensor the file may keep outside: initialisers and tensor attributes, in functions too."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    attributes = [item for node in nodes for item in node.attribute if item.type == AttributeProto.TENSOR]
    return [*model.graph.initializer, *(item.t for item in attributes)]


def _load_external(tensor: TensorProto, path: Path, limit: int) -> int:
    """Moves a tensor's external bytes into it; returns their number.

    The file must lie in the model's own folder, links resolved, and hold no more than ``limit`` bytes for the tensor.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{path.name}: tensor {tensor.name!r}"
    location = entries.get("location", "")
    folder = path.parent.resolve()
    try:
        target = (folder / location).resolve()
        offset, length = int(entries.get("offset", "0")), int(entries["length"]) if "length" in entries else None
    except (ValueError, OSError, RuntimeError):
        raise Mbv2genError(f"{where}: its external data entry is damaged: export the model again") from None
    outside = Path(location).is_absolute() or ".." in Path(location).parts or not target.is_relative_to(folder)
    if not location or outside:
        raise Mbv2genError(f"{where}: external data {location!r} is not in the model's folder: put it beside the model")
    tensor.raw_data = _bytes_of(target, where, limit, offset, length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return len(tensor.raw_data)


def _check_model(model: ModelProto, file: str) -> None:
    graph = model.graph
    names = [name for node in graph.node for name in (node.name, node.op_type, node.domain, *node.input, *node.output)]
    names += [item.name for item in (*graph.input, *graph.output, *graph.initializer)]
    if not all(isinstance(name, str) for name in names):  # protobuf gives bytes for what is no UTF-8
        raise Mbv2genError(f"{file}: damaged: a name in it is no text: export or copy it again")
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        reason = " ".join(str(error).split("==>")[0].split())
        raise Mbv2genError(f"{file}: ONNX's checker refuses it: {reason[:300]}") from None


def _inlined(model: ModelProto, file: str) -> ModelProto:
    """The model with its own functions written out."""
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Mbv2genError(f"{file}: its functions cannot be written out ({reason}): export it without them") from None
