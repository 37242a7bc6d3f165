# SPDX-License-Identifier: Apache-2.0
"""The float interpreter against plain loops, and the model's own input and output conventions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx_models import Builder, build, lowered

from mbv2gen.errors import Mbv2genError
from mbv2gen.float_reference import apply, run, run_outputs, to_model_output, to_nhwc
from mbv2gen.network import (
    Activation,
    Add,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    ModelInput,
    ModelOutput,
    Network,
    Window,
)

X, Y = ("x",), ("y",)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    sizes = [draw(st.integers(1, 3)) for _ in range(4)]
    return Window(*sizes, *(draw(st.integers(0, 2)) for _ in range(4)))


@st.composite
def images(draw: st.DrawFn) -> NDArray[np.float32]:
    shape = [draw(st.integers(low, high)) for low, high in ((1, 3), (3, 6), (3, 6), (1, 4))]
    return np.random.default_rng(draw(st.integers(0, 999))).standard_normal(shape).astype(np.float32)


def value_at(image: NDArray[np.float32], y: int, x: int, c: int) -> float:
    h, w, _ = image.shape
    return float(image[y, x, c]) if 0 <= y < h and 0 <= x < w else 0.0


def looped(
    x: NDArray[np.float32], window: Window, weights: NDArray[np.float32], depthwise: bool
) -> NDArray[np.float64]:
    """A convolution as its definition says; weights [c_out][kh][kw][c_in] or [kh][kw][c]."""
    rows, columns = window.output_size(*x.shape[1:3])
    c_out = weights.shape[-1] if depthwise else weights.shape[0]
    result = np.zeros((len(x), rows, columns, c_out))
    for n, oy, ox, co in np.ndindex(*result.shape):
        for ky, kx in np.ndindex(window.kernel_h, window.kernel_w):
            y, column = oy * window.stride_h + ky - window.pad_top, ox * window.stride_w + kx - window.pad_left
            if depthwise:
                result[n, oy, ox, co] += weights[ky, kx, co] * value_at(x[n], y, column, co)
            else:
                taps = [value_at(x[n], y, column, c) for c in range(x.shape[3])]
                result[n, oy, ox, co] += weights[co, ky, kx] @ taps
    return result


@given(x=images(), window=windows(), c_out=st.integers(1, 3))
def test_a_convolution_is_its_definition(x: NDArray[np.float32], window: Window, c_out: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((c_out, window.kernel_h, window.kernel_w, x.shape[3])).astype(np.float32)
    bias = rng.standard_normal(c_out).astype(np.float32)
    got = apply(Conv2D("conv", X, Y, weights, bias, window), (x,))
    np.testing.assert_allclose(got, looped(x, window, weights, depthwise=False) + bias, atol=1e-4)


@given(x=images(), window=windows())
def test_a_depthwise_convolution_is_its_definition(x: NDArray[np.float32], window: Window) -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((window.kernel_h, window.kernel_w, x.shape[3])).astype(np.float32)
    bias = rng.standard_normal(x.shape[3]).astype(np.float32)
    operator = DepthwiseConv2D("depthwise", X, Y, weights, bias, window)
    expected = looped(x, window, weights, depthwise=True) + bias
    np.testing.assert_allclose(apply(operator, (x,)), expected, atol=1e-4)
    strided = x.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(apply(operator, (strided,)), expected, atol=1e-4)


@given(x=images())
def test_the_small_operators_are_their_definitions(x: NDArray[np.float32]) -> None:
    n, h, w, c = x.shape
    weights = np.random.default_rng(0).standard_normal((2, h * w * c)).astype(np.float32)
    dense = apply(FullyConnected("dense", X, Y, weights, np.float32([1, -1])), (x,))
    expected = [[float(weights[k] @ image.ravel()) + (1, -1)[k] for k in range(2)] for image in x]
    np.testing.assert_allclose(dense.reshape(n, 2), expected, rtol=1e-4, atol=1e-4)
    mean = apply(Mean("mean", X, Y), (x,))
    np.testing.assert_allclose(
        mean.reshape(n, c), [[image[:, :, k].mean() for k in range(c)] for image in x], atol=1e-6
    )
    total = apply(Add("add", ("x", "z"), Y, Clamp(0, 1)), (x, x))
    assert total.tolist() == [[[[min(max(2 * v, 0), 1) for v in p] for p in row] for row in im] for im in x.tolist()]


def test_an_activation_leaves_its_input_as_it_was() -> None:
    x = np.float32([[[[-1.0, 7.0]]]])
    y = apply(Activation("relu6", X, Y, Clamp(0, 6)), (x,))
    assert (x.tolist(), y.tolist()) == ([[[[-1, 7]]]], [[[[0, 6]]]])


def small_network(folder: Path, dtype: int = 1, shape: tuple[int, ...] = (1, 3, 7, 9)) -> Network:
    def body(g: Builder, x: str) -> str:
        y = g.relu6(g.conv(x, 3, 4, kernel=3, pads=[1, 1, 1, 1]))
        return g("Flatten", g("GlobalAveragePool", g("Add", y, g.conv(y, 4, 4, kernel=3, group=4, pads=[1, 1, 1, 1]))))

    return lowered(build(body, dtype=dtype, shape=shape), folder)


def test_run_gives_every_tensor_in_its_shape_and_run_outputs_the_last(tmp_path: Path) -> None:
    network = small_network(tmp_path)
    x = np.random.default_rng(0).standard_normal((11, 7, 9, 3)).astype(np.float32)
    values = run(network, x)
    assert {name: value.shape[1:] for name, value in values.items()} == {t.name: t.shape for t in network.tensors}
    assert all(value.dtype == np.float32 and len(value) == 11 for value in values.values())
    np.testing.assert_allclose(run_outputs(network, x), values[network.outputs[0]], rtol=1e-5, atol=1e-6)


def test_to_nhwc_transposes_and_normalises(tmp_path: Path) -> None:
    network = small_network(tmp_path)
    array = np.arange(2 * 3 * 7 * 9, dtype=np.float32).reshape(2, 3, 7, 9)
    assert to_nhwc(network, array)[1, 2, 3, 1] == array[1, 1, 2, 3]
    pixels = replace(network, model_input=ModelInput("image", "NHWC", "uint8", (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)))
    got = to_nhwc(pixels, np.full((1, 7, 9, 3), 40, np.uint8))
    assert got.dtype == np.float32
    assert got[0, 6, 8].tolist() == [15, 5, 2]


@pytest.mark.parametrize("shape", [(1, 7, 9, 3), (3, 7, 9), (2, 189), (1, 3, 7, 8), ()])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(Mbv2genError, match=r"model.onnx: input 'image' takes arrays of shape \(n, 3, 7, 9\)"):
        to_nhwc(small_network(tmp_path), np.zeros(shape, np.float32))


def test_the_tail_and_the_layout_of_the_model_are_put_back(tmp_path: Path) -> None:
    network = small_network(tmp_path)
    y = np.float32([0, np.log(3), 500, 500]).reshape(1, 2, 1, 2)
    soft = replace(network, model_output=ModelOutput("out", "softmax", (1, 2, 2, 1), "NCHW"))
    np.testing.assert_allclose(to_model_output(soft, y), [[[[0.25], [0.5]], [[0.75], [0.5]]]], rtol=1e-6)
    sigmoid = replace(network, model_output=ModelOutput("out", "sigmoid", (4,)))
    np.testing.assert_allclose(to_model_output(sigmoid, y), [0.5, 0.75, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(to_model_output(sigmoid, -y), [0.5, 0.25, 0, 0], atol=1e-6)
    assert to_model_output(sigmoid, np.repeat(y, 3, axis=0)).shape == (3, 4)
