# SPDX-License-Identifier: Apache-2.0
"""The int8 reference: what a QuantizedNetwork computes, in NumPy. C, .tflite and TensorFlow Lite Micro equal it.

Products are summed exactly: pointwise, full and fully connected layers as float matrix products whose every partial
sum is an integer below 2**24 (float32) or 2**53 (float64), depthwise ones in int32. All images of a chunk at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbv2gen.arithmetic import ADD_LEFT_SHIFT, multiply_by_quantized_multiplier
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Window
from mbv2gen.quantized_network import (
    Int8Array,
    QActivation,
    QAdd,
    QConv2D,
    QDepthwiseConv2D,
    QFullyConnected,
    QMean,
    QOperator,
    QuantizedNetwork,
)

Weighted: TypeAlias = QConv2D | QDepthwiseConv2D | QFullyConnected
IntArray: TypeAlias = NDArray[np.int32] | NDArray[np.int64]

CHUNK_ELEMENTS = 1 << 20  # of the largest tensor, for the images that run at once: 8 MB as int64
CACHE_ELEMENTS = 1 << 14  # that are requantized at once: the temporaries, 8 bytes each, stay in a core's cache


def run(network: QuantizedNetwork, x: Int8Array) -> dict[str, Int8Array]:
    """Every tensor of ``network``, int8 [n][h][w][c] by name, for the images ``x``, int8 [n][h][w][c].

    Raises Mbv2genError where ``x`` is not int8 or not of the input's shape.
    """
    _check_input(network, x)
    values = {network.inputs[0]: x}
    for operator in network.operators:
        values[operator.outputs[0]] = evaluate_operator(network, operator, [values[name] for name in operator.inputs])
    return values


def run_outputs(network: QuantizedNetwork, x: Int8Array) -> Int8Array:
    """outputs[0] of ``network``, int8 [n][h][w][c], for the images ``x``, int8 [n][h][w][c].

    Works on a few images at a time and frees each tensor after its last reader, so that memory stays bounded.
    Raises Mbv2genError where ``x`` is not int8 or not of the input's shape.
    """
    _check_input(network, x)
    output = network.outputs[0]
    last_reader = {name: i for i, operator in enumerate(network.operators) for name in operator.inputs}
    result = np.empty((len(x), *network.shape(output)), dtype=np.int8)
    images = max(1, CHUNK_ELEMENTS // max(int(np.prod(tensor.shape)) for tensor in network.tensors))
    for start in range(0, len(x), images):
        values = {network.inputs[0]: x[start : start + images]}
        for i, operator in enumerate(network.operators):
            inputs = [values[name] for name in operator.inputs]
            values[operator.outputs[0]] = evaluate_operator(network, operator, inputs)
            for name in set(operator.inputs):
                if last_reader[name] == i and name != output:
                    del values[name]
        result[start : start + images] = values[output]
    return result


def evaluate_operator(network: QuantizedNetwork, operator: QOperator, inputs: list[Int8Array]) -> Int8Array:
    """The output, int8 [n][h][w][c], of one operator of ``network`` for its ``inputs``, each int8 [n][h][w][c]."""
    zero_points = [network.tensor(name).zero_point for name in operator.inputs]
    out_zero_point = network.tensor(operator.outputs[0]).zero_point
    if isinstance(operator, QActivation):
        return inputs[0].clip(operator.act_min, operator.act_max)
    if isinstance(operator, QAdd):
        return _add(operator, inputs, zero_points, out_zero_point)
    if isinstance(operator, QMean):
        return _mean(operator, inputs[0], zero_points[0], out_zero_point)
    return requantized(operator, accumulators(operator, inputs[0], zero_points[0]), out_zero_point)


def requantized(operator: Weighted, acc: IntArray, out_zero_point: int) -> Int8Array:
    """The operator's output, int8 [n][h][w][c], for its accumulators ``acc`` [n][h][w][c]; parts that fit a cache."""
    c = acc.shape[3]
    flat, result = acc.reshape(-1, c), np.empty((acc.size // c, c), np.int8)
    step = max(1, CACHE_ELEMENTS // c)
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        scaled = multiply_by_quantized_multiplier(flat[part], operator.multiplier, operator.shift)
        scaled += out_zero_point
        np.clip(scaled, operator.act_min, operator.act_max, out=scaled)
        result[part] = scaled
    return result.reshape(acc.shape)


def accumulators(operator: Weighted, x: Int8Array, zero_point: int) -> IntArray:
    """bias + sum of weights * (x - zero_point), before requantization: integers [n][h'][w'][c_out].

    ``x`` is the operator's input, int8 [n][h][w][c], ``zero_point`` that of its tensor; padding contributes nothing.
    """
    centred = x.astype(np.int32) - zero_point
    if isinstance(operator, QDepthwiseConv2D):
        return _depthwise(operator, centred)
    if isinstance(operator, QFullyConnected):
        rows = centred.reshape(len(x), 1, 1, -1)
    elif operator.window.is_pointwise:
        rows = centred
    else:
        rows = _patches(centred, operator.window)
    weights = operator.weights.reshape(len(operator.weights), -1)
    return _matrix_product(rows, weights) + operator.bias


def _matrix_product(rows: NDArray[np.int32], weights: Int8Array) -> NDArray[np.int64]:
    """rows [n][h][w][k] @ weights [c_out][k].T, exact: no partial sum can exceed sum |w| * 255 in any order."""
    bound = int(np.abs(weights.astype(np.int64)).sum(axis=1).max()) * 255
    dtype = np.float32 if bound < 1 << 24 else np.float64
    flat = rows.reshape(-1, weights.shape[1]).astype(dtype)
    product = flat @ weights.T.astype(dtype)
    return np.asarray(product, dtype=np.int64).reshape(*rows.shape[:3], len(weights))


def taps(centred: NDArray[np.int32], window: Window) -> list[NDArray[np.int32]]:
    """For each (kh, kw), row by row, the plane of inputs it meets: views [n][h'][w'][c] of one padded copy."""
    out_h, out_w = window.output_size(centred.shape[1], centred.shape[2])
    pads = ((0, 0), (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right), (0, 0))
    padded = np.pad(centred, pads)
    span_h, span_w = (out_h - 1) * window.stride_h + 1, (out_w - 1) * window.stride_w + 1
    return [
        padded[:, kh : kh + span_h : window.stride_h, kw : kw + span_w : window.stride_w]
        for kh in range(window.kernel_h)
        for kw in range(window.kernel_w)
    ]


def _patches(centred: NDArray[np.int32], window: Window) -> NDArray[np.int32]:
    """[n][h'][w'][kernel_h * kernel_w * c], in the order of a filter's weights."""
    return np.concatenate(taps(centred, window), axis=3)


def _depthwise(operator: QDepthwiseConv2D, centred: NDArray[np.int32]) -> NDArray[np.int32]:
    planes = taps(centred, operator.window)
    weights = operator.weights.reshape(len(planes), -1).astype(np.int32)
    acc, product = np.empty(planes[0].shape, dtype=np.int32), np.empty(planes[0].shape, dtype=np.int32)
    acc[:] = operator.bias
    for tap, weight in zip(planes, weights, strict=True):
        acc += np.multiply(tap, weight, out=product)
    return acc


def _add(operator: QAdd, inputs: list[Int8Array], zero_points: list[int], out_zero_point: int) -> Int8Array:
    """TFLite's AddFunc; each input has 256 values, so it is rescaled through a table of them."""
    total = np.zeros(inputs[0].shape, dtype=np.int64)
    for i, x in enumerate(inputs):
        every_value = (np.arange(-128, 128) - zero_points[i]) << ADD_LEFT_SHIFT
        table = multiply_by_quantized_multiplier(every_value, operator.input_multipliers[i], operator.input_shifts[i])
        total += table[x.astype(np.intp) + 128]
    scaled = multiply_by_quantized_multiplier(total, operator.output_multiplier, operator.output_shift)
    return (scaled + out_zero_point).clip(operator.act_min, operator.act_max).astype(np.int8)


def _mean(operator: QMean, x: Int8Array, zero_point: int, out_zero_point: int) -> Int8Array:
    total = x.sum(axis=(1, 2), keepdims=True, dtype=np.int64) - zero_point * x.shape[1] * x.shape[2]
    scaled = multiply_by_quantized_multiplier(total, operator.multiplier, operator.shift)
    return (scaled + out_zero_point).clip(-128, 127).astype(np.int8)


def _check_input(network: QuantizedNetwork, x: Int8Array) -> None:
    shape = network.shape(network.inputs[0])
    if x.dtype != np.int8 or x.ndim != 4 or x.shape[1:] != shape:
        h, w, c = shape
        raise Mbv2genError(
            f"{network.source.file}: input '{network.inputs[0]}' must be int8 of shape (n, {h}, {w}, {c}), "
            f"got {x.dtype} of shape {x.shape}; quantize it as the network's header says"
        )
