"""The parts of a report: rows sliced by what they are, and how far the probabilities can be trusted.

`probabilities` is [rows, labels], `truth` the label's place of each row, and everything returned is ready for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.records import Example
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import remove_temperature
from subjectwise.statistics.significance import wilson_interval
from subjectwise.statistics.thresholds import BANDS, entropy_band, likely_labels, normalised_entropy
from subjectwise.types import FloatArray, IntArray

LISTED = 20  # errors and pairs that a report lists

# Upper ends of the slices by length, in words; the last slice has none.
LENGTHS = (15, 40, 100)


def per_class(probabilities: FloatArray, truth: IntArray, labels: Sequence[str]) -> dict[str, Any]:
    rows = np.bincount(truth, minlength=len(labels))
    values = metrics.precision_recall_f1(probabilities, truth)
    return {
        label: {"rows": int(count), "precision": float(p), "recall": float(r), "f1": float(f1)}
        for label, count, (p, r, f1) in zip(labels, rows, values, strict=True)
    }


def per_source(probabilities: FloatArray, truth: IntArray, examples: Sequence[Example]) -> dict[str, Any]:
    names = np.array([example.source for example in examples])
    sources = sorted({example.source for example in examples if example.source})
    return {source: _accuracy(probabilities, truth, names == source) for source in sources}


def by_question(probabilities: FloatArray, truth: IntArray, examples: Sequence[Example]) -> dict[str, Any]:
    """Accuracy by the question's length, and by whether it has answer options at all."""
    words = np.array([len(example.question.text.split()) for example in examples])
    place = np.searchsorted(LENGTHS, words)
    starts = [1, *(end + 1 for end in LENGTHS)]
    names = [f"{start} to {end} words" for start, end in zip(starts, LENGTHS, strict=False)]
    names.append(f"over {LENGTHS[-1]} words")
    has_options = np.array([bool(example.question.options) for example in examples])
    groups = {
        "length": {name: place == number for number, name in enumerate(names)},
        "options": {"has options": has_options, "has none": ~has_options},
    }
    return {
        kind: {name: _accuracy(probabilities, truth, own) for name, own in slices.items() if own.any()}
        for kind, slices in groups.items()
    }


def _accuracy(probabilities: FloatArray, truth: IntArray, own: npt.NDArray[np.bool_]) -> dict[str, Any]:
    hits = probabilities[own].argmax(axis=1) == truth[own]
    return {"rows": int(own.sum()), "accuracy": asdict(wilson_interval(int(hits.sum()), int(own.sum())))}


def confused_pairs(probabilities: FloatArray, truth: IntArray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The commonest mistakes; `share` is of the rows that have the label."""
    table = metrics.confusion(probabilities, truth)
    pairs = [(int(table[i, j]), i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j and table[i, j]]
    return [
        {"label": labels[i], "predicted": labels[j], "rows": count, "share": count / int(table[i].sum())}
        for count, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:LISTED]
    ]


def confident_errors(
    probabilities: FloatArray, truth: IntArray, labels: Sequence[str], examples: Sequence[Example]
) -> list[dict[str, Any]]:
    """The mistakes that the model was surest of: its worst, or the data's."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != truth)
    return [
        {
            "row_id": examples[place].row_id,
            "question": examples[place].question.text,
            "label": labels[truth[place]],
            "predicted": labels[predicted[place]],
            "score": float(confidence[place]),
            "source": examples[place].source,
        }
        for place in wrong[np.argsort(-confidence[wrong], kind="stable")][:LISTED]
    ]


def calibration(probabilities: FloatArray, truth: IntArray, temperature: float | None) -> dict[str, Any]:
    """Calibration after the temperature, and before it where the predictor has one."""
    before = None if temperature is None else _honesty(remove_temperature(probabilities, temperature), truth)
    return {
        "temperature": temperature,
        "perfect_ece_p95": metrics.perfect_ece(probabilities),
        "before": before,
        "after": _honesty(probabilities, truth),
    }


def _honesty(probabilities: FloatArray, truth: IntArray) -> dict[str, Any]:
    names = ("ece", "classwise_ece", "nll", "brier")
    bins = metrics.reliability(probabilities, truth)
    return {
        **{name: metrics.MEASURES[name](probabilities, truth) for name in names},
        "reliability": [
            {
                "rows": bin_.rows,
                "confidence": bin_.confidence,
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
            }
            for bin_, accuracy in ((bin_, wilson_interval(bin_.right, bin_.rows)) for bin_ in bins)
        ],
    }


def coverage(probabilities: FloatArray, truth: IntArray) -> list[dict[str, float]]:
    """Accuracy on the surest 1 %, 2 % … 100 % of the rows; a little more where rows are equally sure."""
    curve = metrics.risk_coverage(probabilities, truth)
    return [asdict(metrics.accuracy_at(curve, percent / 100)) for percent in range(1, 101)]


def at_thresholds(probabilities: FloatArray, truth: IntArray, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """What the thresholds that were found on validation rows give on these: how many answers, how many right."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    found: dict[str, Any] = {}
    for target, threshold in thresholds.items():
        answered = confidence >= threshold
        hits = wilson_interval(int(right[answered].sum()), int(answered.sum()))
        found[target] = {
            "threshold": threshold,
            "rows": int(answered.sum()),
            "coverage": float(answered.mean()),
            "accuracy": asdict(hits) if answered.any() else None,
        }
    return found


def uncertainty(probabilities: FloatArray, truth: IntArray) -> list[dict[str, Any]]:
    """By band of normalised entropy: how often the first label is right, and how often one of those given is."""
    band = entropy_band(normalised_entropy(probabilities))
    held = np.array([place in likely for place, likely in zip(truth, likely_labels(probabilities), strict=True)])
    right = probabilities.argmax(axis=1) == truth
    edges = (0.0, *BANDS, 1.0)
    return [
        {
            "low": edges[number],
            "high": edges[number + 1],
            "rows": int(own.sum()),
            "accuracy": float(right[own].mean()) if own.any() else None,
            "labels": min(number + 1, probabilities.shape[1]),
            "contains_truth": float(held[own].mean()) if own.any() else None,
        }
        for number, own in ((number, band == number) for number in range(len(edges) - 1))
    ]
