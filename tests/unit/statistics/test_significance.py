"""Intervals of metrics, and paired tests."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.statistics import metrics, significance


def drawn(seed: int, rows: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.5), rows)
    truth = np.array([generator.choice(classes, p=row) for row in probabilities])
    return probabilities, truth


def test_wilson_is_the_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    interval = significance.wilson_interval(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_intervals_include_the_metric() -> None:
    probabilities, truth = drawn(2)
    for name, interval in significance.measure(probabilities, truth, resamples=200).items():
        assert interval.low <= interval.value <= interval.high, name
        assert interval.high - interval.low < 0.5, name


def test_mcnemar_is_the_binomial_test() -> None:
    from scipy.stats import binomtest

    generator = np.random.default_rng(0)
    for share in (0.5, 0.7, 0.9):
        first, second = generator.random(300) < 0.8, generator.random(300) < share
        only_first, only_second = int(np.sum(first & ~second)), int(np.sum(~first & second))
        expected = binomtest(only_first, only_first + only_second).pvalue
        assert significance.mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert significance.mcnemar(first, first) == 1.0


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    probabilities, truth = drawn(5)
    other = probabilities.copy()
    other[:20] = other[:20, ::-1]
    difference = significance.paired_difference(probabilities, other, truth)
    assert difference.value == pytest.approx(metrics.accuracy(probabilities, truth) - metrics.accuracy(other, truth))
    assert difference.low <= difference.value <= difference.high and difference.high - difference.low < 0.05
    assert significance.paired_difference(probabilities, probabilities, truth) == significance.Interval(0.0, 0.0, 0.0)
