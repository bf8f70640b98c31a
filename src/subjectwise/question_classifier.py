"""What every predictor implements, and what follows from its scores: classify, explain and predict. Knows no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, overload

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError
from subjectwise.explain.evidence import find_evidence
from subjectwise.labels import LabelSet
from subjectwise.records import (
    ALWAYS_ONE,
    EXPLANATION_ROUNDS,
    Decision,
    EncodedQuestion,
    Explanation,
    Prediction,
    Question,
    Scored,
    as_question,
)
from subjectwise.statistics.calibration import check_prior_correction, correct_prior
from subjectwise.statistics.thresholds import decide
from subjectwise.text.question_list import QuestionsLike, question_list
from subjectwise.types import FloatArray, Progress


class QuestionClassifier(Protocol):
    """What every predictor implements: a trained model, any labels without training, a baseline."""

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        ...

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """scikit-learn's name for the labels, with the values that `fit` was given."""
        ...

    @property
    def temperature(self) -> float:
        """What the log-probabilities were divided by."""
        ...

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The confidence for an accuracy on rows like the validation rows, such as {"0.95": 0.71}; may be empty."""
        ...

    @property
    def min_in_scope(self) -> float | None:
        """The probability of belonging to any label below which few questions are; None where there is no such one."""
        ...

    @property
    def prior(self) -> Sequence[float]:
        """The share of each label among the training rows; empty where it is unknown."""
        ...

    @property
    def reads_options(self) -> bool:
        """Whether the model was trained to see answer options, so that entry points show them by default."""
        ...

    @property
    def warning(self) -> str:
        """One sentence where the model is not quite what it was trained as; else empty."""
        ...

    @property
    def weights_sha256(self) -> str:
        """The hash of the weights; empty where the predictor has no file of its own."""
        ...

    @property
    def description_sha256(self) -> str:
        """The hash of what the model's folder says of it: prompt, labels, calibration; empty where it has no folder."""
        ...

    @property
    def is_cascade(self) -> bool:
        """Whether some answers are a fast model's alone, so that each says which model it is from."""
        ...

    @property
    def explainer(self) -> QuestionClassifier:
        """What answers a question that is to be explained: of a cascade the language model, else the predictor."""
        ...

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return what the model reads of each question, for `score`."""
        ...

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        """Return calibrated probabilities; `encoded` saves encoding the questions again."""
        ...

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of str too, and is one question here
        self,
        questions: Question | str,
        *,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> Prediction: ...

    @overload
    def classify(
        self,
        questions: Sequence[Question | str],
        *,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> list[Prediction]: ...

    def explain(
        self, question: Question | str, *, sentence: bool = False, rounds: int = EXPLANATION_ROUNDS
    ) -> Explanation:
        """Return the words that changed the answer, and a sentence on request."""
        ...

    def load_sentence_writer(self) -> None:
        """Load what `write_sentence` needs, so that the first sentence does not wait for it."""
        ...

    def write_sentence(self, explanation: Explanation) -> str:
        """Return the sentence of an explanation, "This is physics because ..."."""
        ...


class ScoreBasedClassifier(ABC):
    """Implements the methods of `QuestionClassifier` that follow from `score`."""

    classes_: npt.NDArray[Any]
    min_in_scope: float | None = None
    is_cascade = False

    @property
    @abstractmethod
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""

    @property
    @abstractmethod
    def prior(self) -> Sequence[float]:
        """The share of each label among the training rows; empty where it is unknown."""

    @property
    def description_sha256(self) -> str:
        """The hash of what the model's folder says of it; empty where it has no folder."""
        return ""

    @property
    def explainer(self) -> Self:
        """What answers a question that is to be explained."""
        return self

    @abstractmethod
    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        """Return calibrated probabilities; `encoded` saves encoding the questions again."""

    def load_sentence_writer(self) -> None:
        """Load what `write_sentence` needs, so that the first sentence does not wait for it.

        Raises:
            DataError: this predictor cannot write.
            BaseModelError: the base cannot write, or cannot be loaded.
        """
        raise DataError("This predictor cannot write a sentence; leave the sentence out (--no-sentence).")

    def write_sentence(self, explanation: Explanation) -> str:
        """Return the sentence of an explanation; raises as `load_sentence_writer` does."""
        self.load_sentence_writer()
        return ""

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of str too, and is one question here
        self,
        questions: Question | str,
        *,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> Prediction: ...

    @overload
    def classify(
        self,
        questions: Sequence[Question | str],
        *,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> list[Prediction]: ...

    def classify(
        self,
        questions: Question | str | Sequence[Question | str],
        *,
        decision: Decision = ALWAYS_ONE,
        prior_correction: str = "none",
        on_progress: Progress | None = None,
    ) -> Prediction | list[Prediction]:
        """Return the prediction for one question, or a list of them for many, in their order.

        Args:
            questions: one or many; each is shown to the model with the answer options that it has.
            decision: whether to abstain when unsure, or to give several labels.
            prior_correction: `none`; or for many questions whose mix of labels differs from the training rows':
                `match` estimates the mix and corrects for it, `batch` assumes that every label is equally frequent.
                An answer then depends on the other questions.
            on_progress: called after each batch with the number of its questions.

        Raises:
            QuestionError: a question is empty or too long; its number is given where there are several.
            DataError: an unknown prior correction, or one for a single question, which has no mix of labels.
        """
        if isinstance(questions, (str, Question)):
            [prediction] = self.classify(
                [questions], decision=decision, prior_correction=prior_correction, on_progress=on_progress
            )
            return prediction
        asked = question_list(questions)
        check_prior_correction(prior_correction, len(asked))
        names = list(self.labels)
        decision.check(names, self.min_in_scope is not None)
        scored = self.score(asked, on_progress=on_progress)
        corrected = correct_prior(scored.probabilities, prior_correction, self.prior)
        return decide(asked, replace(scored, probabilities=corrected), names, decision)

    def explain(
        self, question: Question | str, *, sentence: bool = False, rounds: int = EXPLANATION_ROUNDS
    ) -> Explanation:
        """Return why a question has its label: the words that changed the answer, found by hiding them.

        Args:
            question: with the options that are to be hidden in turn as well.
            sentence: add "This is physics because ...", written by the model folder's sentence adapter, or by the base
                where there is none; it is loaded once. It is a guess at a reason; small models guess badly.
            rounds: how many times words are hidden: the cost of an explanation, in classifications, and how closely a
                long question is looked at.

        Raises:
            QuestionError: as for `classify`.
            DataError: a sentence is requested of a baseline.
            BaseModelError: a sentence is requested of a base that cannot write, such as an encoder.
        """

        def answer(questions: Sequence[Question]) -> FloatArray:
            return self.explainer.score(questions).probabilities

        explanation = find_evidence(as_question(question), list(self.labels), answer, rounds)
        return replace(explanation, sentence=self.write_sentence(explanation)) if sentence else explanation

    def predict_proba(self, X: QuestionsLike) -> FloatArray:
        """Return calibrated probabilities, [questions, labels], columns in the order of `classes_`.

        Args:
            X: questions: a list, an array, a Series, or a frame of one column.

        Raises:
            DataError: several columns, or a single question.
            QuestionError: as for `classify`.
        """
        return self.score(question_list(X)).probabilities

    def predict(self, X: QuestionsLike) -> npt.NDArray[Any]:
        """Return the most probable label of each question, [questions]; `X` as for `predict_proba`."""
        probabilities = self.predict_proba(X)  # first, since it says where a classifier was not fitted
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])
