"""Every metric of a model with its 95 % interval, and paired tests between models. Knows no models and no files.

Each interval covers the true value in at least 93 of 100 simulated samples; `benchmarks/coverage.py` prints how often.
A calibration error has no interval that does: it is a point, to be read beside `metrics.perfect_ece`.

Throughout, `probabilities` is [rows, classes], rows summing to 1, and `truth` the class index of each row, [rows].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subjectwise.statistics import macro_f1, metrics
from subjectwise.statistics.intervals import (
    RESAMPLES,
    Interval,
    Metric,
    PointEstimate,
    Z,
    mean_interval,
    proportion_interval,
)
from subjectwise.types import BoolArray, FloatArray, IntArray
from subjectwise.utils.optional_dependencies import require


@dataclass(frozen=True)
class Metrics:
    """The metrics of `measure`. In a report of an older version some are missing."""

    accuracy: Interval
    macro_f1: Interval | None = None
    nll: Interval | None = None
    brier: Interval | None = None
    ece: PointEstimate | None = None
    classwise_ece: PointEstimate | None = None

    def named(self, name: str) -> Metric | None:
        """Return a metric by the name of its field."""
        metric: Metric | None = getattr(self, name)
        return metric


def measure(probabilities: FloatArray, truth: IntArray, resamples: int = RESAMPLES, seed: int = 0) -> Metrics:
    """Return every metric, with its interval where one is known that covers.

    Args:
        probabilities: of the rows.
        truth: of the rows.
        resamples: of the bootstraps of NLL and Brier score.
        seed: of the bootstraps.

    Raises:
        DataError: as `metrics.check` does.
    """
    metrics.check(probabilities, truth)
    predicted = probabilities.argmax(axis=1)
    losses, distances = metrics.nll_of_rows(probabilities, truth), metrics.brier_of_rows(probabilities, truth)
    return Metrics(
        accuracy=proportion_interval(int(np.sum(predicted == truth)), len(truth)),
        macro_f1=macro_f1.macro_f1_interval(truth, predicted),
        nll=mean_interval(losses, 0.0, metrics.HIGHEST_NLL, resamples, seed),
        brier=mean_interval(distances, 0.0, 2.0, resamples, seed),
        ece=PointEstimate(metrics.ece(probabilities, truth)),
        classwise_ece=PointEstimate(metrics.classwise_ece(probabilities, truth)),
    )


def mcnemar(first: BoolArray, second: BoolArray) -> float:
    """Return the two-sided p-value of McNemar's exact test: are two models right on the same rows equally often?

    Args:
        first: whether the first model was right, [rows].
        second: whether the second one was, [rows].
    """
    binomtest = require("scipy.stats", "evaluate").binomtest

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def accuracy_difference(first: FloatArray, second: FloatArray, truth: IntArray) -> Interval:
    """Return the accuracy of `first` minus that of `second` on the same rows (adjusted Wald, Bonett and Price 2012).

    One row is added to those that only the first model has right and one to those that only the second has, so that
    the interval has a width where they differ on few rows or none.
    """
    first_right, second_right = first.argmax(axis=1) == truth, second.argmax(axis=1) == truth
    only_first, only_second = int(np.sum(first_right & ~second_right)), int(np.sum(second_right & ~first_right))
    rows = len(truth)
    p, q = (only_first + 1) / (rows + 2), (only_second + 1) / (rows + 2)
    reach = Z * ((p + q - (p - q) ** 2) / (rows + 2)) ** 0.5
    return Interval((only_first - only_second) / rows, max(-1.0, p - q - reach), min(1.0, p - q + reach))


def macro_f1_difference(first: FloatArray, second: FloatArray, truth: IntArray) -> Interval:
    """Return macro-F1 of `first` minus that of `second` on the same rows, with its interval."""
    return macro_f1.macro_f1_difference(first.argmax(axis=1), second.argmax(axis=1), truth)
