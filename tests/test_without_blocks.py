# SPDX-License-Identifier: Apache-2.0
"""Networks in which no inverted residual is, as small as a graph can be: the whole command line on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import command
from onnx_models import Builder, build, saved
from toy_network import needs_host_compiler

pytestmark = needs_host_compiler

Layers = Callable[[Builder, str], str]


def one_convolution(b: Builder, x: str) -> str:
    return b.conv(x, 3, 4, 3, pads=[1, 1, 1, 1])


def one_pointwise(b: Builder, x: str) -> str:
    return b.relu6(b.conv(x, 3, 5))


def one_depthwise(b: Builder, x: str) -> str:
    return b.relu6(b.conv(x, 3, 3, 3, group=3, strides=[2, 2], pads=[1, 1, 1, 1]))


def only_a_mean(b: Builder, x: str) -> str:
    return b("GlobalAveragePool", x)


def only_dense(b: Builder, x: str) -> str:
    return b("Gemm", b("Flatten", x), b.random(4, 3 * 9 * 10), b.random(4), transB=1)


def plain_convolutions(b: Builder, x: str) -> str:
    x = b("Relu", b.conv(x, 3, 8, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    x = b("Relu", b.conv(x, 8, 6, 3, pads=[1, 1, 1, 1]))
    x = b("Flatten", b("GlobalAveragePool", x))
    return b("Gemm", x, b.random(3, 6), b.random(3), transB=1)


@pytest.mark.parametrize(
    ("layers", "target", "feed"),
    [
        (one_convolution, "cortex-m7", "rows"),
        (one_pointwise, "cortex-m7", "frame"),
        (one_depthwise, "cortex-m0", "rows"),
        (only_a_mean, "cortex-m7", "rows"),
        (only_dense, "cortex-m7", "frame"),
        (plain_convolutions, "cortex-m7", "rows"),
    ],
)
def test_a_network_without_blocks_is_compiled_verified_and_run(
    layers: Layers, target: str, feed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = saved(build(layers, (1, 3, 9, 10)), tmp_path), tmp_path / "out"
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, np.random.default_rng(0).normal(size=(2, 3, 9, 10)).astype(np.float32))
    for words in (
        ("inspect", model),
        ("compile", model, "--target", target, "--feed", feed, "-o", out),
        ("verify", out),
        ("run", out, "--input", x, "--output", y),
    ):
        ended = command(capsys, *words)
        assert ended.code == 0, ended.err
    assert np.isfinite(np.load(y)).all()
