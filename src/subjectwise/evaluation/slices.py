"""The sections of a report: metrics of groups of rows, the mistakes, calibration and thresholds.

Throughout, `probabilities` is [rows, labels], rows summing to 1, and `truth` the index of each row's label, [rows].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from subjectwise.evaluation.report_schema import (
    Calibration,
    CalibrationMetrics,
    ClassMetrics,
    ConfidentError,
    ConfusedPair,
    ConfusionMatrix,
    EntropyBand,
    GroupAccuracy,
    ReliabilityPoint,
    ThresholdResult,
)
from subjectwise.records import Example
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import remove_temperature
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.statistics.metrics import CoveragePoint
from subjectwise.statistics.thresholds import BANDS, entropy_band, likely_labels, normalised_entropy
from subjectwise.types import BoolArray, FloatArray, IntArray

LISTED = 20  # errors and pairs that a report lists

# Upper ends of the slices by length, in words; the last slice has none.
LENGTHS = (15, 40, 100)


def per_class(probabilities: FloatArray, truth: IntArray, labels: Sequence[str]) -> dict[str, ClassMetrics]:
    """Return precision, recall and F1 of each label."""
    rows = np.bincount(truth, minlength=len(labels))
    values = metrics.precision_recall_f1(probabilities, truth)
    return {
        label: ClassMetrics(int(count), float(precision), float(recall), float(f1))
        for label, count, (precision, recall, f1) in zip(labels, rows, values, strict=True)
    }


def per_source(probabilities: FloatArray, truth: IntArray, examples: Sequence[Example]) -> dict[str, GroupAccuracy]:
    """Return the accuracy on the rows of each source."""
    names = np.array([example.source for example in examples])
    sources = sorted({example.source for example in examples if example.source})
    return {source: _group_accuracy(probabilities, truth, names == source) for source in sources}


def by_question(
    probabilities: FloatArray, truth: IntArray, examples: Sequence[Example]
) -> dict[str, dict[str, GroupAccuracy]]:
    """Return the accuracy by the question's length, and by whether it has answer options at all."""
    words = np.array([len(example.question.text.split()) for example in examples])
    group = np.searchsorted(LENGTHS, words)
    starts = [1, *(end + 1 for end in LENGTHS)]
    names = [f"{start} to {end} words" for start, end in zip(starts, LENGTHS, strict=False)]
    names.append(f"over {LENGTHS[-1]} words")
    has_options = np.array([bool(example.question.options) for example in examples])
    groups = {
        "length": {name: group == number for number, name in enumerate(names)},
        "options": {"has options": has_options, "has none": ~has_options},
    }
    return {
        kind: {name: _group_accuracy(probabilities, truth, own) for name, own in slices.items() if own.any()}
        for kind, slices in groups.items()
    }


def _group_accuracy(probabilities: FloatArray, truth: IntArray, own: BoolArray) -> GroupAccuracy:
    hits = probabilities[own].argmax(axis=1) == truth[own]
    return GroupAccuracy(int(own.sum()), proportion_interval(int(hits.sum()), int(own.sum())))


def confusion(probabilities: FloatArray, truth: IntArray, labels: Sequence[str]) -> ConfusionMatrix:
    """Return how many rows of each label are taken for each label."""
    return ConfusionMatrix(list(labels), metrics.confusion(probabilities, truth).tolist())


def confused_pairs(matrix: ConfusionMatrix) -> list[ConfusedPair]:
    """Return the most frequent mistakes; `share` is of the rows that have the label."""
    table, labels = matrix.counts, matrix.labels
    pairs = [(table[i][j], i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j and table[i][j]]
    return [
        ConfusedPair(labels[i], labels[j], count, count / sum(table[i]))
        for count, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:LISTED]
    ]


def confident_errors(
    probabilities: FloatArray, truth: IntArray, labels: Sequence[str], examples: Sequence[Example]
) -> list[ConfidentError]:
    """Return the wrong answers of highest confidence: the model's worst mistakes, or the data's."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != truth)
    return [
        ConfidentError(
            row_id=examples[index].row_id,
            question=examples[index].question.text,
            label=labels[truth[index]],
            predicted=labels[predicted[index]],
            score=float(confidence[index]),
            source=examples[index].source,
        )
        for index in wrong[np.argsort(-confidence[wrong], kind="stable")][:LISTED]
    ]


def calibration(probabilities: FloatArray, truth: IntArray, temperature: float) -> Calibration:
    """Return calibration before the temperature and after it."""
    return Calibration(
        temperature=temperature,
        perfect_ece_p95=metrics.perfect_ece(probabilities),
        before=_calibration_metrics(remove_temperature(probabilities, temperature), truth),
        after=_calibration_metrics(probabilities, truth),
    )


def _calibration_metrics(probabilities: FloatArray, truth: IntArray) -> CalibrationMetrics:
    points = []
    for each in metrics.reliability(probabilities, truth):
        accuracy = proportion_interval(each.right, each.rows)
        points.append(ReliabilityPoint(each.rows, each.confidence, accuracy.value, accuracy.low, accuracy.high))
    return CalibrationMetrics(
        ece=metrics.ece(probabilities, truth),
        classwise_ece=metrics.classwise_ece(probabilities, truth),
        nll=metrics.nll(probabilities, truth),
        brier=metrics.brier(probabilities, truth),
        reliability=points,
    )


def risk_coverage(probabilities: FloatArray, truth: IntArray) -> list[CoveragePoint]:
    """Return the accuracy on the most confident 1 %, 2 % … 100 % of the rows; a few more rows where some tie."""
    curve = metrics.risk_coverage(probabilities, truth)
    return [metrics.accuracy_at(curve, percent / 100) for percent in range(1, 101)]


def at_thresholds(
    probabilities: FloatArray, truth: IntArray, thresholds: Mapping[str, float]
) -> dict[str, ThresholdResult]:
    """Return what the thresholds that were fitted on validation rows give on these rows."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    results: dict[str, ThresholdResult] = {}
    for target, threshold in thresholds.items():
        answered = confidence >= threshold
        rows = int(answered.sum())
        results[target] = ThresholdResult(
            threshold=threshold,
            rows=rows,
            coverage=float(answered.mean()),
            accuracy=proportion_interval(int(right[answered].sum()), rows) if rows else None,
        )
    return results


def uncertainty(probabilities: FloatArray, truth: IntArray) -> list[EntropyBand]:
    """Return for each band of normalised entropy how often the first label is right, and how often a given one is."""
    band = entropy_band(normalised_entropy(probabilities))
    contained = np.array([index in likely for index, likely in zip(truth, likely_labels(probabilities), strict=True)])
    right = probabilities.argmax(axis=1) == truth
    edges = (0.0, *BANDS, 1.0)
    return [
        EntropyBand(
            low=edges[number],
            high=edges[number + 1],
            rows=int(own.sum()),
            accuracy=float(right[own].mean()) if own.any() else None,
            labels=min(number + 1, probabilities.shape[1]),
            contains_truth=float(contained[own].mean()) if own.any() else None,
        )
        for number, own in ((number, band == number) for number in range(len(edges) - 1))
    ]
