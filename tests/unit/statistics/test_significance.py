"""Intervals contain the true value as often as they say; paired tests agree with the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from subjectwise.errors import DataError
from subjectwise.statistics import metrics, significance
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.intervals import Interval, PointEstimate
from subjectwise.types import FloatArray, IntArray


def drawn(seed: int, rows: int = 400, classes: int = 5) -> tuple[FloatArray, IntArray]:
    """Calibrated probabilities of an unremarkable model, and the truth."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.5), rows)
    return probabilities, np.array([generator.choice(classes, p=row) for row in probabilities])


def population(classes: int, skill: float) -> tuple[FloatArray, IntArray]:
    """50,000 rows of a good model: most are easy, a fifth is hard, so that losses are skewed."""
    generator = np.random.default_rng(classes)
    intended = generator.choice(classes, size=50_000, p=generator.dirichlet(np.full(classes, 6.0)))
    logits = 1.2 * generator.normal(size=(50_000, classes))
    hard = generator.random(50_000) < 0.2
    logits[np.arange(50_000), intended] += np.where(hard, 1.5, skill)
    probabilities = apply_temperature(logits, 1.0)
    truth = (generator.random((50_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return probabilities, truth


def weaker(probabilities: FloatArray, share: float) -> FloatArray:
    """A second model, wrong on a further share of the rows."""
    other = probabilities.copy()
    moved = np.random.default_rng(0).random(len(other)) < share
    other[moved] = np.roll(other[moved], 1, axis=1)
    return other


def coverage(rows: int, classes: int, samples: int, resamples: int) -> dict[str, float]:
    """Return the share of samples whose interval contains the population's value, for every metric with one."""
    probabilities, truth = population(classes, skill=5.0)
    other = weaker(probabilities, 0.1)
    true = {name: metrics.MEASURES[name](probabilities, truth) for name in ("accuracy", "macro_f1", "nll", "brier")}
    true["accuracy difference"] = true["accuracy"] - metrics.accuracy(other, truth)
    true["macro_f1 difference"] = true["macro_f1"] - metrics.macro_f1(other, truth)
    covered = dict.fromkeys(true, 0)
    generator = np.random.default_rng(rows)
    for _ in range(samples):
        chosen = generator.integers(0, len(truth), rows)
        own, second, labels = probabilities[chosen], other[chosen], truth[chosen]
        measured = significance.measure(own, labels, resamples)
        intervals = {name: measured.named(name) for name in ("accuracy", "macro_f1", "nll", "brier")}
        intervals["accuracy difference"] = significance.accuracy_difference(own, second, labels)
        intervals["macro_f1 difference"] = significance.macro_f1_difference(own, second, labels)
        for name, interval in intervals.items():
            assert isinstance(interval, Interval), name
            covered[name] += interval.low <= true[name] <= interval.high
    return {name: count / samples for name, count in covered.items()}


@pytest.mark.parametrize(("rows", "classes"), [(40, 4), (126, 14)])
def test_intervals_cover(rows: int, classes: int) -> None:
    # Of 150 samples 95 % cover 142; 133 or fewer have a probability below 1 in 1,000.
    assert min(coverage(rows, classes, samples=150, resamples=300).values()) > 0.89


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "classes"), [(40, 4), (126, 14), (400, 14)])
def test_intervals_cover_at_least_93_of_100(rows: int, classes: int) -> None:
    covered = coverage(rows, classes, samples=1000, resamples=1000)
    assert min(covered.values()) >= 0.93, covered


def test_every_metric_is_within_its_interval() -> None:
    probabilities, truth = drawn(2)
    measured = significance.measure(probabilities, truth, resamples=200)
    for name in ("accuracy", "macro_f1", "nll", "brier"):
        interval = measured.named(name)
        assert isinstance(interval, Interval)
        assert interval.low < interval.value < interval.high and interval.high - interval.low < 0.5, name
        assert interval.value == pytest.approx(metrics.MEASURES[name](probabilities, truth))
    assert significance.measure(probabilities, truth, resamples=200) == measured


def test_a_calibration_error_has_no_interval() -> None:
    probabilities, truth = drawn(2)
    measured = significance.measure(probabilities, truth, resamples=10)
    assert measured.ece == PointEstimate(metrics.ece(probabilities, truth))
    assert measured.classwise_ece == PointEstimate(metrics.classwise_ece(probabilities, truth))


def test_bad_input_is_refused() -> None:
    probabilities, truth = drawn(0)
    with pytest.raises(DataError, match="399 predictions for 400 labels"):
        significance.measure(probabilities[:-1], truth)


def test_mcnemar_is_the_binomial_test() -> None:
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
    accuracy = significance.accuracy_difference(probabilities, other, truth)
    assert accuracy.value == pytest.approx(metrics.accuracy(probabilities, truth) - metrics.accuracy(other, truth))
    assert accuracy.low <= accuracy.value <= accuracy.high and accuracy.high - accuracy.low < 0.05
    macro_f1 = significance.macro_f1_difference(probabilities, other, truth)
    assert macro_f1.value == pytest.approx(metrics.macro_f1(probabilities, truth) - metrics.macro_f1(other, truth))
    assert macro_f1.low <= macro_f1.value <= macro_f1.high and macro_f1.high - macro_f1.low < 0.06


def test_equal_answers_on_some_rows_do_not_prove_equal_models() -> None:
    probabilities, truth = drawn(5)
    same = significance.accuracy_difference(probabilities, probabilities, truth)
    assert same.value == 0 and same.low == -same.high
    # 3 rows of 400 that only one has right would not be surprising.
    assert 2 / 400 < same.high < 4 / 400


@pytest.mark.parametrize("rows", [20, 126, 2400])
def test_an_accuracy_difference_covers_where_models_hardly_differ(rows: int) -> None:
    """A percentile bootstrap covers 35 of 100 at 20 rows."""
    generator = np.random.default_rng(rows)
    for only_first, only_second in ((0.001, 0.001), (0.02, 0.005), (0.1, 0.02)):
        covered = 0
        for _ in range(400):
            kind = generator.choice(3, size=rows, p=[only_first, only_second, 1 - only_first - only_second])
            first, second = np.eye(2)[(kind == 1).astype(int)], np.eye(2)[(kind == 0).astype(int)]
            interval = significance.accuracy_difference(first, second, np.zeros(rows, dtype=np.int64))
            covered += interval.low <= only_first - only_second <= interval.high
        assert covered >= 0.93 * 400
