"""Intervals of metrics, and paired tests between predictors. Knows no models and no files.

Throughout, `probabilities` is [rows, classes], rows summing to 1, and `truth` the class index of each row, [rows].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subjectwise.statistics.metrics import MEASURES, Measure, accuracy, check
from subjectwise.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Interval:
    """A metric and the two ends of its 95 % interval."""

    value: float
    low: float
    high: float


def wilson_interval(hits: int, rows: int) -> Interval:
    """Return a share with its 95 % interval (Wilson 1927)."""
    if not rows:
        return Interval(float("nan"), 0.0, 1.0)
    from scipy.stats import binomtest

    ends = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    return Interval(hits / rows, float(ends.low), float(ends.high))


def mcnemar(first: BoolArray, second: BoolArray) -> float:
    """Return the two-sided p-value of McNemar's exact test: are two models right on the same rows equally often?

    Args:
        first: whether the first model was right, [rows].
        second: whether the second one was, [rows].
    """
    from scipy.stats import binomtest

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def paired_difference(
    first: FloatArray, second: FloatArray, truth: IntArray, of: Measure = accuracy, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return a metric of `first` minus that of `second` on the same rows, with its paired bootstrap interval.

    Args:
        first: probabilities of the first model.
        second: probabilities of the second one.
        truth: of the rows.
        of: the metric.
        resamples: of the bootstrap, drawn with `seed`.
        seed: of the bootstrap.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = generator.integers(0, len(truth), len(truth))
        drawn.append(of(first[rows], truth[rows]) - of(second[rows], truth[rows]))
    low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
    return Interval(of(first, truth) - of(second, truth), low, high)


def measure(probabilities: FloatArray, truth: IntArray, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Return every metric with its 95 % interval: Wilson's for accuracy, a percentile bootstrap for the others.

    A resampled ECE is biased upwards, since a resample repeats rows; its interval is moved to be centred on the metric
    itself (the basic bootstrap), cut at 0, and always includes the metric.
    """
    check(probabilities, truth)
    values = {name: of(probabilities, truth) for name, of in MEASURES.items()}
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in MEASURES if name != "accuracy"}
    for _ in range(resamples):
        rows = generator.integers(0, len(truth), len(truth))
        for name in drawn:
            drawn[name].append(MEASURES[name](probabilities[rows], truth[rows]))
    hits = int(np.sum(probabilities.argmax(axis=1) == truth))
    intervals = {"accuracy": wilson_interval(hits, len(truth))}
    for name, resampled in drawn.items():
        low, high = map(float, np.percentile(resampled, [2.5, 97.5]))
        if name in ("ece", "classwise_ece"):
            low, high = max(0.0, 2 * values[name] - high), max(values[name], 2 * values[name] - low)
        intervals[name] = Interval(values[name], low, high)
    return intervals
