"""Rank reports on the same rows, each against the next, and say what chance can explain of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from subjectwise.errors import DataError
from subjectwise.evaluation.report_files import PREDICTIONS_FILE, REPORT_FILE, iterate_predictions, read_report
from subjectwise.evaluation.report_schema import EvaluationReport
from subjectwise.statistics import metrics, significance
from subjectwise.statistics.intervals import Interval
from subjectwise.types import BoolArray, FloatArray, IntArray, JsonObject
from subjectwise.utils.json_records import to_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class MeasuredPredictor:
    """One report with the predictions behind it, rows in the order of their ids.

    Attributes:
        name: of the folder.
        report: its report.json.
        labels: in the order of the columns.
        row_ids: of the rows, sorted.
        probabilities: [rows, labels].
        truth: the index of each row's label, [rows].
    """

    name: str
    report: EvaluationReport
    labels: list[str]
    row_ids: list[str]
    probabilities: FloatArray
    truth: IntArray

    @property
    def correct(self) -> BoolArray:
        """Whether each row's most probable label is its own, [rows]."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.truth)


@dataclass(frozen=True)
class PairwiseComparison:
    """One predictor against the next of the ranking, on the same rows.

    Attributes:
        better: the name of the one with the higher accuracy.
        other: the name of the next.
        accuracy: the better one's minus the other's, with its 95 % interval.
        macro_f1: likewise.
        mcnemar: p-value of McNemar's exact test on which rows each is right.
    """

    better: str
    other: str
    accuracy: Interval
    macro_f1: Interval
    mcnemar: float


@dataclass(frozen=True)
class Comparison:
    """Reports by accuracy, best first, and each against the next."""

    reports: list[MeasuredPredictor]
    pairs: list[PairwiseComparison]

    def to_dict(self) -> JsonObject:
        """Return the comparison for JSON."""
        data = to_json(self.reports[0].report.data)
        return {
            "schema_version": SCHEMA_VERSION,
            "data": {key: data[key] for key in ("protocol", "split", "rows", "manifest_sha256")},
            "reports": [_ranked_report(item) for item in self.reports],
            "neighbours": [to_json(pair) for pair in self.pairs],
        }


def _ranked_report(item: MeasuredPredictor) -> JsonObject:
    content = item.report.to_dict()
    kept = {key: content[key] for key in ("predictor", "metrics", "speed", "command")}
    return {"name": item.name, **kept, "with_options": item.report.data.with_options}


def read_measured(folder: Path) -> MeasuredPredictor:
    """Read what `subjectwise evaluate` wrote to `folder`.

    Raises:
        DataError: a file is missing or damaged, or the two files have different rows.
    """
    report = read_report(folder / REPORT_FILE)
    file = folder / PREDICTIONS_FILE
    rows = sorted(iterate_predictions(file), key=lambda row: row.row_id)
    if report.confusion is None:
        raise DataError(f"{folder / REPORT_FILE} is damaged: confusion is missing. Measure again.")
    labels = report.confusion.labels
    index = {label: number for number, label in enumerate(labels)}
    for row in rows:
        if row.label not in index or set(row.scores) != set(index):
            raise DataError(f"{file} has other labels than its report in row {row.row_id!r}. Measure again.")
    if len(rows) != report.data.rows:
        raise DataError(
            f"{file} has {len(rows)} predictions for the {report.data.rows} rows of its report; measure again."
        )
    probabilities = np.array([[row.scores[label] for label in labels] for row in rows], dtype=np.float64)
    truth = np.array([index[row.label] for row in rows], dtype=np.int64)
    metrics.check(probabilities, truth)
    return MeasuredPredictor(folder.name, report, labels, [row.row_id for row in rows], probabilities, truth)


def compare(measured: Sequence[MeasuredPredictor]) -> Comparison:
    """Compare reports on the same rows.

    Raises:
        DataError: fewer than two, two of one name, or reports on different splits, rows or labels.
    """
    if len(measured) < 2:
        raise DataError("A comparison needs at least two reports.")
    first = measured[0]
    for other in measured[1:]:
        theirs, ours = other.report.data, first.report.data
        if theirs.manifest_sha256 != ours.manifest_sha256 or theirs.split != ours.split:
            raise DataError(
                f"{first.name} and {other.name} were measured on different splits "
                f"({ours.protocol} {ours.split}, {theirs.protocol} {theirs.split}); compare like with like."
            )
        if other.row_ids != first.row_ids:
            raise DataError(f"{first.name} and {other.name} have different rows; evaluate both without --limit.")
        if other.labels != first.labels:
            raise DataError(f"{first.name} and {other.name} have different labels.")
    names = [item.name for item in measured]
    if len(set(names)) < len(names):
        raise DataError(f"Two reports are called {max(names, key=names.count)!r}; rename one of the folders.")
    ranked = sorted(measured, key=lambda item: -item.correct.mean())
    return Comparison(ranked, [_compare_pair(better, other) for better, other in pairwise(ranked)])


def _compare_pair(better: MeasuredPredictor, other: MeasuredPredictor) -> PairwiseComparison:
    pair = better.probabilities, other.probabilities, better.truth
    return PairwiseComparison(
        better=better.name,
        other=other.name,
        accuracy=significance.accuracy_difference(*pair),
        macro_f1=significance.macro_f1_difference(*pair),
        mcnemar=significance.mcnemar(better.correct, other.correct),
    )
