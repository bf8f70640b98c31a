"""Intervals of macro-F1 cover with many classes, with rare ones, and without errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from subjectwise.statistics import metrics
from subjectwise.statistics.macro_f1 import macro_f1_difference, macro_f1_interval
from subjectwise.types import IntArray


def value(truth: IntArray, predicted: IntArray) -> float:
    return metrics.macro_f1(np.eye(int(max(truth.max(), predicted.max())) + 1)[predicted], truth)


def population(shares: Sequence[float], accuracy: float, seed: int = 0) -> tuple[IntArray, IntArray]:
    """100,000 rows of classes with `shares`; a wrong prediction is a frequent class more often than a rare one."""
    generator = np.random.default_rng(seed)
    truth, guess = (generator.choice(len(shares), size=100_000, p=shares) for _ in range(2))
    return truth, np.where(generator.random(100_000) < accuracy, truth, guess)


def coverage(shares: Sequence[float], accuracy: float, rows: int, samples: int = 300) -> tuple[float, float]:
    """Return how often the interval of macro-F1, and that of a difference, contain the population's value.

    Samples have every class, as `evaluate` demands.
    """
    truth, predicted = population(shares, accuracy)
    other = np.where(np.random.default_rng(1).random(len(truth)) < 0.1, (predicted + 1) % len(shares), predicted)
    true, difference = value(truth, predicted), value(truth, predicted) - value(truth, other)
    generator = np.random.default_rng(rows)
    covered = [0, 0]
    counted = 0
    while counted < samples:
        chosen = generator.integers(0, len(truth), rows)
        if len(np.unique(truth[chosen])) < len(shares):
            continue
        counted += 1
        interval = macro_f1_interval(truth[chosen], predicted[chosen])
        covered[0] += interval.low <= true <= interval.high
        interval = macro_f1_difference(predicted[chosen], other[chosen], truth[chosen])
        covered[1] += interval.low <= difference <= interval.high
    return covered[0] / samples, covered[1] / samples


EVEN = [1 / 14] * 14
RARE = [0.5, 0.48, 0.02]


@pytest.mark.parametrize(
    ("shares", "accuracy", "rows"),
    [(EVEN, 0.8, 126), (EVEN, 0.8, 400), (RARE, 0.7, 60), (RARE, 0.7, 126), ([0.9, 0.1], 0.9, 40)],
)
def test_the_intervals_cover(shares: Sequence[float], accuracy: float, rows: int) -> None:
    # A bootstrap covers 20 to 40 of 100 samples with a rare class.
    assert min(coverage(shares, accuracy, rows)) >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("rows", [40, 126, 400])
@pytest.mark.parametrize("accuracy", [0.6, 0.95])
@pytest.mark.parametrize("shares", [EVEN, RARE, [0.4, 0.3, 0.2, 0.08, 0.02], [0.25] * 4, [0.9, 0.1]])
def test_the_intervals_cover_at_least_93_of_100(shares: Sequence[float], accuracy: float, rows: int) -> None:
    if rows < 2.8 * len(shares):
        pytest.skip("few samples have every class")
    assert min(coverage(shares, accuracy, rows, samples=1000)) >= 0.93


def test_the_value_is_macro_f1() -> None:
    truth, predicted = (part[:200] for part in population([0.5, 0.3, 0.2], 0.7))
    interval = macro_f1_interval(truth, predicted)
    assert interval.value == pytest.approx(value(truth, predicted))
    assert 0 < interval.low < interval.value < interval.high < 1
    other = (predicted + (np.arange(200) < 20)) % 3
    difference = macro_f1_difference(predicted, other, truth)
    assert difference.value == pytest.approx(value(truth, predicted) - value(truth, other))
    assert difference.high - difference.low < interval.high - interval.low, "paired"


def test_classes_that_do_not_occur_are_left_out() -> None:
    truth, predicted = np.array([0, 2, 2, 5] * 5), np.array([0, 2, 5, 5] * 5)
    renumbered = {0: 0, 2: 1, 5: 2}
    same = macro_f1_interval(*(np.array([renumbered[int(index)] for index in part]) for part in (truth, predicted)))
    assert macro_f1_interval(truth, predicted) == same


def test_a_sample_without_errors_has_an_interval_all_the_same() -> None:
    truth = np.arange(40) % 4
    interval = macro_f1_interval(truth, truth)
    assert interval.value == interval.high == 1.0
    # One error in 40 rows would not be surprising.
    assert 0.8 < interval.low < value(truth, (truth + (np.arange(40) == 0)) % 4)
    same = macro_f1_difference(truth, truth, truth)
    assert same.low < same.value == 0 < same.high < 0.2


def test_everything_wrong() -> None:
    truth = np.arange(40) % 4
    interval = macro_f1_interval(truth, (truth + 1) % 4)
    assert interval.value == interval.low == 0.0 < interval.high < 0.2


def test_a_class_of_one_row_may_as_well_be_weak() -> None:
    truth, predicted = np.array([0, 1] * 30 + [2]), np.array([0, 1] * 30 + [2])
    interval = macro_f1_interval(truth, predicted)
    # Its one row is right: the F1 of that class is known hardly at all, and makes a third of the mean.
    assert interval.low < 0.75
