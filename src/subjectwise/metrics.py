"""Figures of merit from probabilities and labels. numpy only; knows no models and no files.

Throughout, `probabilities` is [rows, classes], rows summing to 1, and `truth` the class position of each row, [rows].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

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


def _bins(values: FloatArray, bins: int, equal_width: bool = False) -> IntArray:
    """The bin, 0 to `bins` - 1, of each value along the first axis: of equal mass, or of equal width over 0 to 1.

    Equal values share a bin, so that the order of rows never matters.
    """
    if equal_width:
        return np.asarray(np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1))
    rank = np.searchsorted(np.sort(values), values)
    return np.asarray(rank * bins // len(values))


def ece(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS, equal_width: bool = False) -> float:
    """Expected calibration error of the top label over bins of equal mass (Nguyen and O'Connor 2015), 0 to 1.

    With `equal_width` the bins are those of Guo et al. (2017), for comparison with figures published so.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    return _gap(confidence, correct, bins, equal_width)


def classwise_ece(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS) -> float:
    """The calibration error of each class's own probability, averaged over the classes (Kull et al. 2019)."""
    gaps = [_gap(column, truth == place, bins) for place, column in enumerate(probabilities.T)]
    return float(np.mean(gaps))


def _gap(stated: FloatArray, happened: npt.NDArray[np.bool_], bins: int, equal_width: bool = False) -> float:
    """Mean distance over the bins between what was stated and what happened, each bin by its rows."""
    gaps = np.bincount(_bins(stated, bins, equal_width), weights=happened - stated, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


def perfect_ece(probabilities: FloatArray, bins: int = ECE_BINS, draws: int = 1000, seed: int = 0) -> float:
    """The 95th percentile of the ECE of a model that is right exactly as often as it says, on as many rows.

    An ECE from a finite test is above 0 even then; one below this bound shows no fault (consistency
    resampling, Vaicenavicius et al. 2019).
    """
    confidence = probabilities.max(axis=1)
    generator = np.random.default_rng(seed)
    found = [_gap(confidence, generator.random(len(confidence)) < confidence, bins) for _ in range(draws)]
    return float(np.percentile(found, 95))


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows of like confidence: how sure the model was on average, and how often it was right."""

    rows: int
    confidence: float
    accuracy: Interval


def reliability(probabilities: FloatArray, truth: IntArray, bins: int = ECE_BINS) -> list[ReliabilityBin]:
    """The bins of `ece`, least confident first, those without rows left out."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    place = _bins(confidence, bins)
    return [
        ReliabilityBin(
            rows=int(own.sum()),
            confidence=float(confidence[own].mean()),
            accuracy=wilson_interval(int(correct[own].sum()), int(own.sum())),
        )
        for own in (place == number for number in range(bins))
        if own.any()
    ]


@dataclass(frozen=True)
class CoveragePoint:
    """Accuracy on the share of the rows whose confidence is `threshold` or more."""

    coverage: float
    accuracy: float
    threshold: float


def risk_coverage(probabilities: FloatArray, truth: IntArray) -> list[CoveragePoint]:
    """Accuracy on the surest rows, for each confidence that occurs, surest first (El-Yaniv and Wiener 2010).

    Rows of equal confidence are answered together, since no threshold tells them apart.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(probabilities.argmax(axis=1)[order] == truth[order])
    ranked = confidence[order]
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    rows = last + 1
    return [
        CoveragePoint(float(count / len(truth)), float(hits[place] / count), float(ranked[place]))
        for place, count in zip(last, rows, strict=True)
    ]


def accuracy_at(curve: list[CoveragePoint], coverage: float) -> CoveragePoint:
    """The first point of a risk-coverage curve that answers at least the share `coverage` of the rows."""
    return next((point for point in curve if point.coverage >= coverage - 1e-12), curve[-1])


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Two-sided p-value of McNemar's exact test: are two models right on the same rows equally often?

    `first` and `second` say for each row whether the model was right.
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    apart = only_first + only_second
    tail = sum(math.comb(apart, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(Fraction(2 * tail, 2**apart)))


def paired_difference(
    first: FloatArray, second: FloatArray, truth: IntArray, of: Measure = accuracy, resamples: int = 1000, seed: int = 0
) -> Interval:
    """A figure of `first` minus that of `second` on the same rows, with its 95 % paired bootstrap interval."""
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = generator.integers(0, len(truth), len(truth))
        drawn.append(of(first[rows], truth[rows]) - of(second[rows], truth[rows]))
    low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
    return Interval(of(first, truth) - of(second, truth), low, high)


MEASURES: dict[str, Measure] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "nll": nll,
    "brier": brier,
    "ece": ece,
    "classwise_ece": classwise_ece,
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
        if name in ("ece", "classwise_ece"):
            low, high = max(0.0, 2 * values[name] - high), max(values[name], 2 * values[name] - low)
        found[name] = Interval(values[name], low, high)
    return found
