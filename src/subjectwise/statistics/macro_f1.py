"""95 % intervals of macro-F1, and of the difference of two macro-F1. Knows confusion counts alone.

A bootstrap of macro-F1 covers too rarely where a class has few rows: in 20 of 100 samples with a class of one row in
fifty. Here the interval is built from those of the classes (MOVER, Zou and Donner 2008): the F1 of a class is
2q / (1 + q) where q = TP / (TP + FP + FN) is a share with an exact interval, and the distances from the F1s to their
ends add up like standard errors, correlations included. It is widened by the bias of macro-F1, by the jackknife.

Throughout, `truth` and `predicted` are class indices, [rows] or [cells], and the classes of the mean are those that
occur in the whole sample as truth or prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subjectwise.statistics.intervals import Interval, exact_ends
from subjectwise.types import FloatArray, IntArray


@dataclass(frozen=True)
class _Counts:
    """Confusion counts of the classes in the mean, [classes]: hits, rows that have the class, rows predicted as it."""

    hits: FloatArray
    actual: FloatArray
    predicted: FloatArray

    @property
    def either(self) -> FloatArray:
        """Twice the hits, plus the errors that concern the class: the denominator of F1."""
        return self.actual + self.predicted

    @property
    def f1(self) -> FloatArray:
        """F1 of each class."""
        return 2 * self.hits / self.either


def _count(truth: IntArray, predicted: IntArray, classes: int, weights: FloatArray | None = None) -> _Counts:
    """Count rows, or cells by their weights, of every class, [classes]."""
    one_each = np.ones(len(truth)) if weights is None else weights
    hits, actual, given = (
        np.bincount(indices, counted, classes).astype(np.float64)
        for indices, counted in ((truth, one_each * (truth == predicted)), (truth, one_each), (predicted, one_each))
    )
    return _Counts(hits, actual, given)


def macro_f1_interval(truth: IntArray, predicted: IntArray) -> Interval:
    """Return macro-F1 with its interval."""
    truth, predicted, classes = _only_present(truth, predicted)
    counts = _count(truth, predicted, classes)
    value = float(counts.f1.mean())
    # 1) The distance from the F1 of each class to the ends of its interval.
    low_share, high_share = exact_ends(counts.hits, counts.either - counts.hits)
    below = counts.f1 - 2 * low_share / (1 + low_share)
    above = 2 * high_share / (1 + high_share) - counts.f1
    # 2) Together, with the correlations of the classes: a wrong row counts against two of them.
    correlations = _class_correlations(truth, predicted, counts)
    reach_below, reach_above = (max(0.0, float(part @ correlations @ part)) ** 0.5 / classes for part in (below, above))
    # 3) The bias may have moved the value away from the truth.
    bias = _jackknife_bias(truth, predicted, counts)
    return Interval(
        value, max(0.0, value - reach_below - max(0.0, bias)), min(1.0, value + reach_above + max(0.0, -bias))
    )


def macro_f1_difference(first: IntArray, second: IntArray, truth: IntArray) -> Interval:
    """Return macro-F1 of one model minus that of another on the same rows, with its interval (MOVER, Zou 2007).

    A row is added that only the first model has right, and one that only the second has, spread over the classes, as
    Bonett and Price (2012) do for accuracies: otherwise models that differ on no row of a sample would have an interval
    without width.

    Args:
        first: the first model's predicted classes.
        second: the second model's.
        truth: of the rows.
    """
    one, other = macro_f1_interval(truth, first), macro_f1_interval(truth, second)
    correlation = _model_correlation(truth, first, second)
    below = one.value - one.low, other.high - other.value
    above = one.high - one.value, other.value - other.low
    reach_below, reach_above = (max(0.0, a**2 + b**2 - 2 * correlation * a * b) ** 0.5 for a, b in (below, above))
    value = one.value - other.value
    return Interval(value, max(-1.0, value - reach_below), min(1.0, value + reach_above))


def _only_present(truth: IntArray, predicted: IntArray) -> tuple[IntArray, IntArray, int]:
    """Return both renumbered to the classes that occur, and how many these are."""
    present, numbers = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    return numbers[: len(truth)], numbers[len(truth) :], len(present)


def _class_correlations(truth: IntArray, predicted: IntArray, counts: _Counts) -> FloatArray:
    """Return the correlations of the F1s of the classes, [classes, classes], by their influence functions."""
    classes = len(counts.f1)
    cells, rows = np.unique(np.stack([truth, predicted]), axis=1, return_counts=True)
    true_class, predicted_class = np.eye(classes)[cells[0]], np.eye(classes)[cells[1]]  # [cells, classes]
    influence = 2 * true_class * predicted_class - counts.f1 * (true_class + predicted_class)
    influence = influence / counts.either * np.sqrt(rows)[:, None]
    # Influences sum to 0 over the rows, so that products are covariances.
    covariances = influence.T @ influence
    scale = np.sqrt(np.outer(covariances.diagonal(), covariances.diagonal()))
    return np.asarray(np.divide(covariances, scale, out=np.eye(classes), where=scale > 0))


def _jackknife_bias(truth: IntArray, predicted: IntArray, counts: _Counts) -> float:
    """Return the bias of macro-F1 as the jackknife estimates it (Quenouille 1956): each row is left out in turn."""
    cells, rows = np.unique(np.stack([truth, predicted]), axis=1, return_counts=True)
    change = np.zeros(len(rows))
    for index, (own, given) in enumerate(cells.T):
        for number in {int(own), int(given)}:
            hits = counts.hits[number] - (own == given)
            either = counts.either[number] - (own == number) - (given == number)
            change[index] += (2 * hits / either if either else 0.0) - counts.f1[number]
    count = rows.sum()
    return float((count - 1) / count * (rows @ change) / len(counts.f1))


def _model_correlation(truth: IntArray, first: IntArray, second: IntArray) -> float:
    """Return the correlation of two models' macro-F1, with the two rows that `macro_f1_difference` adds."""
    classes = int(max(truth.max(), first.max(), second.max())) + 1
    cells, rows = np.unique(np.stack([truth, first, second]), axis=1, return_counts=True)
    shares = np.bincount(truth, minlength=classes) / len(truth) + 1e-9
    spread = np.outer(shares, shares)
    np.fill_diagonal(spread, 0.0)
    right, wrong = np.nonzero(spread)
    added = spread[right, wrong] / spread.sum()
    cells = np.concatenate([cells, np.stack([right, right, wrong]), np.stack([right, wrong, right])], axis=1)
    weights = np.concatenate([rows, added, added])
    one, other = (_macro_influence(cells[0], cells[column], weights, classes) for column in (1, 2))
    covariance = weights @ (one * other)
    return float(covariance / np.sqrt((weights @ one**2) * (weights @ other**2)))


def _macro_influence(truth: IntArray, predicted: IntArray, weights: FloatArray, classes: int) -> FloatArray:
    """Return the influence of each cell on macro-F1, but for a factor, [cells]."""
    counts = _count(truth, predicted, classes, weights)
    f1 = np.divide(2 * counts.hits, counts.either, out=np.zeros(classes), where=counts.either > 0)
    per_row = np.divide(1.0, counts.either, out=np.zeros(classes), where=counts.either > 0)
    loss = f1 * per_row
    return np.asarray(2 * (truth == predicted) * per_row[truth] - loss[truth] - loss[predicted])
