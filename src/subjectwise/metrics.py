"""Figures of merit from probabilities and labels. numpy only; knows no models and no files.

Throughout, `probabilities` is [rows, classes], rows summing to 1, and `truth` the class position of each row, [rows].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError
from subjectwise.records import FloatArray

IntArray = npt.NDArray[np.int64]
Measure = Callable[[FloatArray, IntArray], float]

ECE_BINS = 15


@dataclass(frozen=True)
class Interval:
    """A figure and the two ends of its 95 % interval."""

    value: float
    low: float
    high: float


def check(probabilities: FloatArray, truth: IntArray) -> None:
    """DataError when the two differ in length, are empty, or a row is not a distribution."""
    if len(probabilities) != len(truth):
        raise DataError(f"There are {len(probabilities)} predictions for {len(truth)} labels.")
    if not len(truth):
        raise DataError("There are no rows to measure.")
    off = np.abs(probabilities.sum(axis=1) - 1)
    if not np.all(np.isfinite(probabilities)) or probabilities.min() < 0 or off.max() > 1e-3:
        raise DataError(f"The probabilities of row {int(np.argmax(off)) + 1} do not sum to 1.")


def accuracy(probabilities: FloatArray, truth: IntArray) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == truth))


def confusion(probabilities: FloatArray, truth: IntArray) -> IntArray:
    """Rows counted by true class (first axis) and predicted class, [classes, classes]."""
    classes = probabilities.shape[1]
    return np.bincount(truth * classes + probabilities.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def precision_recall_f1(probabilities: FloatArray, truth: IntArray) -> FloatArray:
    """Precision, recall and F1 of each class, [classes, 3]; 0 where undefined, as scikit-learn has it."""
    table = confusion(probabilities, truth)
    hits = np.diag(table).astype(float)
    predicted, actual = table.sum(axis=0), table.sum(axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)
    both = predicted + actual
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return np.stack([precision, recall, f1], axis=1)


def macro_f1(probabilities: FloatArray, truth: IntArray) -> float:
    """The mean of F1 over the classes that occur as truth or prediction."""
    table = confusion(probabilities, truth)
    present = table.sum(axis=0) + table.sum(axis=1) > 0
    return float(precision_recall_f1(probabilities, truth)[present, 2].mean())


def nll(probabilities: FloatArray, truth: IntArray) -> float:
    """Mean negative log-likelihood of the truth, in nats; probabilities below 1e-15 count as 1e-15."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def brier(probabilities: FloatArray, truth: IntArray) -> float:
    """Brier's original score for many classes, 0 to 2: the squared distance to the one-hot truth, averaged."""
    one_hot = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - one_hot) ** 2).sum(axis=1).mean())


def ece(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS) -> float:
    """Expected calibration error of the top label over bins of equal mass (Nguyen and O'Connor 2015), 0 to 1.

    Rows of equal confidence share a bin, so that the order of rows never matters.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    rank = np.searchsorted(np.sort(confidence), confidence)
    place = rank * bins // len(truth)
    gaps = np.bincount(place, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


MEASURES: dict[str, Measure] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "nll": nll,
    "brier": brier,
    "ece": ece,
}


def wilson_interval(hits: int, rows: int) -> Interval:
    """A share with its 95 % interval by Wilson's method (1927)."""
    if not rows:
        return Interval(float("nan"), 0.0, 1.0)
    z = 1.959963984540054
    share = hits / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return Interval(share, float(middle - half), float(middle + half))


def measure(probabilities: FloatArray, truth: IntArray, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Every figure with its 95 % interval: Wilson's for accuracy, a percentile bootstrap over rows for the others.

    A resampled ECE is biased upwards, since a resample repeats rows; its interval is moved to be centred on
    the figure itself (the basic bootstrap), cut at 0, and always holds the figure.
    """
    check(probabilities, truth)
    values = {name: of(probabilities, truth) for name, of in MEASURES.items()}
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(resamples):
        rows = generator.integers(0, len(truth), len(truth))
        for name, of in MEASURES.items():
            if name != "accuracy":
                drawn[name].append(of(probabilities[rows], truth[rows]))
    hits = int(np.sum(probabilities.argmax(axis=1) == truth))
    found = {"accuracy": wilson_interval(hits, len(truth))}
    for name in MEASURES:
        if name == "accuracy":
            continue
        low, high = map(float, np.percentile(drawn[name], [2.5, 97.5]))
        if name == "ece":
            low, high = max(0.0, 2 * values[name] - high), max(values[name], 2 * values[name] - low)
        found[name] = Interval(values[name], low, high)
    return found
