# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from float_networks import RELU6, network, small_mobilenet

from mbv2gen import float_reference
from mbv2gen.errors import Mbv2genError
from mbv2gen.network import Conv2D, Window
from mbv2gen.pixels.preprocessing import Preprocessing
from mbv2gen.quantization.calibration import observe, synthetic


def test_ranges_and_means_are_those_of_all_data_at_once() -> None:
    rng = np.random.default_rng(0)
    net = small_mobilenet(rng)
    data = rng.normal(size=(7, 12, 12, 3)).astype(np.float32)
    observed = observe(net, [data[:3], data[3:4], data[4:]])
    whole = float_reference.run(net, data)
    assert set(observed) == set(whole)
    for name, values in whole.items():
        assert (observed[name].low, observed[name].high) == pytest.approx((values.min(), values.max()), abs=1e-5)
        assert observed[name].mean == pytest.approx(values.mean(axis=0), abs=1e-5)


def test_progress_counts_pictures() -> None:
    told: list[int] = []
    net = small_mobilenet(np.random.default_rng(0))
    observe(net, [np.zeros((n, 12, 12, 3), np.float32) for n in (2, 1)], told.append)
    assert told == [2, 3]


def test_no_data_is_refused() -> None:
    with pytest.raises(Mbv2genError, match="no calibration data"):
        observe(small_mobilenet(np.random.default_rng(0)), [])


def test_a_tensor_that_overflows_is_named() -> None:
    huge = np.full((1, 1, 1, 1), 3e38, np.float32)
    conv = Conv2D("c", ("x",), ("y",), huge, np.zeros(1, np.float32), Window())
    with pytest.raises(Mbv2genError, match=r"net\.onnx: tensor 'y' is not finite"):
        observe(network((1, 1, 1), conv), [np.full((1, 1, 1, 1), 100.0, np.float32)])


def test_memory_does_not_grow_with_the_data() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(32, 1, 1, 1)).astype(np.float32)
    conv = Conv2D("c", ("x",), ("y",), weights, np.zeros(32, np.float32), Window(), RELU6)
    net = network((32, 32, 1), conv)

    def peak(pictures: int) -> int:
        tracemalloc.start()
        observe(net, (rng.normal(size=(1, 32, 32, 1)).astype(np.float32) for _ in range(pictures)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(4)  # what is loaded once
    assert peak(40) < 1.5 * peak(8)


@pytest.mark.parametrize("shape", [(24, 17, 3), (5, 5, 1), (1, 1, 4)])
def test_synthetic_pictures_are_the_same_every_time_and_differ_from_each_other(shape: tuple[int, int, int]) -> None:
    c = shape[2]
    conv = Conv2D("c", ("x",), ("y",), np.ones((1, 1, 1, c), np.float32), np.zeros(1, np.float32), Window())
    net = network(shape, conv)
    preprocessing = Preprocessing((0.0,) * c, (255.0,) * c)
    one, two = (np.concatenate(list(synthetic(net, preprocessing).pixels(16))) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.shape[1:] == shape
    assert one.dtype == np.uint8
    assert len(np.unique(one.reshape(len(one), -1), axis=0)) > len(one) // 2


def test_synthetic_pictures_reach_both_ends_of_the_pixels() -> None:
    net = small_mobilenet(np.random.default_rng(0), size=32)
    pixels = np.concatenate(list(synthetic(net).pixels(16)))
    assert (pixels.min(), pixels.max()) == (0, 255)
