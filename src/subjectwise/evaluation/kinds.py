"""Kinds of rows of a mixture, each measured apart: with the rows' own label, with any fair one, and whether in scope.

Throughout, `probabilities` is [rows, labels], rows summing to 1, and `truth` the index of each row's label, [rows].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from subjectwise.evaluation.report_schema import KindMetrics, ScopeMetrics, ThresholdResult
from subjectwise.records import Example
from subjectwise.statistics.fair_labels import fair_labels
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.statistics.metrics import auroc, calibration_error
from subjectwise.types import BoolArray, FloatArray, IntArray


def per_kind(
    probabilities: FloatArray,
    truth: IntArray,
    labels: Sequence[str],
    examples: Sequence[Example],
    thresholds: Mapping[str, float],
) -> dict[str, KindMetrics]:
    """Return the metrics of each kind of rows, in the order in which the kinds occur.

    Args:
        probabilities: of the rows.
        truth: of the rows.
        labels: the columns.
        examples: the rows, all of which belong to a label.
        thresholds: of the predictor, by the accuracy that they promise.
    """
    names = np.array([example.kind for example in examples])
    fair = fair_labels(examples, labels)
    return {
        kind: _kind_metrics(probabilities[names == kind], truth[names == kind], fair[names == kind], labels, thresholds)
        for kind in dict.fromkeys(names.tolist())
    }


def _kind_metrics(
    probabilities: FloatArray, truth: IntArray, fair: BoolArray, labels: Sequence[str], thresholds: Mapping[str, float]
) -> KindMetrics:
    best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = len(truth)
    correct, is_fair = best == truth, fair[np.arange(rows), best]
    hits = np.bincount(truth[is_fair], minlength=len(labels))
    counts = np.bincount(truth, minlength=len(labels))
    recalls = {labels[i]: float(hits[i] / counts[i]) for i in np.flatnonzero(counts).tolist()}
    lowest = min(recalls, key=lambda label: recalls[label])
    return KindMetrics(
        rows=rows,
        accuracy=proportion_interval(int(correct.sum()), rows),
        fair_accuracy=proportion_interval(int(is_fair.sum()), rows),
        ece=calibration_error(confidence, correct),
        fair_ece=calibration_error(confidence, is_fair),
        lowest_label=lowest,
        lowest_fair_accuracy=proportion_interval(int(hits[labels.index(lowest)]), int(counts[labels.index(lowest)])),
        thresholds={
            name: _answered(confidence >= threshold, is_fair, threshold) for name, threshold in thresholds.items()
        },
    )


def _answered(answered: BoolArray, correct: BoolArray, threshold: float) -> ThresholdResult:
    count = int(answered.sum())
    accuracy = proportion_interval(int(correct[answered].sum()), count) if count else None
    return ThresholdResult(threshold=threshold, rows=count, coverage=float(answered.mean()), accuracy=accuracy)


def scope_metrics(
    in_scope: FloatArray | None, belongs: BoolArray, examples: Sequence[Example], threshold: float | None
) -> ScopeMetrics | None:
    """Return how well requests of no label are separated from questions; None without such rows or without `in_scope`.

    Args:
        in_scope: the probability of belonging to any label, [rows].
        belongs: whether a row belongs to one, [rows].
        examples: the rows.
        threshold: the predictor's own; None where it has none.
    """
    outside = ~belongs
    if in_scope is None or not outside.any() or outside.all():
        return None
    flagged = in_scope < (0.5 if threshold is None else threshold)
    names = np.array([example.kind for example in examples])
    kinds = {
        kind: proportion_interval(int(flagged[names == kind].sum()), int(np.sum(names == kind)))
        for kind in dict.fromkeys(names.tolist())
    }
    return ScopeMetrics(
        threshold=0.5 if threshold is None else threshold,
        auroc=auroc(in_scope, belongs),
        flagged=proportion_interval(int(flagged[outside].sum()), int(outside.sum())),
        questions_flagged=proportion_interval(int(flagged[belongs].sum()), int(belongs.sum())),
        kinds=kinds,
    )
