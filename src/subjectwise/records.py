"""The records that travel between modules, and the protocol that every predictor implements."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, overload

import numpy.typing as npt

from subjectwise.errors import DataError, QuestionError
from subjectwise.labels import LabelSet
from subjectwise.types import BoolArray, FloatArray, JsonObject, Progress

# Far above any real question (the longest of MMLU-Pro has 4,671), low enough to catch a file given as a question.
MAX_CHARACTERS = 50_000

# All ASCII control characters but tab and line breaks.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Halves of characters, which JSON can spell (\\ud83d) and UTF-8 cannot store.
_SURROGATES = re.compile("[\ud800-\udfff]")

# The label of an answer whose probability is below the minimum.
ABSTAIN = "abstain"

# The answer that a model may be trained to give to requests that belong to no label; it is never returned as a label.
OUT_OF_SCOPE = "none"

# How many times an explanation hides words, by default: what keeps it under 15 classifications.
EXPLANATION_ROUNDS = 16


def replace_surrogates(text: str) -> str:
    """Return `text` as UTF-8 can store it: two surrogates in a row as their character, a lone one as U+FFFD."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_text(text: str) -> str:
    """Return `text` as every predictor sees it, from wherever it comes.

    Control characters, which pasted PDFs and LaTeX in JSON have, become spaces; tab and line breaks stay. What UTF-8
    cannot store becomes U+FFFD, the replacement character. The rest is NFC-normalised and stripped.
    """
    return unicodedata.normalize("NFC", CONTROL_CHARACTERS.sub(" ", replace_surrogates(text))).strip()


@dataclass(frozen=True)
class Question:
    """A question and its answer options, if it has any. Text is cleaned by `clean_text`.

    Every predictor sees the options that a question has; `without_options` drops them.

    Raises:
        QuestionError: the text is empty, or longer than 50,000 characters with its options.
    """

    text: str
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise QuestionError(f"A question must be text, not {type(self.text).__name__}.")
        object.__setattr__(self, "text", clean_text(self.text))
        object.__setattr__(self, "options", tuple(clean_text(str(option)) for option in self.options))
        if not self.text:
            raise QuestionError("The question is empty; give it at least one word.")
        size = len(self.text) + sum(map(len, self.options))
        if size > MAX_CHARACTERS:
            raise QuestionError(f"The question has {size:,} characters; the limit is {MAX_CHARACTERS:,}.")

    def without_options(self) -> Question:
        """Return the question's text alone."""
        return replace(self, options=()) if self.options else self


def as_question(value: Question | str) -> Question:
    """Return a text as a question, and a question as it is."""
    return value if isinstance(value, Question) else Question(value)


def show_options(questions: Iterable[Question], shown: bool) -> list[Question]:
    """Return the questions as an entry point passes them on: with their options, or without."""
    return [question if shown else question.without_options() for question in questions]


@dataclass(frozen=True)
class Example:
    """A question whose label is known: one row of a data set.

    Attributes:
        row_id: identifies the row within its data set.
        question: with the options that it has.
        label: its label; `OUT_OF_SCOPE` for a request that belongs to no label.
        source: the exam, book or file it comes from; may be empty.
        kind: the part of a mixture that it belongs to; empty where the data has one kind alone.
        also: other labels that would be as fair.
    """

    row_id: str
    question: Question
    label: str
    source: str = ""
    kind: str = ""
    also: tuple[str, ...] = ()

    def without_options(self) -> Example:
        """Return the row with the question's text alone."""
        return replace(self, question=self.question.without_options()) if self.question.options else self


@dataclass(frozen=True)
class EncodedQuestion:
    """What a model reads of one question.

    Attributes:
        ids: token ids, without those that all questions share; empty for a predictor without tokens.
        tokens: how many tokens are read, or an estimate where the predictor has none.
        truncated: whether the question was longer than the model reads, so that its middle was cut out.
    """

    ids: list[int]
    tokens: int
    truncated: bool = False


@dataclass(frozen=True)
class Scored:
    """Calibrated probabilities of many questions.

    Attributes:
        probabilities: [questions, labels], rows summing to 1, columns in label order.
        label_mass: probability of any label at all before normalising, [questions], 0 to 1; None where the
            predictor does not have one.
        truncated: whether the middle of a question was cut out, [questions]; None where the predictor does not say.
    """

    probabilities: FloatArray
    label_mass: FloatArray | None = None
    truncated: BoolArray | None = None


@dataclass(frozen=True)
class Decision:
    """How probabilities become an answer.

    Attributes:
        min_confidence: below this probability the answer is `abstain`; 0 to always answer.
        multi_label: give several labels when unsure, one more per band of entropy, up to five.

    Raises:
        DataError: the minimum is not from 0 to 1.
    """

    min_confidence: float = 0.0
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise DataError(f"The minimum confidence is {self.min_confidence}; it must be from 0 to 1.")

    def check_labels(self, labels: Iterable[str]) -> None:
        """Raise DataError where an abstention could be mistaken for a label."""
        if self.min_confidence and ABSTAIN in labels:
            raise DataError(
                f"Cannot abstain: {ABSTAIN!r} is one of the labels. Rename it, or leave out the minimum confidence."
            )


ALWAYS_ONE = Decision()


@dataclass(frozen=True)
class Prediction:
    """The answer to one question.

    Attributes:
        label: the most probable label, or `abstain` where its probability is below the requested minimum.
        score: the highest calibrated probability, 0 to 1.
        scores: every label's calibrated probability, in label order; they sum to 1.
        label_mass: the probability that the model gives to any label at all, before normalising, 0 to 1;
            near 0 when the text belongs to none of them. A classification head has no other answers: it is 1 there.
            None where the predictor does not have one.
        best_label: where a minimum was requested, the most probable label, also if the answer is `abstain`.
        labels: where several were requested, the likely labels, best first; empty where the answer is `abstain`.
        entropy: where several labels were requested, the normalised entropy of the scores, 0 to 1.
        truncated: whether the question was longer than the model reads, so that its middle was cut out.
    """

    question: str
    label: str
    score: float
    scores: dict[str, float] = field(repr=False)
    label_mass: float | None = None
    best_label: str = ""
    labels: tuple[str, ...] = ()
    entropy: float | None = None
    truncated: bool = False

    def top(self, k: int) -> list[tuple[str, float]]:
        """Return the `k` most probable labels with their probabilities, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:k]

    def to_dict(self) -> JsonObject:
        """Return the fields for JSON, without those that were not requested; `truncated` only where it is true."""
        decided: JsonObject = {"best_label": self.best_label} if self.best_label else {}
        if self.entropy is not None:
            decided |= {"labels": list(self.labels), "entropy": self.entropy}
        return {
            "question": self.question,
            "label": self.label,
            "score": self.score,
            "scores": self.scores,
            "label_mass": self.label_mass,
            **decided,
            **({"truncated": True} if self.truncated else {}),
        }


@dataclass(frozen=True)
class Evidence:
    """How one word of a question, or a few words in a row, changed the answer.

    Attributes:
        text: the words as they are in the question.
        start, end: their character positions in the question's text; in the option's where `option` is given.
        weight: log-odds of the answer with these words minus log-odds without; above 0 they speak for it.
        runner_up_weight: the same for the second most probable label.
        option: the index of the answer option, from 0; None for the question itself.
    """

    text: str
    start: int
    end: int
    weight: float
    runner_up_weight: float
    option: int | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a question has its label: the words that changed the answer, and a sentence where one was requested.

    Attributes:
        label, score: the most probable label and its probability.
        runner_up, runner_up_score: the second most probable label and its probability.
        evidence: in the order of the text.
        sentence: "This is physics because ...", written by the base; empty where none was requested.
    """

    question: str
    label: str
    score: float
    runner_up: str
    runner_up_score: float
    evidence: tuple[Evidence, ...]
    sentence: str = ""

    def strongest(self, k: int = 3, *, runner_up: bool = False) -> list[Evidence]:
        """Return at most `k` pieces of evidence for the label (or for the runner-up), strongest first."""

        def weight(item: Evidence) -> float:
            return item.runner_up_weight if runner_up else item.weight

        return [item for item in sorted(self.evidence, key=weight, reverse=True)[:k] if weight(item) > 0]

    def to_dict(self) -> JsonObject:
        """Return the fields for JSON; the sentence, and the option of a piece of evidence, only where it has one."""
        plain = asdict(self)
        plain["evidence"] = [
            {key: value for key, value in item.items() if value is not None} for item in plain["evidence"]
        ]
        if not self.sentence:
            del plain["sentence"]
        return plain


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
        """The confidence for a wanted accuracy on the validation rows, such as {"0.95": 0.71}; may be empty."""
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
