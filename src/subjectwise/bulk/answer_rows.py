"""Answers made of scored rows: the prediction's fields and every other column of the row. Knows no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from subjectwise.bulk.score_rows import BulkOptions, ScoredRow, chunks
from subjectwise.data.cell_values import read_question
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Decision, Prediction, Scored
from subjectwise.statistics.calibration import correct_prior
from subjectwise.statistics.thresholds import decide
from subjectwise.types import FloatArray, Row

# The keys of an answer, in their order.
ANSWER_KEYS = (
    "question",
    "label",
    "score",
    "scores",
    "label_mass",
    "in_scope",
    "best_label",
    "labels",
    "entropy",
    "truncated",
    "answered_by",
    "error",
    "explanation",
)

# Such a column of the input gets one more `input_`, so that an answer hides none, however often it is classified again.
_TAKEN = re.compile(f"(input_)*({'|'.join(ANSWER_KEYS)})")


@dataclass(frozen=True)
class Answering:
    """What makes answers of scored rows.

    Attributes:
        labels: of the model, in the order of the probabilities.
        question_column: of the input.
        decision: when to abstain, and whether to give several labels.
        explain: whether answers have explanations.
        tells_scope: whether the model tells requests that belong to no label.
        is_cascade: whether each answer says which model it is from.
    """

    labels: tuple[str, ...]
    question_column: str
    decision: Decision
    explain: bool = False
    tells_scope: bool = False
    is_cascade: bool = False

    def answers(self, rows: Sequence[ScoredRow], corrected: FloatArray | None = None) -> list[Row]:
        """Return the answers to `rows`, in their order.

        Args:
            rows: scored.
            corrected: probabilities in place of the rows' own, [rows that have some, labels].
        """
        answered = [row for row in rows if not row.error]
        scored = Scored(
            probability_rows(answered, len(self.labels)) if corrected is None else corrected,
            _column([row.label_mass for row in answered]),
            np.array([row.truncated for row in answered], dtype=np.bool_),
            _column([row.in_scope for row in answered]),
            None if any(row.by_fast is None for row in answered) else np.array([row.by_fast for row in answered]),
        )
        questions = [read_question(row.cells[self.question_column]) for row in answered]
        predictions = iter(decide(questions, scored, self.labels, self.decision))
        return [self._error(row) if row.error else self._answer(row, next(predictions)) for row in rows]

    def header(self, columns: Sequence[str]) -> list[str]:
        """Return the columns of answers to rows with `columns`, where there is no row to tell them by."""
        requested = {"best_label": self.decision.may_abstain, "explanation": self.explain, "in_scope": self.tells_scope}
        requested |= {"answered_by": self.is_cascade}
        requested |= dict.fromkeys(("labels", "entropy"), self.decision.multi_label)
        requested |= dict.fromkeys(("truncated", "error"), False)
        others = [kept_name(name) for name in columns if name != self.question_column]
        return [key for key in ANSWER_KEYS if requested.get(key, True)] + others

    def _answer(self, row: ScoredRow, prediction: Prediction) -> Row:
        explanation = {"explanation": row.explanation} if self.explain else {}
        answer = {**prediction.to_dict(), "question": row.cells[self.question_column], **explanation}
        return answer | self._others(row)

    def _error(self, row: ScoredRow) -> Row:
        unanswered: Row = dict.fromkeys(("label", "score", "scores", "label_mass"))
        answer = {"question": row.cells.get(self.question_column), **unanswered, "error": row.error}
        return answer | self._others(row)

    def _others(self, row: ScoredRow) -> Row:
        return {kept_name(name): value for name, value in row.cells.items() if name != self.question_column}


def make_answering(classifier: QuestionClassifier, question_column: str, options: BulkOptions) -> Answering:
    """Return what makes answers of rows that `classifier` has scored.

    Raises:
        SubjectwiseError: the options do not fit the classifier.
    """
    labels = classifier.labels.names
    tells_scope = classifier.min_in_scope is not None
    options.decision.check(labels, tells_scope)
    check_correction(options.prior_correction, classifier.prior, len(labels))
    return Answering(labels, question_column, options.decision, options.explain, tells_scope, classifier.is_cascade)


def _column(values: Sequence[float | None]) -> FloatArray | None:
    """Return one value per row, or None where the predictor has none."""
    return None if None in values else np.array(values, dtype=np.float64)


def kept_name(name: str) -> str:
    """Return the name under which an answer keeps a column of the input."""
    return f"input_{name}" if _TAKEN.fullmatch(name) else name


def probability_rows(rows: Sequence[ScoredRow], labels: int) -> FloatArray:
    """Return the probabilities of rows that have some, [rows, labels]."""
    return np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, labels)


def correct_rows(rows: Iterator[ScoredRow], how: str, prior: Sequence[float], labels: int) -> FloatArray:
    """Return the corrected probabilities of all rows that have some, [rows, labels]: 8 bytes each.

    Raises:
        DataError: as for `correct_prior`, of which a single row is one.
    """
    parts = [probability_rows([row for row in chunk if not row.error], labels) for chunk in chunks(rows)]
    return correct_prior(np.concatenate([np.zeros((0, labels)), *parts]), how, prior)


def check_correction(how: str, prior: Sequence[float], labels: int) -> None:
    """Raise DataError where `correct_prior` would do so for many rows, before they are scored."""
    correct_prior(np.full((2, labels), 1 / labels), how, prior)
