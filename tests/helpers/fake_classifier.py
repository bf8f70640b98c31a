"""A predictor without a model, whose answers follow from the text alone: for tests of what surrounds a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.labels import LabelSet
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.records import EncodedQuestion, Question, Scored
from subjectwise.text.question_list import question_list
from subjectwise.types import Progress

# How many words of a question it says that it reads.
MOST_WORDS = 40


class FakeClassifier(ScoreBasedClassifier):
    """Gives each text probabilities drawn from its hash.

    Args:
        sha256: of its weights and its description; another stands for another model.
        on_score: called with the texts of each batch before it is scored; may raise.
    """

    temperature = 1.0
    thresholds: Mapping[str, float] = {"0.95": 0.7}
    warning = ""
    reads_options = False
    prior: Sequence[float] = (0.5, 0.25, 0.25)
    labels = LabelSet(("law", "math", "physics"))

    def __init__(self, sha256: str = "one", on_score: Callable[[Sequence[str]], object] = lambda texts: None) -> None:
        self.weights_sha256 = self._description = sha256
        self.on_score = on_score

    @property
    def description_sha256(self) -> str:
        return self._description

    @property
    def classes_(self) -> npt.NDArray[Any]:  # type: ignore[override]
        return np.array(self.labels.names)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        words = [len(question.text.split()) for question in questions]
        return [EncodedQuestion([], min(count, MOST_WORDS), truncated=count > MOST_WORDS) for count in words]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        asked = question_list(questions)
        self.on_score([question.text for question in asked])
        drawn = np.array([list(_digest(question)[:3]) for question in asked], dtype=np.float64).reshape(-1, 3) + 1
        truncated = np.array([row.truncated for row in self.encode(asked)], dtype=np.bool_)
        return Scored(drawn / drawn.sum(axis=1, keepdims=True), np.ones(len(asked)), truncated)


def _digest(question: Question) -> bytes:
    return hashlib.sha256("\n".join((question.text, *question.options)).encode()).digest()
