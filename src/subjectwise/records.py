"""The records that travel between modules: questions, rows, probabilities, answers and explanations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from subjectwise.errors import DataError, QuestionError
from subjectwise.types import BoolArray, FloatArray, JsonObject
from subjectwise.utils.clean_text import clean_text
from subjectwise.utils.notebook_html import Mark, bars_html, marked_html

# Far above any real question (the longest of MMLU-Pro has 4,671), low enough to catch a file given as a question.
MAX_CHARACTERS = 50_000

# The label of an answer whose probability is below the minimum.
ABSTAIN = "abstain"

# The answer that a model may be trained to give to requests that belong to no label; it is never returned as a label.
OUT_OF_SCOPE = "none"

# Which part of a cascade answered.
BY_FAST, BY_MODEL = "fast", "model"

# How many times an explanation hides words, by default: what keeps it under 15 classifications.
EXPLANATION_ROUNDS = 16


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
        in_scope: probability that the question belongs to any label, [questions], 0 to 1; None where the model was not
            trained to tell.
        by_fast: whether the fast model of a cascade answered alone, [questions]; None where there is no cascade.
    """

    probabilities: FloatArray
    label_mass: FloatArray | None = None
    truncated: BoolArray | None = None
    in_scope: FloatArray | None = None
    by_fast: BoolArray | None = None


@dataclass(frozen=True)
class Decision:
    """How probabilities become an answer.

    Attributes:
        min_confidence: below this probability the answer is `abstain`; 0 to always answer.
        min_in_scope: below this probability of belonging to any label the answer is `abstain`; 0 to always answer.
        multi_label: give several labels when unsure, one more per band of entropy, up to five.

    Raises:
        DataError: a minimum is not from 0 to 1.
    """

    min_confidence: float = 0.0
    multi_label: bool = False
    min_in_scope: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_in_scope"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name} is {getattr(self, name)}; it must be from 0 to 1.")

    @property
    def may_abstain(self) -> bool:
        """Whether an answer may be `abstain`."""
        return bool(self.min_confidence or self.min_in_scope)

    def check(self, labels: Iterable[str], tells_scope: bool) -> None:
        """Raise DataError where an abstention could be mistaken for a label, or the model has no `in_scope`.

        Args:
            labels: of the model.
            tells_scope: whether it tells requests that belong to none of them.
        """
        if self.min_in_scope and not tells_scope:
            raise DataError("This model does not tell requests that belong to no label; leave min_in_scope out.")
        if self.may_abstain and ABSTAIN in labels:
            raise DataError(f"Cannot abstain: {ABSTAIN!r} is one of the labels. Rename it, or leave out the minimum.")


ALWAYS_ONE = Decision()


@dataclass(frozen=True)
class Prediction:
    """The answer to one question.

    Attributes:
        label: the most probable label, or `abstain` where a probability is below the requested minimum.
        score: the highest calibrated probability, 0 to 1.
        scores: every label's calibrated probability, in label order; they sum to 1.
        label_mass: the probability that the model gives to any label at all, before normalising, 0 to 1;
            near 0 when the text belongs to none of them. A classification head has no other answers: it is 1 there.
            None where the predictor does not have one.
        best_label: where a minimum was requested, the most probable label, also if the answer is `abstain`.
        labels: where several were requested, the likely labels, best first; empty where the answer is `abstain`.
        entropy: where several labels were requested, the normalised entropy of the scores, 0 to 1.
        truncated: whether the question was longer than the model reads, so that its middle was cut out.
        in_scope: the calibrated probability that the question belongs to any of the labels, 0 to 1; None where the
            model was not trained to tell.
        answered_by: of a cascade, `fast` where its fast model answered alone, else `model`; empty elsewhere.
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
    in_scope: float | None = None
    answered_by: str = ""

    def top(self, k: int) -> list[tuple[str, float]]:
        """Return the `k` most probable labels with their probabilities, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:k]

    def to_dict(self) -> JsonObject:
        """Return the fields for JSON, without those that were not requested or that the model does not have."""
        decided: JsonObject = {"best_label": self.best_label} if self.best_label else {}
        if self.entropy is not None:
            decided |= {"labels": list(self.labels), "entropy": self.entropy}
        return {
            "question": self.question,
            "label": self.label,
            "score": self.score,
            "scores": self.scores,
            "label_mass": self.label_mass,
            **({} if self.in_scope is None else {"in_scope": self.in_scope}),
            **decided,
            **({"truncated": True} if self.truncated else {}),
            **({"answered_by": self.answered_by} if self.answered_by else {}),
        }

    def _repr_html_(self) -> str:
        notes = [f"Answer: {', '.join(self.labels) or self.label}"]
        if self.in_scope is not None:
            notes.append(f"Belongs to any of the labels: {self.in_scope:.1%}")
        if self.truncated:
            notes.append("The middle of the question was cut out.")
        return bars_html(self.question, self.top(5), notes)


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
        sentence: "This is physics because ...", written by the model folder's sentence adapter, or by the base where
            there is none; empty where none was requested.
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

    def _repr_html_(self) -> str:
        title = f"{self.label} {self.score:.1%}, then {self.runner_up} {self.runner_up_score:.1%}"
        marks = [Mark(item.start, item.end, item.weight) for item in self.evidence if item.option is None]
        options = [f"Option {item.text}: {item.weight:+.2f}" for item in self.evidence if item.option is not None]
        return marked_html(title, self.question, marks, [*options, *([self.sentence] if self.sentence else [])])
