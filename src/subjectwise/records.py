"""The records that travel through the package, and the face that everything that predicts shows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from subjectwise.errors import QuestionError

FloatArray = npt.NDArray[np.float64]

# Far above any real question (the longest of MMLU-Pro has 4,671), low enough to catch a file given as a question.
MAX_CHARACTERS = 50_000

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Question:
    """A question and its answer options, if it has any. Text is NFC-normalised and stripped.

    Raises:
        QuestionError: the text is empty, longer than 50,000 characters with its options,
            or holds control characters other than tab and line breaks.
    """

    text: str
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise QuestionError(f"A question must be text, not {type(self.text).__name__}.")
        object.__setattr__(self, "text", unicodedata.normalize("NFC", self.text).strip())
        options = (unicodedata.normalize("NFC", str(option)).strip() for option in self.options)
        object.__setattr__(self, "options", tuple(options))
        whole = "".join((self.text, *self.options))
        if not self.text:
            raise QuestionError("The question is empty; give it at least one word.")
        if len(whole) > MAX_CHARACTERS:
            raise QuestionError(
                f"The question has {len(whole):,} characters; the limit is {MAX_CHARACTERS:,}. "
                "To classify a file of questions, use --input."
            )
        if found := CONTROL_CHARACTERS.search(whole):
            raise QuestionError(f"The question holds the control character {found.group()!r}; remove it.")
        try:
            whole.encode("utf-8")
        except UnicodeEncodeError:
            raise QuestionError("The question holds half of a character (a lone surrogate); remove it.") from None


@dataclass(frozen=True)
class Example:
    """A question whose label is known, as one row of a data set."""

    row_id: str
    question: Question
    label: str
    source: str = ""


@dataclass(frozen=True)
class Prediction:
    """The answer to one question.

    Attributes:
        label: the label of highest probability, or `abstain` where that is below the minimum that was asked for.
        score: the highest calibrated probability, 0 to 1.
        scores: every label's calibrated probability, in label order; they sum to 1.
        label_mass: the probability that the model gives to any label at all, before normalising, 0 to 1;
            near 0 when the text is none of these. A classification head has no other answers: it is 1 there.
            None where the predictor has no such notion.
        best_label: where a minimum was asked for, the label of highest probability even if the answer is `abstain`.
        labels: where several were asked for, the likely labels, best first; none where the answer is `abstain`.
        entropy: where several were asked for, the entropy of the scores as a share of the highest possible, 0 to 1.
    """

    question: str
    label: str
    score: float
    scores: dict[str, float] = field(repr=False)
    label_mass: float | None = None
    best_label: str = ""
    labels: tuple[str, ...] = ()
    entropy: float | None = None

    def top(self, k: int) -> list[tuple[str, float]]:
        """The `k` most probable labels with their probabilities, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:k]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them; those that were not asked for are left out."""
        decided: dict[str, Any] = {"best_label": self.best_label} if self.best_label else {}
        if self.entropy is not None:
            decided |= {"labels": list(self.labels), "entropy": self.entropy}
        return {
            "question": self.question,
            "label": self.label,
            "score": self.score,
            "scores": self.scores,
            "label_mass": self.label_mass,
            **decided,
        }


@dataclass(frozen=True)
class Evidence:
    """What one word, or a few words in a row, of a question did to the answer.

    Attributes:
        text: the words as they stand in the question.
        start, end: their place in the question's text; in the option's where `option` is given.
        weight: the log-odds of the answer with these words, less those without; above 0 they speak for it.
        runner_up_weight: the same of the label that came second.
        option: the number of the answer option that is meant, from 0; None for the question itself.
    """

    text: str
    start: int
    end: int
    weight: float
    runner_up_weight: float
    option: int | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a question has its label: the words that moved the answer, and a sentence where one was asked for.

    Attributes:
        label, score: the label of highest probability, and that probability.
        runner_up, runner_up_score: those of the label that came second.
        evidence: in the order of the text.
        sentence: "This is physics because ...", written by the base; empty where none was asked for.
    """

    question: str
    label: str
    score: float
    runner_up: str
    runner_up_score: float
    evidence: tuple[Evidence, ...]
    sentence: str = ""

    def strongest(self, k: int = 3, *, runner_up: bool = False) -> list[Evidence]:
        """At most `k` pieces of evidence for the label (or for the runner-up), strongest first."""

        def weight(item: Evidence) -> float:
            return item.runner_up_weight if runner_up else item.weight

        return [item for item in sorted(self.evidence, key=weight, reverse=True)[:k] if weight(item) > 0]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them; the sentence, and the option of a piece of evidence, only where there is one."""
        plain = asdict(self)
        plain["evidence"] = [
            {key: value for key, value in item.items() if value is not None} for item in plain["evidence"]
        ]
        if not self.sentence:
            del plain["sentence"]
        return plain


def as_question(value: Question | str) -> Question:
    return value if isinstance(value, Question) else Question(value)


@runtime_checkable
class Predictor(Protocol):
    """What evaluation, serving and comparison ask of anything that classifies: scikit-learn's two members."""

    @property
    def classes_(self) -> Sequence[str] | npt.NDArray[Any]: ...

    def predict_proba(self, questions: Sequence[Question | str]) -> FloatArray:
        """Calibrated probabilities, [questions, labels], rows summing to 1, columns in `classes_` order."""
        ...
