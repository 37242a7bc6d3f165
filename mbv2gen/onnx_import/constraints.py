# SPDX-License-Identifier: Apache-2.0
"""What an ONNX operator must be like: small predicates whose docstring is what the user is told and SUPPORTED.md says.

A predicate gets the translation so far and the node, whose earlier constraints hold; it returns None where it holds
too, else what the model has instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from mbv2gen.graph import Node
from mbv2gen.onnx_import.layout import NCHW, axes_of, channel_vector, same
from mbv2gen.onnx_import.scaling import scaling_of
from mbv2gen.onnx_import.scaling_nodes import grid_of
from mbv2gen.onnx_import.translation import Translation, constant_at, integers, output_shape, refuse

Constraint: TypeAlias = Callable[[Translation, Node], str | None]


def check(t: Translation, node: Node) -> None:
    """Ends the lowering at the first constraint of the node's operator that does not hold."""
    for constraint in CONSTRAINTS[node.op]:
        found = constraint(t, node)
        if found is not None:
            refuse(t, node, f"{node.op}: {sentence(constraint)} (got {found})")


def sentence(constraint: Constraint) -> str:
    """The constraint in words, without the full stop."""
    return " ".join((constraint.__doc__ or "").split()).removesuffix(".")


def first_input_is_computed(t: Translation, node: Node) -> str | None:
    """its first input must be computed from the model's input"""
    return None if node.inputs[0] in t.views else f"the constant {node.inputs[0]!r}"


def parameters_are_constants(t: Translation, node: Node) -> str | None:
    """all inputs but the first must be constants of the model"""
    computed = [name for name in node.inputs[1:] if name and name not in t.graph.constants]
    return f"{computed[0]!r}, which is computed" if computed else None


def comes_before_the_tail(t: Translation, node: Node) -> str | None:
    """softmax and sigmoid may only end the model, nothing but a change of shape or QuantizeLinear may follow"""
    tails = [t.views[name].tail for name in node.inputs if name in t.views]
    return next((f"it after {tail}" for tail in tails if tail != "none"), None)


def means_are_whole(t: Translation, node: Node) -> str | None:
    """a mean must be over both height and width before anything else is computed"""
    views = [t.views[name] for name in node.inputs if name in t.views]
    return "it behind a mean over one of them" if any(view.reduced for view in views) else None


def values_are_float(t: Translation, node: Node) -> str | None:
    """it must work on float values; behind integers put a Cast (pixels) or DequantizeLinear (quantized values)"""
    dtypes = [t.graph.values[name].dtype for name in node.inputs if name in t.views]
    return next((dtype for dtype in dtypes if dtype != "float32"), None)


def input_is_nchw(t: Translation, node: Node) -> str | None:
    """the axes of its input must be batch, channels, height, width"""
    view = t.views[node.inputs[0]]
    if len(view.layout) == 4 and same(view.layout, NCHW, t.shapes[view.tensor]):
        return None
    return "others: " + ", ".join("".join(axes) or "1" for axes in view.layout)


def convolution_is_two_dimensional(t: Translation, node: Node) -> str | None:
    """convolutions must be two-dimensional"""
    shape = t.graph.constants[node.inputs[1]].shape
    return None if len(shape) == 4 and len(t.views[node.inputs[0]].layout) == 4 else f"weights of shape {shape}"


def groups_are_one_or_depthwise(t: Translation, node: Node) -> str | None:
    """group must be 1, or the number of both input and output channels: no grouped convolution, no depth multiplier"""
    shape, group = t.graph.constants[node.inputs[1]].shape, int(node.attributes.get("group", 1))
    c_in, c_out = shape[1] * group, shape[0]
    return None if group == 1 or group == c_in == c_out else f"group {group}, {c_in} -> {c_out} channels"


def dilation_is_one(t: Translation, node: Node) -> str | None:
    """dilations must be 1"""
    kernel = t.graph.constants[node.inputs[1]].shape[2:]
    dilations = [int(item) for item in node.attributes.get("dilations", (1,) * len(kernel))]
    bad = any(step != 1 and size > 1 for step, size in zip(dilations, kernel, strict=False))
    return f"dilations {dilations}" if bad else None


def pads_are_not_negative(t: Translation, node: Node) -> str | None:
    """pads must not be negative: nothing is cropped"""
    pads = integers(t, node, "pads", 1) if node.op == "Pad" else list(node.attributes.get("pads", ()))
    return f"pads {pads}" if pads and min(pads) < 0 else None


def weights_are_a_matrix(t: Translation, node: Node) -> str | None:
    """its weights must be one matrix"""
    shape = t.graph.constants[node.inputs[1]].shape
    leading = shape[: max(len(shape) - 2, 0)]
    return None if len(shape) >= 2 and set(leading) <= {1} else f"weights of shape {shape}"


def is_in_inference_mode(t: Translation, node: Node) -> str | None:
    """the model must be exported in evaluation mode, not in training mode"""
    training = constant_at(t, node, 2) if node.op == "Dropout" else node.attributes.get("training_mode", 0)
    computed = node.op == "Dropout" and len(node.inputs) > 2 and node.inputs[2] != "" and training is None
    trains = computed or (training is not None and bool(np.any(training)))
    return "training mode" if trains or (node.op == "BatchNormalization" and any(node.outputs[1:])) else None


def variances_are_positive(t: Translation, node: Node) -> str | None:
    """variances must be positive"""
    least = float((t.graph.constants[node.inputs[4]] + node.attributes.get("epsilon", 1e-5)).min())
    return None if least > 0 else f"{least:g} with epsilon: train or export the model again"


def only_add_joins_branches(t: Translation, node: Node) -> str | None:
    """two computed values may only be added (or summed): no products, no extrema of branches"""
    computed = [name for name in node.inputs if name in t.views]
    return f"{len(computed)} computed values" if len(computed) != 1 else None


def summands_are_computed(t: Translation, node: Node) -> str | None:
    """all its inputs must be computed from the model's input"""
    return next((f"the constant {name!r}" for name in node.inputs if name not in t.views), None)


def branches_have_one_shape(t: Translation, node: Node) -> str | None:
    """values that are added must have one shape and one layout: broadcasting is not supported"""
    views = [t.views[name] for name in node.inputs if name in t.views]
    shapes = [t.shapes[view.tensor] for view in views]
    fit = len(set(shapes)) == 1 and all(same(view.layout, views[0].layout, shapes[0]) for view in views)
    return None if fit or len(views) < 2 else " and ".join(str(t.graph.values[name].shape) for name in node.inputs)


def constant_is_one_a_channel(t: Translation, node: Node) -> str | None:
    """a constant operand must be one value, or one a channel, and not enlarge the other"""
    for index, name in enumerate(node.inputs):
        if name in t.graph.constants:
            other = node.inputs[1 - index]
            view, shape = t.views[other], t.graph.constants[name].shape
            rank = max(len(output_shape(t, node)) - len(view.layout), 0)
            vector = channel_vector(t.graph.constants[name], (*[()] * rank, *view.layout), t.shapes[view.tensor])
            enlarges = np.prod(output_shape(t, node)) != np.prod(t.graph.values[other].shape)
            return f"one of shape {shape}" if vector is None or enlarges else None
    return None


def divisor_is_a_constant(t: Translation, node: Node) -> str | None:
    """division must be by a constant that is not zero"""
    divisor = constant_at(t, node, 1)
    if divisor is None:
        return "a computed divisor"
    return None if divisor.all() else "a zero in the divisor"


def bounds_are_one_for_all(t: Translation, node: Node) -> str | None:
    """a bound must be one value for all elements, and leave the shape as it is"""
    for index, name in enumerate(node.inputs):
        array = constant_at(t, node, index)
        if name and array is not None and (array.size == 0 or not (array == array.flat[0]).all()):
            return f"bounds of shape {array.shape}"
    computed = next(name for name in node.inputs if name in t.views)
    changed = output_shape(t, node) != t.graph.values[computed].shape
    return f"a result of shape {output_shape(t, node)}" if changed else None


def padding_is_with_zeros(t: Translation, node: Node) -> str | None:
    """padding must be with zeros (on integers: with the zero point); convolutions alone may read the padded value"""
    mode = node.attributes.get("mode", "constant")
    if mode != "constant":
        return f"padding with {mode}"
    filler = constant_at(t, node, 2)
    value = float(filler.flat[0]) if filler is not None and filler.size else float(node.attributes.get("value", 0.0))
    view = t.views[node.inputs[0]]
    zero = 0
    if view.grid is not None:
        zero = view.grid.zero_point + (128 if t.graph.values[node.inputs[0]].dtype == "uint8" else 0)
    return None if value == zero else f"padding with the value {value:g}"


def padding_is_of_the_plane(t: Translation, node: Node) -> str | None:
    """only height and width may be padded"""
    view, pads = t.views[node.inputs[0]], integers(t, node, "pads", 1) or []
    rank = len(view.layout)
    axes = [axis % rank for axis in integers(t, node, "axes", 3) or range(rank)]
    if len(pads) != 2 * len(axes):
        return f"pads {pads} of {rank} axes"
    padded = [axis for axis, begin, end in zip(axes, pads, pads[len(axes) :], strict=False) if begin or end]
    return next((f"axis {axis} padded" for axis in padded if view.layout[axis] not in (("h",), ("w",))), None)


def pooling_is_of_the_whole_plane(t: Translation, node: Node) -> str | None:
    """pooling must be an average over the whole plane, without padding"""
    h, w, _ = t.shapes[t.views[node.inputs[0]].tensor]
    kernel, pads = list(node.attributes["kernel_shape"]), list(node.attributes.get("pads", ()))
    fits = kernel == [h, w] and not any(pads) and output_shape(t, node)[2:] == (1, 1)
    return None if fits else f"kernel {kernel}, pads {pads} on a plane of [{h}, {w}]"


def mean_is_of_the_plane(t: Translation, node: Node) -> str | None:
    """a mean must be over height and width, not over the channels"""
    view = t.views[node.inputs[0]]
    rank, given = len(view.layout), integers(t, node, "axes", 1)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        return None
    axes = sorted(axis % rank for axis in given or range(rank))
    return f"axes {axes}" if "c" in axes_of(view.layout, t.shapes[view.tensor], axes) else None


def cast_is_to_float(t: Translation, node: Node) -> str | None:
    """a Cast must be to a float type, and not of quantized integers"""
    before, after = (t.graph.values[name].dtype for name in (node.inputs[0], node.outputs[0]))
    is_plain = after == "float32" and t.views[node.inputs[0]].grid is None
    return None if is_plain or after == before else f"{before} to {after}"


def activations_are_int8(t: Translation, node: Node) -> str | None:
    """activations must be quantized to int8 or uint8"""
    dtype = scaling_of(node, t.graph.constants, t.graph.values[node.inputs[0]].dtype).dtype
    return None if dtype in ("int8", "uint8") else dtype


def activations_have_one_scale(t: Translation, node: Node) -> str | None:
    """activations must have one scale and one zero point for all elements"""
    scaling = scaling_of(node, t.graph.constants, t.graph.values[node.inputs[0]].dtype)
    count = max(len(set(scaling.scale.tolist())), len(set(scaling.zero_point.tolist())))
    return f"{count} of them" if count > 1 else None


def scales_are_those_of_the_quantization(t: Translation, node: Node) -> str | None:
    """a value must be dequantized with the scale and zero point that it was quantized with"""
    given, wanted = t.views[node.inputs[0]].grid, grid_of(t, node)
    if given in (None, wanted):
        return None
    return " and ".join(f"scale {grid.scale:g}, zero point {grid.zero_point}" for grid in (wanted, given) if grid)


COMPUTES = (first_input_is_computed, comes_before_the_tail, means_are_whole, values_are_float)
PARAMETRIC = (first_input_is_computed, parameters_are_constants)
WITH_CONSTANTS = (*PARAMETRIC, *COMPUTES[1:])
ARITHMETIC = (only_add_joins_branches, *COMPUTES[1:], constant_is_one_a_channel)
EXTREMUM = (only_add_joins_branches, *COMPUTES[1:], bounds_are_one_for_all)
ON_ONE_GRID = (activations_are_int8, activations_have_one_scale)
MOVES = (first_input_is_computed,)
PLACES = (dilation_is_one, pads_are_not_negative)

CONSTRAINTS: Mapping[str, tuple[Constraint, ...]] = {
    "Add": (*COMPUTES[1:], branches_have_one_shape, constant_is_one_a_channel),
    "AveragePool": (*COMPUTES, input_is_nchw, pooling_is_of_the_whole_plane),
    "BatchNormalization": (is_in_inference_mode, *WITH_CONSTANTS, variances_are_positive),
    "Cast": (*MOVES, cast_is_to_float),
    "CastLike": (*MOVES, cast_is_to_float),
    "Clip": (*WITH_CONSTANTS, bounds_are_one_for_all),
    "Conv": (*WITH_CONSTANTS, convolution_is_two_dimensional, input_is_nchw, groups_are_one_or_depthwise, *PLACES),
    "DequantizeLinear": (*PARAMETRIC, *ON_ONE_GRID, scales_are_those_of_the_quantization),
    "Div": (divisor_is_a_constant, *ARITHMETIC),
    "Dropout": (*MOVES, is_in_inference_mode),
    "Expand": MOVES,
    "Flatten": MOVES,
    "Gemm": (*WITH_CONSTANTS, weights_are_a_matrix),
    "GlobalAveragePool": (*COMPUTES, input_is_nchw),
    "Identity": MOVES,
    "MatMul": (*WITH_CONSTANTS, weights_are_a_matrix),
    "Max": EXTREMUM,
    "Min": EXTREMUM,
    "Mul": ARITHMETIC,
    "Pad": (
        *PARAMETRIC,
        comes_before_the_tail,
        means_are_whole,
        padding_is_of_the_plane,
        pads_are_not_negative,
        padding_is_with_zeros,
    ),
    "QuantizeLinear": (*PARAMETRIC, means_are_whole, values_are_float, *ON_ONE_GRID),
    "ReduceMean": (*PARAMETRIC, comes_before_the_tail, values_are_float, mean_is_of_the_plane),
    "Relu": COMPUTES,
    "Reshape": MOVES,
    "Sigmoid": COMPUTES,
    "Softmax": COMPUTES,
    "Squeeze": MOVES,
    "Sub": ARITHMETIC,
    "Sum": (summands_are_computed, *COMPUTES, branches_have_one_shape),
    "Transpose": MOVES,
    "Unsqueeze": MOVES,
}
