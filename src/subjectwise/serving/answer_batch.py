"""Answers questions with the model that is served: a batch at a time, decided and explained. Knows no queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from subjectwise.errors import BaseModelError, DataError, SubjectwiseError
from subjectwise.records import ALWAYS_ONE, Decision, Prediction, Question, Scored
from subjectwise.serving.error_responses import Failed, Refusal
from subjectwise.serving.loaded_model import ServedModel
from subjectwise.statistics.thresholds import decide

_log = logging.getLogger("subjectwise.serving")


@dataclass(frozen=True)
class AnswerOptions:
    """How the questions of one request are answered, as `Classifier.classify` has it."""

    with_options: bool | None = None
    decision: Decision = ALWAYS_ONE
    explain: bool = False
    sentence: bool = False


@dataclass(frozen=True)
class Answer:
    """The predictions for one request, all of the same model; `explanations` only where they were asked for."""

    served: ServedModel
    predictions: list[Prediction]
    explanations: list[dict[str, Any]] = field(default_factory=list)


def classify(served: ServedModel, questions: list[Question], with_options: bool | None) -> list[Prediction | Refusal]:
    """A prediction each. Where a batch fails its questions are asked one by one: none fails for another's sake."""
    try:
        return list(served.classifier.classify(served.shown(questions, with_options)))
    except Exception as error:
        if len(questions) == 1:
            return [failure(error)]
    return [found for question in questions for found in classify(served, [question], with_options)]


def finish(
    served: ServedModel,
    questions: Sequence[Question],
    predictions: list[Prediction],
    settings: AnswerOptions,
    wanted: Callable[[], bool],
) -> Answer:
    """The predictions as the settings decide them, and the explanations, for as long as they are `wanted`.

    Raises:
        SubjectwiseError: the settings do not go with this model.
    """
    labels = list(served.labels)
    if settings.decision != ALWAYS_ONE:
        settings.decision.check_labels(labels)
        probabilities = np.array([[found.scores[name] for name in labels] for found in predictions])
        masses = [found.label_mass for found in predictions]
        mass = None if None in masses else np.array(masses, dtype=np.float64)
        predictions = decide(questions, Scored(probabilities, mass), labels, settings.decision)
    explanations = []
    for question in questions if settings.explain else ():
        if not wanted():
            break
        explanations.append(_explain(served, question, settings))
    return Answer(served, predictions, explanations)


def _explain(served: ServedModel, question: Question, settings: AnswerOptions) -> dict[str, Any]:
    [shown] = served.shown([question], settings.with_options)
    try:
        found: dict[str, Any] = served.classifier.explain(shown, sentence=settings.sentence).to_dict()
    except (BaseModelError, DataError) as error:
        if not settings.sentence:
            raise
        # Its own words may name a folder of this machine, or an option of the command line.
        raise SubjectwiseError("This model writes no sentences; leave out sentence.") from error
    return found


def failure(error: Exception) -> Refusal:
    """What the client is told. An error of ours is a sentence about the request; any other stays in the log."""
    if isinstance(error, SubjectwiseError):
        return Refusal(str(error))
    _log.error("failed", exc_info=error)
    return Failed("The model failed at this question; the log says why.")
