"""Predictors without a model: their probabilities are a function of the questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.records import EncodedQuestion, Explanation, Question, Scored, as_question
from subjectwise.types import FloatArray, IntArray, Progress


class FakeClassifier(ScoreBasedClassifier):
    """Answers with the probabilities, [questions, labels], that a function returns."""

    warning = ""
    reads_options = False
    prior: Sequence[float] = ()  # a class attribute is enough to implement the property

    def __init__(
        self,
        labels: Sequence[str],
        probabilities: Callable[[list[Question]], FloatArray],
        temperature: float = 1.0,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._labels = LabelSet(tuple(labels))
        self.probabilities = probabilities
        self.temperature = temperature
        self.thresholds: Mapping[str, float] = thresholds or {}
        self.weights_sha256 = ""

    @property
    def labels(self) -> LabelSet:
        return self._labels

    @property
    def classes_(self) -> npt.NDArray[np.str_]:  # type: ignore[override]
        return np.array(self._labels.names)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        return [EncodedQuestion([], 1 + len(question.text) // 4) for question in questions]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        asked = [as_question(question) for question in questions]
        if on_progress:
            on_progress(len(asked))
        return Scored(self.probabilities(asked))

    def _write_sentence(self, explanation: Explanation) -> str:
        raise DataError("A fake cannot write.")


def one_hot_like(indices: Sequence[int] | IntArray, labels: int, top: float = 0.8) -> FloatArray:
    """Return probabilities, [rows, labels]: `top` for the given label, the rest shared by the others."""
    rows = np.full((len(indices), labels), (1 - top) / (labels - 1))
    rows[np.arange(len(indices)), np.asarray(indices)] = top
    return rows
