"""Metrics from probabilities and labels. numpy only; knows no models and no files.

Throughout, `probabilities` is [rows, classes], rows summing to 1, and `truth` the class index of each row, [rows].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from subjectwise.errors import DataError
from subjectwise.types import BoolArray, FloatArray, IntArray
from subjectwise.utils.optional_dependencies import require

Measure = Callable[[FloatArray, IntArray], float]

ECE_BINS = 15

# Probabilities below this count as this, so that one wrong certainty does not make the NLL of all rows infinite.
LOWEST_PROBABILITY = 1e-15
HIGHEST_NLL = float(-np.log(LOWEST_PROBABILITY))


def check(probabilities: FloatArray, truth: IntArray) -> None:
    """Raise DataError when the two differ in length, are empty, or a row is not a distribution."""
    if len(probabilities) != len(truth):
        raise DataError(f"There are {len(probabilities)} predictions for {len(truth)} labels.")
    if not len(truth):
        raise DataError("Cannot measure: there are no rows.")
    off = np.abs(probabilities.sum(axis=1) - 1)
    if not np.all(np.isfinite(probabilities)) or probabilities.min() < 0 or off.max() > 1e-3:
        raise DataError(f"The probabilities of row {int(np.argmax(off)) + 1} do not sum to 1.")


def accuracy(probabilities: FloatArray, truth: IntArray) -> float:
    """Return the share of rows whose most probable class is the true one."""
    return float(np.mean(probabilities.argmax(axis=1) == truth))


def confusion(probabilities: FloatArray, truth: IntArray) -> IntArray:
    """Count rows by true class (first axis) and predicted class, [classes, classes]."""
    classes = probabilities.shape[1]
    return np.bincount(truth * classes + probabilities.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def precision_recall_f1(probabilities: FloatArray, truth: IntArray) -> FloatArray:
    """Return precision, recall and F1 of each class, [classes, 3]; 0 where undefined, as in scikit-learn."""
    table = confusion(probabilities, truth)
    hits = np.diag(table).astype(float)
    predicted, actual = table.sum(axis=0), table.sum(axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)
    both = predicted + actual
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return np.stack([precision, recall, f1], axis=1)


def macro_f1(probabilities: FloatArray, truth: IntArray) -> float:
    """Return the mean of F1 over the classes that occur as truth or prediction."""
    table = confusion(probabilities, truth)
    present = table.sum(axis=0) + table.sum(axis=1) > 0
    return float(precision_recall_f1(probabilities, truth)[present, 2].mean())


def nll(probabilities: FloatArray, truth: IntArray) -> float:
    """Return the mean negative log-likelihood of the truth, in nats; probabilities below 1e-15 count as 1e-15."""
    return float(nll_of_rows(probabilities, truth).mean())


def nll_of_rows(probabilities: FloatArray, truth: IntArray) -> FloatArray:
    """Return the negative log-likelihood of each row's truth, [rows]."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(chosen, LOWEST_PROBABILITY)))


def brier(probabilities: FloatArray, truth: IntArray) -> float:
    """Return Brier's original score for many classes, 0 to 2: the mean squared distance to the one-hot truth."""
    return float(brier_of_rows(probabilities, truth).mean())


def brier_of_rows(probabilities: FloatArray, truth: IntArray) -> FloatArray:
    """Return the Brier score of each row, [rows]."""
    one_hot = np.eye(probabilities.shape[1])[truth]
    return np.asarray(((probabilities - one_hot) ** 2).sum(axis=1))


def _bins(values: FloatArray, bins: int, equal_width: bool = False) -> IntArray:
    """Return the bin, 0 to `bins` - 1, of each value: bins of equal mass, or of equal width over 0 to 1.

    Equal values share a bin, so that the order of rows never matters.
    """
    if equal_width:
        return np.asarray(np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1))
    rank = np.searchsorted(np.sort(values), values)
    return np.asarray(rank * bins // len(values))


def ece(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS, equal_width: bool = False) -> float:
    """Return the expected calibration error of the top label, 0 to 1, over bins of equal mass.

    After Nguyen and O'Connor (2015). With `equal_width` the bins are those of Guo et al. (2017), for comparison with
    published values.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    return calibration_error(confidence, correct, bins, equal_width)


def classwise_ece(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS) -> float:
    """Return the calibration error of each class's own probability, averaged over the classes (Kull et al. 2019)."""
    gaps = [calibration_error(column, truth == index, bins) for index, column in enumerate(probabilities.T)]
    return float(np.mean(gaps))


def calibration_error(
    stated: FloatArray, happened: BoolArray, bins: int = ECE_BINS, equal_width: bool = False
) -> float:
    """Return the mean distance between stated and observed frequency, bins weighted by their rows."""
    gaps = np.bincount(_bins(stated, bins, equal_width), weights=happened - stated, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


def perfect_ece(probabilities: FloatArray, bins: int = ECE_BINS, draws: int = 1000, seed: int = 0) -> float:
    """Return the 95th percentile of the ECE of a perfectly calibrated model on as many rows.

    An ECE from a finite test is above 0 even then; one below this bound shows no miscalibration (consistency
    resampling, Vaicenavicius et al. 2019).
    """
    confidence = probabilities.max(axis=1)
    generator = np.random.default_rng(seed)
    drawn = [calibration_error(confidence, generator.random(len(confidence)) < confidence, bins) for _ in range(draws)]
    return float(np.percentile(drawn, 95))


def auroc(scores: FloatArray, positive: BoolArray) -> float:
    """Return the probability that a positive row has a higher score than a negative one (Hanley and McNeil 1982).

    Args:
        scores: [rows]; ties count half.
        positive: [rows]; at least one is and one is not.
    """
    rankdata = require("scipy.stats", "evaluate").rankdata

    ranks, count = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of similar confidence: their number, mean confidence and how many were right."""

    rows: int
    confidence: float
    right: int


def reliability(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS) -> list[ReliabilityBin]:
    """Return the bins of `ece`, least confident first, without empty ones."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    index = _bins(confidence, bins)
    return [
        ReliabilityBin(
            rows=int(own.sum()),
            confidence=float(confidence[own].mean()),
            right=int(correct[own].sum()),
        )
        for own in (index == number for number in range(bins))
        if own.any()
    ]


@dataclass(frozen=True)
class CoveragePoint:
    """Accuracy on the share of the rows whose confidence is `threshold` or more."""

    coverage: float
    accuracy: float
    threshold: float


def risk_coverage(probabilities: FloatArray, truth: IntArray) -> list[CoveragePoint]:
    """Return the accuracy on the most confident rows, for each confidence that occurs (El-Yaniv and Wiener 2010).

    The most confident rows come first. Ties in confidence are accepted or rejected together.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(probabilities.argmax(axis=1)[order] == truth[order])
    ranked = confidence[order]
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    rows = last + 1
    return [
        CoveragePoint(float(count / len(truth)), float(hits[index] / count), float(ranked[index]))
        for index, count in zip(last, rows, strict=True)
    ]


def accuracy_at(curve: list[CoveragePoint], coverage: float) -> CoveragePoint:
    """Return the first point of a risk-coverage curve that answers at least the share `coverage` of the rows."""
    return next((point for point in curve if point.coverage >= coverage - 1e-12), curve[-1])


MEASURES: dict[str, Measure] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "nll": nll,
    "brier": brier,
    "ece": ece,
    "classwise_ece": classwise_ece,
}
