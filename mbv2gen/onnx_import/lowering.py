# SPDX-License-Identifier: Apache-2.0
"""Graph -> Network: one visible sequence.

nodes -> draft operators on (h, w, c) tensors -> affine maps folded -> activations and paddings folded -> blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mbv2gen.errors import Mbv2genError
from mbv2gen.graph import Graph, Node
from mbv2gen.network import Clamp, FloatArray, ModelInput, ModelOutput, Network, Operator, Source, Tensor
from mbv2gen.onnx_import import constraints
from mbv2gen.onnx_import.activation_folding import (
    drop_useless_activations,
    fuse_activations,
    merge_equal_activations,
    merge_paddings,
)
from mbv2gen.onnx_import.affine_folding import (
    Weighted,
    affine_as_depthwise,
    compose_affines,
    drop_identities,
    fold_backward,
    fold_forward,
)
from mbv2gen.onnx_import.blocks import group
from mbv2gen.onnx_import.dense_heads import pointwise_as_dense
from mbv2gen.onnx_import.draft import Affine, Draft, Padding, Rounding, rewritten
from mbv2gen.onnx_import.elementwise_nodes import arithmetic, clip, extremum, relu, residual, sigmoid, softmax
from mbv2gen.onnx_import.grids import (
    affine_on_grids,
    clamp_before_rounding,
    merge_equal_roundings,
    round_before_padding,
    settle_roundings,
)
from mbv2gen.onnx_import.layout import essential
from mbv2gen.onnx_import.model_input import input_entry, take_normalisation
from mbv2gen.onnx_import.names import named
from mbv2gen.onnx_import.scaling_nodes import dequantize_linear, quantize_linear
from mbv2gen.onnx_import.shape_nodes import (
    average_pool,
    global_average_pool,
    identity,
    pad,
    reduce_mean,
    reshape,
    transpose,
)
from mbv2gen.onnx_import.translation import Translation, View, refuse
from mbv2gen.onnx_import.weighted_nodes import batch_normalization, conv, gemm, matmul

TRANSLATORS: Mapping[str, Callable[[Translation, Node], View]] = {
    "Add": arithmetic,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": identity,
    "CastLike": identity,
    "Clip": clip,
    "Conv": conv,
    "DequantizeLinear": dequantize_linear,
    "Div": arithmetic,
    "Dropout": identity,
    "Expand": identity,
    "Flatten": reshape,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "Identity": identity,
    "MatMul": matmul,
    "Max": extremum,
    "Min": extremum,
    "Mul": arithmetic,
    "Pad": pad,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Squeeze": reshape,
    "Sub": arithmetic,
    "Sum": residual,
    "Transpose": transpose,
    "Unsqueeze": reshape,
}


def lower(graph: Graph, name: str) -> Network:
    """The float network of a graph; ``name`` is the identifier it goes by.

    Raises Mbv2genError with file, node and reason for what the operators of network.py cannot express.
    """
    with np.errstate(all="ignore"):  # _operators looks for what overflowed
        draft, model_input, model_output = translated(graph)
        draft, model_input = folded(draft, model_input)
    draft = named(pointwise_as_dense(draft), graph)
    operators = _operators(draft, graph)
    names = (draft.input, *(operator.outputs[0] for operator in operators))
    tensors = tuple(Tensor(item, draft.shapes[item], draft.grids.get(item)) for item in names)
    return Network(
        name=name,
        tensors=tensors,
        inputs=(draft.input,),
        outputs=(draft.output,),
        operators=operators,
        blocks=group(operators, draft.input, draft.output),
        model_input=model_input,
        model_output=model_output,
        source=Source(graph.file, graph.sha256, graph.producer, graph.opset),
        macs=graph.macs,
    )


def folded(draft: Draft, model_input: ModelInput) -> tuple[Draft, ModelInput]:
    """Affine maps, activations and paddings in the operators; a normalisation of the input in ``model_input``.

    Batch norm goes backward into its own layer first, so that every tensor keeps the values it has in the model.
    """
    if model_input.dtype == "uint8":
        draft, model_input = take_normalisation(rewritten(draft, compose_affines, drop_identities), model_input)
    draft = rewritten(draft, compose_affines, drop_identities, fold_backward)
    draft = rewritten(draft, compose_affines, drop_identities, fold_backward, fold_forward)
    if model_input.mean is None:
        draft, model_input = take_normalisation(draft, model_input)
    draft = rewritten(draft, merge_equal_roundings, round_before_padding, clamp_before_rounding)
    draft = affine_as_depthwise(affine_on_grids(draft))
    draft = rewritten(draft, drop_useless_activations, merge_equal_activations, fuse_activations, merge_paddings)
    return rewritten(settle_roundings(draft), merge_paddings), model_input


def translated(graph: Graph) -> tuple[Draft, ModelInput, ModelOutput]:
    """Every node as draft operators; layouts and the tail are resolved."""
    if len(graph.outputs) != 1:
        names = ", ".join(f"{name!r}" for name in graph.outputs)
        raise Mbv2genError(f"{graph.file}: the model must have exactly one output, it has {names}")
    entry, layout, shape = input_entry(graph)
    t = Translation(graph)
    t.views[entry.name] = View(entry.name, layout)
    t.shapes[entry.name] = shape
    for node in graph.nodes:
        translate = TRANSLATORS.get(node.op)
        if translate is None:
            refuse(t, node, f"op {node.op} is not supported, only those of MobileNetV1 and V2: see SUPPORTED.md")
        constraints.check(t, node)
        t.views[node.outputs[0]] = translate(t, node)
    output = _model_output(t, graph.outputs[0])
    return Draft(tuple(t.operators), t.shapes, entry.name, t.views[graph.outputs[0]].tensor, Clamp()), entry, output


def _model_output(t: Translation, name: str) -> ModelOutput:
    value, view = t.graph.values[name], t.views[name]
    if value.dtype != "float32" or view.reduced:
        reason = "averages over one of height and width" if view.reduced else f"is {value.dtype}, not float"
        reason += " (put a DequantizeLinear behind it)" if view.grid is not None else ""
        raise Mbv2genError(f"{t.graph.file}: output {name!r} {reason}, which is not supported")
    order = "".join(axis for axes in essential(view.layout, t.shapes[view.tensor]) for axis in axes)
    for layout in ("NHWC", "NCHW"):
        if order == "".join(axis for axis in layout[1:].lower() if axis in order):
            return ModelOutput(name, view.tail, value.shape, layout)
    raise Mbv2genError(f"{t.graph.file}: output {name!r} has its axes in the order {order}, not hwc or chw")


def _operators(draft: Draft, graph: Graph) -> tuple[Operator, ...]:
    result: list[Operator] = []
    for operator in draft.operators:
        if isinstance(operator, Padding):
            raise Mbv2genError(
                f"{graph.file}: node {operator.name!r}: Pad: only a padding that convolutions alone read is supported"
            )
        if isinstance(operator, Rounding):
            raise Mbv2genError(
                f"{graph.file}: node {operator.name!r}: QuantizeLinear: its input is read elsewhere too, as it is or "
                "quantized otherwise: quantize a tensor once, for all that read it"
            )
        assert not isinstance(operator, Affine)
        if isinstance(operator, Weighted) and not (_is_finite(operator.weights) and _is_finite(operator.bias)):
            reason = "its weights exceed float32 when what stands around it is folded in: train or export it again"
            raise Mbv2genError(f"{graph.file}: node {operator.name!r}: {reason}")
        result.append(operator)
    if not result:
        raise Mbv2genError(f"{graph.file}: the model computes nothing: give a trained network")
    return tuple(result)


def _is_finite(array: FloatArray) -> bool:
    return bool(np.isfinite(array).all())
