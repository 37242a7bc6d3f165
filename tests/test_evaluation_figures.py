# SPDX-License-Identifier: Apache-2.0
"""Pure figures of accuracy, against scikit-learn and numbers worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, top_k_accuracy_score

from mbv2gen.evaluation import figures


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson)
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_newcombes_table(successes: int, trials: int, low: float, high: float) -> None:
    assert figures.interval_95(successes, trials) == pytest.approx((low, high), abs=5e-5)
    mirrored = figures.interval_95(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


@given(trials=st.integers(1, 10_000), part=st.floats(0, 1))
def test_the_interval_holds_the_fraction_and_stays_a_fraction(trials: int, part: float) -> None:
    successes = round(part * trials)
    low, high = figures.interval_95(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@pytest.mark.parametrize("k", [1, 2, 5])
def test_ranks_give_the_top_k_accuracy_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(k)
    scores, labels = rng.standard_normal((300, 7)), rng.integers(0, 7, 300)
    wanted = top_k_accuracy_score(labels, scores, k=k, labels=range(7))
    assert (figures.ranks(scores, labels) < k).mean() == pytest.approx(wanted)


@given(seed=st.integers(0, 2**16), classes=st.integers(2, 9))
def test_of_equal_scores_the_first_counts_as_argmax_does(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 3, (40, classes)).astype(float), rng.integers(0, classes, 40)
    order = np.argsort(-scores, axis=1, kind="stable")
    places = [list(line).index(label) for line, label in zip(order, labels, strict=True)]
    assert figures.ranks(scores, labels).tolist() == places
    assert ((figures.ranks(scores, labels) == 0) == (scores.argmax(axis=1) == labels)).all()


def test_confusion_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels, chosen = rng.integers(0, 5, 200), rng.integers(0, 6, 200)  # class 6 never occurs
    wanted = confusion_matrix(labels, chosen, labels=range(7))
    assert np.array_equal(figures.confusion(labels, chosen, 7), wanted)


def test_decibels_of_powers() -> None:
    powers = np.array([[100.0, 1.0], [5.0, 0.0], [0.0, 2.0]])
    assert figures.decibels(powers).tolist() == [20.0, np.inf, -np.inf]


def test_signal_is_what_tells_classes_apart() -> None:
    """An equal shift of all classes changes no decision and is no noise; a lone output has no others to be less."""
    wanted = np.array([[[[3.0, 1.0, 2.0]]]])
    signal, noise = figures.signal_and_noise(wanted, wanted + 7)[0]
    assert (signal, noise) == (2.0, 0.0)
    assert figures.signal_and_noise(wanted[..., :1], wanted[..., :1] + 2)[0].tolist() == [9.0, 4.0]
