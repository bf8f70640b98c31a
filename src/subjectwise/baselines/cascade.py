"""A cascade: a fast model answers the questions that it is sure of, another predictor the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError, ModelFolderError
from subjectwise.labels import LabelSet
from subjectwise.models.fast_model import FastAnswers, FastModel, is_fast_folder, load_fast_model
from subjectwise.models.model_config import FAST_FOLDER
from subjectwise.models.model_folder import shipped_folder
from subjectwise.question_classifier import QuestionClassifier, ScoreBasedClassifier
from subjectwise.records import EncodedQuestion, Explanation, Question, Scored
from subjectwise.statistics.cascade import NEVER, Promise, check_loss
from subjectwise.text.question_list import question_list
from subjectwise.text.question_text import question_texts
from subjectwise.types import BoolArray, Progress


@dataclass(frozen=True)
class Cascade(ScoreBasedClassifier):
    """A fast model and the predictor behind it. Explanations are always by the latter.

    Args:
        fast: answers alone where it is sure; elsewhere its opinion is combined with the other's, where that helps.
        model: answers the rest.
        loss: how many points of accuracy the fast model may cost on its validation rows: `0`, `1`, or `never` where
            it never answers alone.

    Raises:
        DataError: an unknown loss, or the two have different labels.
    """

    fast: FastModel
    model: QuestionClassifier
    loss: str = "0"

    is_cascade = True

    def __post_init__(self) -> None:
        if self.loss != NEVER:
            check_loss(self.loss)
        if list(self.fast.labels) != list(self.model.labels):
            raise DataError("The fast model and the language model of a cascade have different labels.")

    @classmethod
    def load(cls, model: QuestionClassifier, fast: Path | str | None = None, loss: str = "0") -> Cascade:
        """Return a cascade of a loaded predictor and the fast model in a folder.

        Args:
            model: answers the rest.
            fast: the folder of a fast model, or a model folder that has one; None for the shipped one.
            loss: as for the class.

        Raises:
            ModelFolderError: the folder has no fast model, or a damaged one.
            DataError: as for the class.
        """
        return cls(load_fast_model(fast_folder(shipped_folder() if fast is None else Path(fast))), model, loss)

    @property
    def promise(self) -> Promise:
        """When the fast model answers alone."""
        return self.fast.config.promises.get(self.loss, Promise())

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return self.model.labels

    @property
    def classes_(self) -> npt.NDArray[Any]:  # type: ignore[override]  # an attribute where `fit` sets it
        """scikit-learn's name for the labels."""
        return self.model.classes_

    @property
    def temperature(self) -> float:
        """What the combined log-probabilities were divided by."""
        return self.fast.config.pooling.temperature

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The confidence for a wanted accuracy of the pair on the validation rows."""
        return self.promise.thresholds

    @property
    def min_in_scope(self) -> float | None:  # type: ignore[override]  # an attribute elsewhere
        """The language model's own; what the fast model thinks below it is not answered alone."""
        return self.model.min_in_scope

    @property
    def prior(self) -> Sequence[float]:
        """The share of each label among the training rows of the language model."""
        return self.model.prior

    @property
    def reads_options(self) -> bool:
        """Whether the language model was trained to see answer options."""
        return self.model.reads_options

    @property
    def warning(self) -> str:
        """The language model's; or one sentence where the pair was chosen with another language model."""
        config = self.fast.config
        fits = config.model_sha256 == self.model.weights_sha256 and config.model_temperature == self.model.temperature
        if self.model.warning or fits:
            return self.model.warning
        return (
            "The fast model was calibrated with another language model, or with another calibration of it, so that the "
            "pair may be less accurate than promised; run 'subjectwise train-fast'."
        )

    @property
    def weights_sha256(self) -> str:
        """The hash of the language model's weights."""
        return self.model.weights_sha256

    @property
    def description_sha256(self) -> str:
        """The hash of what both folders say, and of the fast model's weights; empty for one without a folder."""
        described = self.model.description_sha256
        return "-".join((described, self.fast.sha256, self.loss)) if described else ""

    @property
    def explainer(self) -> Cascade:
        """The same pair with every question answered by the language model."""
        return self if self.loss == NEVER else replace(self, loss=NEVER)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return what the language model reads of each question: nothing of those that the fast model answers."""
        alone = self._alone(self._ask_fast(questions))
        rest = iter(self.model.encode([question for question, fast in zip(questions, alone, strict=True) if not fast]))
        return [EncodedQuestion([], 0) if fast else next(rest) for fast in alone]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        """Return calibrated probabilities, and which of them are the fast model's alone."""
        asked = question_list(questions)
        answers = self._ask_fast(asked)
        alone = self._alone(answers)
        probabilities, mass = answers.probabilities.copy(), 1 - answers.none
        truncated, in_scope = np.zeros(len(asked), dtype=np.bool_), answers.in_scope.copy()
        rest: list[int] = np.flatnonzero(~alone).tolist()
        if on_progress and len(rest) < len(asked):
            on_progress(len(asked) - len(rest))
        if rest:
            read = None if encoded is None else [encoded[index] for index in rest]
            scored = self.model.score([asked[index] for index in rest], encoded=read, on_progress=on_progress)
            probabilities[rest] = self.fast.config.pooling.combine(scored.probabilities, probabilities[rest])
            mass[rest] = 1.0 if scored.label_mass is None else scored.label_mass
            truncated[rest] = False if scored.truncated is None else scored.truncated
            in_scope[rest] = 1.0 if scored.in_scope is None else scored.in_scope
        return Scored(probabilities, mass, truncated, None if self.min_in_scope is None else in_scope, alone)

    def load_sentence_writer(self) -> None:
        """Load what writes the sentences of the language model."""
        self.model.load_sentence_writer()

    def write_sentence(self, explanation: Explanation) -> str:
        """Return the sentence of an explanation, by the language model."""
        return self.model.write_sentence(explanation)

    def _ask_fast(self, questions: Sequence[Question]) -> FastAnswers:
        return self.fast.answer(question_texts(questions))

    def _alone(self, answers: FastAnswers) -> BoolArray:
        """Return which questions the fast model answers alone, [questions]."""
        return self.fast.config.answers_alone(answers, self.promise.min_confidence, self.min_in_scope)


def fast_folder(path: Path) -> Path:
    """Return the folder of a fast model: `path` itself, or the one in a model folder.

    Raises:
        ModelFolderError: there is none.
    """
    for folder in (path, path / FAST_FOLDER):
        if is_fast_folder(folder):
            return folder
    raise ModelFolderError(f"{path} has no fast model; train one with 'subjectwise train-fast'.")
