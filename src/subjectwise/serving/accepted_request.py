"""A request that the queue has accepted, and its questions as they are shared out among batches. Knows no thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from subjectwise.records import EncodedQuestion, Question, Scored
from subjectwise.serving.batch_pace import QUESTION_COST
from subjectwise.serving.error_responses import Refusal, Untokenizable
from subjectwise.serving.loaded_model import LoadedModel

# How much of a request is encoded at a time, so that a long list delays no other request.
_ENCODED_QUESTIONS, _ENCODED_CHARACTERS = 16, 20_000


@dataclass
class Usage:
    """What a request cost.

    Attributes:
        tokens: read of its questions.
        queue_seconds: from acceptance to the start of its first batch.
        encoding_seconds: spent on turning text into tokens.
        compute_seconds: of the batches that it was part of.
    """

    tokens: int = 0
    queue_seconds: float = 0.0
    encoding_seconds: float = 0.0
    compute_seconds: float = 0.0


class AcceptedRequest:
    """A request that the queue has accepted. One model answers all of it.

    Args:
        model: what answers.
        questions: of the request.
        further: how many more questions it may score, to explain them.
        compute: scores questions in the queue.
        whole: whether a question that is longer than the model reads is refused, instead of losing its middle.

    Attributes:
        model: what answers.
        usage: what it cost so far.
        waiting: how many questions are in no batch yet.
        characters: of its questions.
        cost: of what has been computed.
        cost_per_question: an estimate, since tokens are counted when the question's turn comes.
    """

    def __init__(
        self,
        model: LoadedModel,
        questions: Sequence[Question],
        further: int,
        compute: Callable[[AcceptedRequest, Sequence[Question]], Awaitable[Scored]],
        whole: bool = False,
    ) -> None:
        self.model = model
        self.whole = whole
        self.usage = Usage()
        self.waiting = len(questions) + further
        self.characters = sum(map(count_characters, questions))
        self.cost = 0.0
        longest = model.max_tokens or math.inf
        costs = [min(count_characters(question) / 4, longest) + QUESTION_COST for question in questions]
        self.cost_per_question = sum(costs) / len(costs)
        self._accepted = time.perf_counter()
        self._started = False
        self._compute = compute

    async def score(self, questions: Sequence[Question]) -> Scored:
        """Return the probabilities of questions, when their turn has come. Cancelled, what is left is not computed.

        Raises:
            Refusal: the model failed at one of them, and why.
        """
        return await self._compute(self, questions)

    def start(self) -> None:
        """Note that a batch with its questions begins."""
        if not self._started:
            self._started = True
            self.usage.queue_seconds = time.perf_counter() - self._accepted


@dataclass(eq=False)
class Job:
    """Questions of a request that are scored together, in one batch or in several.

    Attributes:
        taken: how many of them are in a batch, or were.
        dropped: whether nobody waits for them any more.
    """

    request: AcceptedRequest
    questions: Sequence[Question]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Scored]
    encoded: list[EncodedQuestion] = field(default_factory=list)
    taken: int = 0
    dropped: bool = False
    _parts: list[Scored] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether some of its questions wait for a batch."""
        return not self.dropped and self.taken < len(self.questions)

    def encode_next(self) -> None:
        """Encode a few more questions.

        Raises:
            Untokenizable: one of them is too long, and must not be cut.
        """
        started = time.perf_counter()
        start = stop = len(self.encoded)
        characters = 0
        while stop < len(self.questions) and stop - start < _ENCODED_QUESTIONS and characters < _ENCODED_CHARACTERS:
            characters += count_characters(self.questions[stop])
            stop += 1
        encoded = self.request.model.classifier.encode(self.questions[start:stop])
        if self.request.whole and any(one.truncated for one in encoded):
            raise Untokenizable(
                f"A text has more than {self.request.model.max_tokens} tokens; shorten it, or let truncate cut it."
            )
        self.encoded += encoded
        self.request.usage.encoding_seconds += time.perf_counter() - started

    def take(self, count: int) -> Share:
        """Return the next `count` questions as part of a batch."""
        share = Share(self, self.taken, self.taken + count)
        self.taken += count
        self.request.waiting = max(self.request.waiting - count, 0)
        self.request.cost += share.cost
        self.request.usage.tokens += share.tokens
        return share

    def add(self, part: Scored) -> None:
        """Keep the result of the next questions; the last one completes the job."""
        self._parts.append(part)
        if not self.dropped and sum(len(part.probabilities) for part in self._parts) == len(self.questions):
            self._settle(lambda: self.future.set_result(_concatenate(self._parts)))

    def fail(self, refusal: Refusal) -> None:
        """Answer the request with a refusal."""
        self.dropped = True
        self._settle(lambda: self.future.set_exception(refusal))

    def _settle(self, hand_over: Callable[[], None]) -> None:
        # Nobody waits in a loop that has been closed.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(lambda: None if self.future.done() else hand_over())


@dataclass(frozen=True)
class Share:
    """Adjacent questions of a job in a batch."""

    job: Job
    start: int
    stop: int

    @property
    def questions(self) -> Sequence[Question]:
        """The questions."""
        return self.job.questions[self.start : self.stop]

    @property
    def encoded(self) -> list[EncodedQuestion]:
        """What the model reads of them."""
        return self.job.encoded[self.start : self.stop]

    @property
    def tokens(self) -> int:
        """How many tokens they have."""
        return sum(encoded.tokens for encoded in self.encoded)

    @property
    def cost(self) -> int:
        """What they cost in a batch."""
        return self.tokens + QUESTION_COST * (self.stop - self.start)


def rows_of(scored: Scored, start: int, stop: int) -> Scored:
    """Return the rows of some of the questions that were scored."""
    return replace(scored, **{name: values[start:stop] for name, values in _columns(scored).items()})


def _concatenate(parts: Sequence[Scored]) -> Scored:
    columns = [_columns(part) for part in parts]
    return replace(parts[0], **{name: np.concatenate([column[name] for column in columns]) for name in columns[0]})


def _columns(scored: Scored) -> dict[str, Any]:
    """Return the fields of `Scored` that have an entry per question."""
    named = {column.name: getattr(scored, column.name) for column in fields(scored)}
    return {name: values for name, values in named.items() if values is not None}


def count_characters(question: Question) -> int:
    """Return the characters of a question with its options."""
    return len(question.text) + sum(map(len, question.options))
