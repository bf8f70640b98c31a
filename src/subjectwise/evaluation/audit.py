"""Rank the rows whose label is most likely wrong, and estimate how many there are. Knows rows and probabilities.

The probabilities must come from a model that has not seen the row: one that has learnt a wrong label repeats it.
What a model cannot see it cannot tell: a label that is wrong in the same way everywhere is learnt as right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from subjectwise.baselines.baseline import estimator_inputs, label_indices
from subjectwise.baselines.estimators import FOLDS, MINILM_LR, TFIDF_SVM, check_kind, out_of_fold_scores
from subjectwise.baselines.sentence_encoder import SentenceEncoder
from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.errors import DataError
from subjectwise.evaluation.report_files import iterate_predictions
from subjectwise.labels import LabelSet
from subjectwise.records import Example
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.statistics.metrics import check
from subjectwise.types import FloatArray, JsonObject, Progress
from subjectwise.utils.atomic_files import new_file
from subjectwise.utils.optional_dependencies import require

METHODS = (MINILM_LR, TFIDF_SVM)


@dataclass(frozen=True)
class AuditedRow:
    """A row with what speaks against its label.

    Attributes:
        row_id: of the row.
        question: its text.
        label: as given.
        suggested: the most probable label; the given one where nothing speaks against it.
        probability: of the suggested label.
        quality: 0 (the label is certainly wrong) to 1: half of 1 + its probability - that of the best other label.
        suspect: whether confident learning counts the label as wrong.
    """

    row_id: str
    question: str
    label: str
    suggested: str
    probability: float
    quality: float
    suspect: bool


@dataclass(frozen=True)
class LabelEstimate:
    """How many rows of a label, or of all of them, are suspect."""

    rows: int
    suspects: int

    @property
    def share(self) -> float:
        """The share of suspect rows, 0 to 1."""
        return self.suspects / self.rows if self.rows else 0.0

    @property
    def ceiling(self) -> float:
        """The accuracy that a model that is always right would be measured at, were every suspect label wrong."""
        return 1 - self.share

    def to_dict(self) -> JsonObject:
        """Return the estimate for JSON."""
        return {"rows": self.rows, "suspects": self.suspects, "share": self.share, "ceiling": self.ceiling}


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        rows: every row, the most likely wrong first.
        overall: the estimate over all rows.
        per_label: the estimate over the rows of each label as given.
        pairs: suspect rows by (label, suggested), most frequent first.
        accuracy: the share of rows whose most probable label is their own: how good a judge the model is.
    """

    rows: list[AuditedRow] = field(repr=False)
    overall: LabelEstimate
    per_label: dict[str, LabelEstimate]
    pairs: dict[tuple[str, str], int]
    accuracy: float

    def to_dict(self) -> JsonObject:
        """Return the estimates, without the rows, for JSON."""
        return {
            **self.overall.to_dict(),
            "accuracy": self.accuracy,
            "per_label": {label: estimate.to_dict() for label, estimate in self.per_label.items()},
            "pairs": [
                {"label": label, "suggested": suggested, "rows": rows}
                for (label, suggested), rows in self.pairs.items()
            ],
        }


def audit(examples: Sequence[Example], probabilities: FloatArray, labels: LabelSet) -> Audit:
    """Rank `examples` by the quality of their labels.

    Rows are counted as wrong by confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70): those off the
    diagonal of the confident joint, cleanlab's `find_label_issues(filter_by="confident_learning")`. They are
    ranked by its `get_label_quality_scores(method="normalized_margin")`.

    Args:
        examples: the rows.
        probabilities: [examples, labels], of a model that has not seen the row, columns in the order of `labels`.
        labels: of the columns.

    Raises:
        DataError: probabilities that do not fit the rows, or a row whose label is not one of `labels`.
        SubjectwiseError: cleanlab is not installed; the message has the command that installs it.
    """
    find_label_issues = require("cleanlab.filter", "audit").find_label_issues
    get_label_quality_scores = require("cleanlab.rank", "audit").get_label_quality_scores
    truth = label_indices(examples, labels)
    check(probabilities, truth)
    if probabilities.shape[1] != len(labels):
        raise DataError(f"The probabilities are of {probabilities.shape[1]} labels; there are {len(labels)}.")
    suspect = find_label_issues(truth, probabilities, filter_by="confident_learning", n_jobs=1)
    quality = get_label_quality_scores(truth, probabilities, method="normalized_margin")
    best = probabilities.argmax(axis=1)
    rows = [
        AuditedRow(
            row_id=examples[i].row_id,
            question=examples[i].question.text,
            label=examples[i].label,
            suggested=labels.names[best[i]],
            probability=float(probabilities[i, best[i]]),
            quality=float(quality[i]),
            suspect=bool(suspect[i]),
        )
        # Rows of equal quality keep their order, so that the same rows always give the same file.
        for i in np.argsort(quality, kind="stable")
    ]
    pairs = Counter((row.label, row.suggested) for row in rows if row.suspect)
    return Audit(
        rows=rows,
        overall=LabelEstimate(len(rows), int(suspect.sum())),
        per_label={
            name: LabelEstimate(int((truth == position).sum()), int(suspect[truth == position].sum()))
            for position, name in enumerate(labels)
        },
        pairs=dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0]))),
        accuracy=float(np.mean(best == truth)),
    )


def cross_validated(
    examples: Sequence[Example],
    labels: LabelSet,
    method: str = MINILM_LR,
    *,
    encoder: str = "",
    folds: int = FOLDS,
    seed: int = 42,
    on_progress: Progress | None = None,
) -> FloatArray:
    """Return probabilities of each row, [examples, labels], by a baseline that has seen no near-duplicate of it.

    The judge reads the options that the questions have, as whoever gave the labels did. The questions are embedded
    once, whatever the number of folds. One temperature is fitted for all of the rows.

    Args:
        examples: the rows.
        labels: of the columns.
        method: one of `METHODS`.
        encoder: of `minilm-lr`: a folder or a name on the Hub; "" for all-MiniLM-L6-v2.
        folds: of the cross-validation.
        seed: decides which rows share a fold.
        on_progress: called after each embedded batch with the number of its questions.

    Raises:
        DataError: an unknown method, a row whose label is not one of `labels`, or a label with too few questions.
        SubjectwiseError: a library is missing; the message has the command that installs it.
        BaseModelError: the encoder cannot be loaded.
    """
    check_kind(method, METHODS)
    truth = label_indices(examples, labels)
    groups = near_duplicate_groups([example.question.text for example in examples])
    loaded = SentenceEncoder(encoder) if method == MINILM_LR else None
    inputs = estimator_inputs([example.question for example in examples], loaded, on_progress)
    scores = out_of_fold_scores(method, inputs, truth, groups, labels, folds=folds, seed=seed)
    return apply_temperature(scores, fit_temperature(scores, truth))


@dataclass(frozen=True)
class Predictions:
    """Probabilities read from a file, [examples, labels], and the labels of their columns."""

    probabilities: FloatArray
    labels: LabelSet


def read_predictions(path: Path, examples: Sequence[Example]) -> Predictions:
    """Return the probabilities of `examples` in a predictions.jsonl, as 'subjectwise evaluate' writes it.

    The file may have other rows as well. Predictions for rows that the model was trained on hide wrong labels.

    Raises:
        DataError: the file cannot be read, lacks a row, or has other labels in one row than in another.
    """
    scores = {row.row_id: row.scores for row in iterate_predictions(path)}
    missing = [example.row_id for example in examples if example.row_id not in scores]
    if missing:
        raise DataError(
            f"{path} has no prediction for {len(missing):,} of {len(examples):,} rows, such as {missing[0]!r}; "
            "audit the rows that it was made for (those of a split are in its parquet file)."
        )
    labels = LabelSet(tuple(scores[examples[0].row_id]))
    for example in examples:
        if set(scores[example.row_id]) != set(labels):
            raise DataError(f"{path} has other labels for the row {example.row_id!r} than for the first.")
    table = np.array([[scores[example.row_id][name] for name in labels] for example in examples], dtype=np.float64)
    return Predictions(table, labels)


def write_rows(path: Path, audit: Audit) -> None:
    """Write every row, the most likely wrong first, as JSON lines; whole or not at all."""
    with new_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in audit.rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
