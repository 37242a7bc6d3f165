# SPDX-License-Identifier: Apache-2.0
"""Float interpreter: a Network on NumPy, batches of images, NHWC.

Used to calibrate, to measure accuracy and as the float side of every comparison. Everything is float32; a
pointwise convolution is one matrix product, a depthwise one kernel_h * kernel_w shifted multiply-adds, any other
convolution an im2col and a matrix product.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from mbv2gen.errors import Mbv2genError
from mbv2gen.network import (
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FloatArray,
    FullyConnected,
    Mean,
    Network,
    Operator,
    Window,
)
from mbv2gen.quantized_network import QuantizedNetwork

CHUNK = 4  # images a pass: the working set stays near the cache


def run(network: Network, x: FloatArray) -> dict[str, FloatArray]:
    """Every tensor of the network by name, [n][h][w][c], for the float input ``x`` [n][h][w][c]."""
    values = {network.inputs[0]: _checked(network, x)}
    for operator in network.operators:
        values[operator.outputs[0]] = apply(operator, tuple(values[name] for name in operator.inputs))
    return values


def run_outputs(network: Network, x: FloatArray) -> FloatArray:
    """The network's first output, [n][h][w][c]; a few images at a time, each intermediate freed after its last use."""
    x = _checked(network, x)
    result = np.empty((len(x), *network.shape(network.outputs[0])), np.float32)
    for start in range(0, len(x), CHUNK):
        result[start : start + CHUNK] = _run_chunk(network, x[start : start + CHUNK])
    return result


def apply(operator: Operator, inputs: tuple[FloatArray, ...]) -> FloatArray:
    """One operator on its inputs, each [n][h][w][c]; returns [n][h][w][c]."""
    x = inputs[0]
    if isinstance(operator, Conv2D):
        y = _conv(x, operator)
    elif isinstance(operator, DepthwiseConv2D):
        y = _depthwise(x, operator)
    elif isinstance(operator, FullyConnected):
        y = (x.reshape(len(x), -1) @ operator.weights.T + operator.bias)[:, None, None, :]
    elif isinstance(operator, Add):
        y = x + inputs[1]
    elif isinstance(operator, Mean):
        return np.asarray(x.mean(axis=(1, 2), keepdims=True), np.float32)
    else:
        y = x.copy()
    return _clamped(y, operator.clamp)


def to_nhwc(network: Network | QuantizedNetwork, array: np.ndarray) -> FloatArray:
    """The Network's float input [n][h][w][c] from an array as the ONNX model takes it.

    ``array`` has the model's layout and number type, any batch size. Where the model normalises its input itself
    (``model_input.mean`` and ``std``), (value - mean) / std is applied here. Raises Mbv2genError on a wrong shape.
    """
    h, w, c = network.shape(network.inputs[0])
    entry = network.model_input
    shape = (c, h, w) if entry.layout == "NCHW" else (h, w, c)
    if array.shape[1:] not in (shape, (h * w * c,)) or (array.ndim == 2 and (h, w) != (1, 1)):
        wanted = ", ".join(str(size) for size in shape)
        where = f"{network.source.file}: input {entry.name!r}"
        raise Mbv2genError(f"{where} takes arrays of shape (n, {wanted}), got {array.shape}")
    x = array.reshape(len(array), *shape)
    if entry.layout == "NCHW":
        x = x.transpose(0, 2, 3, 1)
    if entry.mean is not None and entry.std is not None:
        x = (x.astype(np.float64) - np.array(entry.mean)) / np.array(entry.std)
    return np.ascontiguousarray(x, dtype=np.float32)


def to_model_output(network: Network | QuantizedNetwork, y: FloatArray) -> FloatArray:
    """What the ONNX model itself returns for the network's output ``y`` [n][h][w][c].

    The tail (softmax over the channels, or sigmoid) is applied, then the model's layout and shape; the batch takes
    the place of a leading 1 of that shape, or goes before it where there is none and n is not 1.
    """
    exit_ = network.model_output
    if exit_.tail == "softmax":
        powers = np.exp(y - y.max(axis=-1, keepdims=True))
        y = powers / powers.sum(axis=-1, keepdims=True)
    elif exit_.tail == "sigmoid":
        tail = np.exp(-np.abs(y))
        y = np.where(y >= 0, 1, tail) / (1 + tail)
    if exit_.layout == "NCHW":
        y = y.transpose(0, 3, 1, 2)
    n, shape = len(y), exit_.shape
    if shape[:1] == (1,):
        shape = (n, *shape[1:])
    elif n != 1:
        shape = (n, *shape)
    return np.ascontiguousarray(y.reshape(shape), dtype=np.float32)


def _checked(network: Network, x: FloatArray) -> FloatArray:
    if x.shape[1:] != network.shape(network.inputs[0]) or x.ndim != 4:
        raise ValueError(f"expected [n]{network.shape(network.inputs[0])}, got {x.shape}")
    return np.asarray(x, np.float32)


def _run_chunk(network: Network, x: FloatArray) -> FloatArray:
    uses = Counter(name for operator in network.operators for name in operator.inputs)
    uses[network.outputs[0]] += 1
    values = {network.inputs[0]: x}
    for operator in network.operators:
        values[operator.outputs[0]] = apply(operator, tuple(values[name] for name in operator.inputs))
        for name in operator.inputs:
            uses[name] -= 1
            if not uses[name]:
                del values[name]
    return values[network.outputs[0]]


def _clamped(y: FloatArray, clamp: Clamp) -> FloatArray:
    """``y`` itself, clamped in place."""
    if clamp.low != -np.inf:
        np.maximum(y, np.float32(clamp.low), out=y)
    if clamp.high != np.inf:
        np.minimum(y, np.float32(clamp.high), out=y)
    return y


def _padded(x: FloatArray, window: Window) -> FloatArray:
    pads = (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right)
    if not any(map(any, pads)):
        return np.ascontiguousarray(x)
    n, h, w, c = x.shape
    y = np.zeros((n, h + sum(pads[0]), w + sum(pads[1]), c), np.float32)
    y[:, window.pad_top : window.pad_top + h, window.pad_left : window.pad_left + w] = x
    return y


def _tap(x: FloatArray, window: Window, ky: int, kx: int, size: tuple[int, int]) -> FloatArray:
    """The elements of the padded input under tap (ky, kx), one an output position: a view [n][oh][ow][c]."""
    last_y, last_x = ky + (size[0] - 1) * window.stride_h + 1, kx + (size[1] - 1) * window.stride_w + 1
    return x[:, ky : last_y : window.stride_h, kx : last_x : window.stride_w]


def _conv(x: FloatArray, operator: Conv2D) -> FloatArray:
    n, h, w, c = x.shape
    window, size = operator.window, operator.window.output_size(h, w)
    matrix = operator.weights.reshape(len(operator.weights), -1).T
    if window.is_pointwise:
        columns = x.reshape(-1, c)
    else:
        padded = _padded(x, window)
        taps = np.empty((n, *size, window.kernel_h, window.kernel_w, c), np.float32)
        for ky, kx in np.ndindex(window.kernel_h, window.kernel_w):
            taps[:, :, :, ky, kx] = _tap(padded, window, ky, kx, size)
        columns = taps.reshape(n * size[0] * size[1], -1)
    y: FloatArray = columns @ matrix
    y += operator.bias
    return y.reshape(n, *size, -1)


def _depthwise(x: FloatArray, operator: DepthwiseConv2D) -> FloatArray:
    """Whole rows of an image at a time: [rows][ow * c] times the weights of one tap repeated along the row."""
    n, h, w, c = x.shape
    window, (rows, columns) = operator.window, operator.window.output_size(h, w)
    padded = _padded(x, window)
    y = np.empty((n, rows, columns * c), np.float32)
    product = np.empty((rows, columns * c), np.float32)
    weights = np.tile(operator.weights, (1, 1, columns))  # [kernel_h][kernel_w][ow * c]
    bias = np.tile(operator.bias, columns)
    for index, image in enumerate(padded):
        y[index] = bias
        for kx in range(window.kernel_w):
            shifted = image[:, kx : kx + (columns - 1) * window.stride_w + 1 : window.stride_w]
            flat = shifted.reshape(len(image), columns * c) if window.stride_w > 1 else _row_view(shifted)
            for ky in range(window.kernel_h):
                tap = flat[ky : ky + (rows - 1) * window.stride_h + 1 : window.stride_h]
                np.multiply(tap, weights[ky, kx], out=product)
                y[index] += product
    return y.reshape(n, rows, columns, c)


def _row_view(x: FloatArray) -> FloatArray:
    """[h][w][c] with dense rows as [h][w * c], without copying."""
    h, w, c = x.shape
    return np.lib.stride_tricks.as_strided(x, (h, w * c), (x.strides[0], x.itemsize), writeable=False)
