"""Gathers questions of many requests into batches for one model thread. Knows nothing of HTTP.

An idle model starts at once; while it is busy, questions gather. A batch takes the short requests first and keeps a
part for the long ones, which take turns: a long list holds up nobody's single question, and is not left waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from subjectwise.records import Prediction, Question
from subjectwise.serving.answer_batch import Answer, AnswerOptions, classify, failure, finish
from subjectwise.serving.error_responses import Overloaded, Refusal, Stopping, TooLate
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import ServedModel

# The part of a batch that is for long requests, where any wait.
_FOR_LONG = 0.25

# Clients that were answered together ask again within this time, in seconds; their questions make one batch.
GATHERING = 0.004


@dataclass(eq=False)
class _Job:
    questions: Sequence[Question]
    settings: AnswerOptions
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer]
    served: ServedModel | None = None
    tokens: list[int] = field(default_factory=list)
    taken: int = 0
    found: list[Prediction] = field(default_factory=list)
    dropped: bool = False

    def __post_init__(self) -> None:
        self.characters = sum(len(question.text) + sum(map(len, question.options)) for question in self.questions)

    def fitting(self, tokens: int) -> int:
        """How many of the next questions have no more than `tokens` together."""
        sums = itertools.accumulate(self.tokens[self.taken :])
        return sum(1 for _ in itertools.takewhile(lambda total: total <= tokens, sums))

    def keep(self, prediction: Prediction | Refusal) -> bool:
        """Notes the next question's prediction; true where it was the last."""
        if self.dropped:
            return False
        if isinstance(prediction, Refusal):
            self.dropped = True
            self.settle(prediction)
            return False
        self.found.append(prediction)
        return len(self.found) == len(self.questions)

    def finish(self) -> Answer:
        assert self.served is not None
        return finish(self.served, self.questions, self.found, self.settings, lambda: not self.dropped)

    def settle(self, result: Answer | Refusal) -> None:
        def hand_over() -> None:
            if self.future.done():
                return
            if isinstance(result, Answer):
                self.future.set_result(result)
            else:
                self.future.set_exception(result)

        # A loop that has been closed has nobody who waits.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(hand_over)


@dataclass(frozen=True)
class _Item:
    job: _Job
    question: Question


class RequestQueue:
    """One model thread and the questions that wait for it.

    Args:
        served: answers until `exchange` gives another.
        on_batch: told the number of questions and of tokens of each batch, in the model thread.
    """

    def __init__(
        self, served: ServedModel, limits: Limits | None = None, on_batch: Callable[[int, int], None] | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._served = served
        self._on_batch = on_batch
        self._short: deque[_Job] = deque()
        self._long: deque[_Job] = deque()
        self._waiting = 0
        self._characters = 0
        self._last_size = 0
        self._pace = 0.05  # seconds a question
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    @property
    def served(self) -> ServedModel:
        return self._served

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return self._waiting

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def exchange(self, served: ServedModel) -> None:
        """Requests that have not begun are answered by `served`; those that have, by the model they began with."""
        self._served = served

    async def submit(self, questions: Sequence[Question], settings: AnswerOptions | None = None) -> Answer:
        """The answer to one request's questions. Cancel it, and what has not been computed never is.

        Raises:
            Overloaded: too much waits already.
            Stopping: `close` has been called.
            TooLate: the deadline has passed.
            Failed: the model failed at one of the questions.
        """
        loop = asyncio.get_running_loop()
        job = _Job(questions, settings or AnswerOptions(), loop, loop.create_future())
        self._enter(job)
        try:
            async with asyncio.timeout(self.limits.deadline):
                return await job.future
        except TimeoutError:
            raise TooLate(
                f"No answer within {self.limits.deadline:g} seconds; ask fewer questions at a time."
            ) from None
        finally:
            self._leave(job)

    async def close(self) -> None:
        """Refuses new requests, answers those that wait, and ends the model thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _enter(self, job: _Job) -> None:
        with self._changed:
            if self._closing or not self.alive:
                raise Stopping("The server is stopping; ask again in a while.")
            full = self._waiting + len(job.questions) > self.limits.waiting
            if self._waiting and (full or self._characters + job.characters > self.limits.waiting_characters):
                seconds = min(max(math.ceil(self._waiting * self._pace), 1), 60)
                raise Overloaded(
                    f"Too many questions wait already; ask again in {seconds} seconds.", {"Retry-After": str(seconds)}
                )
            self._queue(job).append(job)
            self._waiting += len(job.questions)
            self._characters += job.characters
            self._changed.notify()

    def _leave(self, job: _Job) -> None:
        """Forgets what is left of a job that nobody waits for any more."""
        with self._changed:
            job.dropped = True
            queue = self._queue(job)
            if job in queue:
                queue.remove(job)
                self._forget(job)

    def _queue(self, job: _Job) -> deque[_Job]:
        return self._short if job.characters <= 4 * self.limits.turn else self._long

    def _forget(self, job: _Job) -> None:
        self._waiting -= len(job.questions) - job.taken
        self._characters -= job.characters

    def _run(self) -> None:
        while self._wait():
            # Empty where all that waited has been dropped.
            if not (items := self._collect()):
                continue
            started = time.perf_counter()
            self._answer(items)
            spent = (time.perf_counter() - started) / len(items)
            self._pace += 0.2 * (spent - self._pace)

    def _wait(self) -> bool:
        """Waits for something to do; false at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._short or self._long or self._closing)
            if self._last_size > 1:
                self._changed.wait_for(lambda: self._waiting >= self._last_size or self._closing, GATHERING)
            return bool(self._short or self._long) or not self._closing

    def _collect(self) -> list[_Item]:
        """A batch of questions: short requests, then long ones in turn, then short ones again."""
        items: list[_Item] = []
        left = self.limits.tokens
        kept = int(left * _FOR_LONG) if self._long else 0
        for queue, reserved in ((self._short, kept), (self._long, 0), (self._short, 0)):
            left = self._fill(items, queue, left - reserved) + reserved
        self._last_size = len(items)
        if items and self._on_batch:
            self._on_batch(len(items), self.limits.tokens - left)
        return items

    def _fill(self, items: list[_Item], queue: deque[_Job], left: int) -> int:
        """Adds questions of at most `left` tokens, one at least to an empty batch; returns how many tokens are left."""
        while left > 0 and (job := self._take(queue)):
            # Tokens are counted outside the lock, for which the event loop waits.
            if job.dropped or not self._prepare(job):
                with self._changed:
                    self._forget(job)
                continue
            count = job.fitting(min(left, self.limits.turn))
            if not count and items and job.tokens[job.taken] > left:
                self._put_back(job, 0)
                break
            places = range(job.taken, job.taken + max(count, 1))
            items += [_Item(job, job.questions[place]) for place in places]
            left -= sum(job.tokens[place] for place in places)
            self._put_back(job, len(places))
        return left

    def _take(self, queue: deque[_Job]) -> _Job | None:
        with self._changed:
            return queue.popleft() if queue else None

    def _put_back(self, job: _Job, taken: int) -> None:
        """What is left of the job waits for its next turn; where none was taken, for the next batch."""
        with self._changed:
            job.taken += taken
            self._waiting -= taken
            if job.taken == len(job.questions):
                self._characters -= job.characters
            elif taken:
                self._queue(job).append(job)
            else:
                self._queue(job).appendleft(job)

    def _prepare(self, job: _Job) -> bool:
        """Settles which model answers the job and counts its tokens; false where that fails."""
        if job.served is None:
            job.served = self._served
            try:
                job.tokens = job.served.count_tokens(job.questions, job.settings.with_options)
            except Exception as error:
                job.settle(failure(error))
                return False
        return True

    def _answer(self, items: Sequence[_Item]) -> None:
        groups: dict[tuple[ServedModel, bool | None], list[_Item]] = {}
        for item in items:
            assert item.job.served is not None
            groups.setdefault((item.job.served, item.job.settings.with_options), []).append(item)
        done = []
        for (served, with_options), group in groups.items():
            found = classify(served, [item.question for item in group], with_options)
            done += [item.job for item, prediction in zip(group, found, strict=True) if item.job.keep(prediction)]
        # Those that ask for explanations come last: they take long.
        for job in sorted(done, key=lambda job: job.settings.explain):
            try:
                job.settle(job.finish())
            except Exception as error:
                job.settle(failure(error))
