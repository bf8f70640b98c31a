"""Puts the questions of many requests into batches for one model thread. Knows no HTTP, decisions or explanations.

An idle model starts at once; while it computes, questions gather. Two rules fill a batch: those requests come first
that have least left to compute (shortest remaining time), so that a single question comes before the rest of a long
list, and lists are finished one after the other and not all at their deadline; and a quarter is for the oldest request,
so that none starves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence

from subjectwise.errors import QuestionError, SubjectwiseError
from subjectwise.records import Question, Scored
from subjectwise.serving.accepted_request import AcceptedRequest, Job, Share, rows_of
from subjectwise.serving.access_log import LOGGER
from subjectwise.serving.batch_pace import BATCH_COST, QUESTION_COST, BatchPace
from subjectwise.serving.error_responses import Failed, Overloaded, Refusal, Stopping, TooLate, Untokenizable
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import LoadedModel

_log = logging.getLogger(LOGGER)

# The part of a batch for the oldest request.
OLDEST_SHARE = 0.25

# Clients that have been answered ask again within this time, in seconds; their questions join those that wait.
COALESCING_SECONDS = 0.004

_LONGEST_RETRY = 60

# How much longer the queue is for single questions: by this part.
_SINGLE_PART = 8

# Least cost of a full batch, however slow the machine: smaller batches would cost much more per question.
_LEAST_BATCH = 4 * BATCH_COST


class RequestQueue:
    """One model thread and the questions that wait for it.

    Args:
        model: answers until `exchange` gives another.
        limits: how much may wait, for how long, and how much is computed at once.
        on_batch: called in the model thread with the number of questions and of tokens of each batch.
        clock: returns seconds, by which batches are measured.
    """

    def __init__(
        self,
        model: LoadedModel,
        limits: Limits | None = None,
        on_batch: Callable[[int, int], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limits = limits or Limits()
        self._model = model
        self._on_batch = on_batch
        self._clock = clock
        self._requests: list[AcceptedRequest] = []  # oldest first
        self._jobs: list[Job] = []
        self._oldest_credit = 0.0
        self._completed = 0  # jobs that the last batch completed
        self._others = 0  # those that waited when it did
        self._pace = BatchPace()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    @property
    def model(self) -> LoadedModel:
        """The model that answers the next request."""
        return self._model

    @property
    def waiting(self) -> int:
        """How many questions of accepted requests are in no batch yet."""
        return sum(request.waiting for request in list(self._requests))

    @property
    def busy(self) -> bool:
        """Whether an accepted request waits for its answer."""
        return bool(self._requests)

    @property
    def alive(self) -> bool:
        """Whether the model thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the model thread."""
        self._thread.start()

    def exchange(self, model: LoadedModel) -> None:
        """Let `model` answer from the next request on."""
        self._model = model

    @contextlib.asynccontextmanager
    async def accept(
        self, questions: Sequence[Question], further: int = 0, whole: bool = False, explain: bool = False
    ) -> AsyncIterator[AcceptedRequest]:
        """Accept a request, whose questions are then scored within the deadline.

        Args:
            questions: of the request.
            further: how many more it may score, to explain them.
            whole: refuse it where a question is longer than the model reads, instead of cutting its middle.
            explain: answer it as questions are answered that are to be explained.

        Raises:
            Overloaded: too much is waiting already.
            Stopping: `close` has been called.
            TooLate: the deadline has passed.
        """
        model = self._model.explainer if explain else self._model
        request = AcceptedRequest(model, questions, further, self._compute, whole)
        with self._changed:
            self._check_room(request)
            self._requests.append(request)
        try:
            async with asyncio.timeout(self.limits.deadline):
                yield request
        except TimeoutError:
            raise TooLate(
                f"No answer within {self.limits.deadline:g} seconds; ask fewer questions per request."
            ) from None
        finally:
            with self._changed:
                self._requests.remove(request)
                self._changed.notify()

    async def close(self) -> None:
        """Refuse new requests, answer those that were accepted, and end the model thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _check_room(self, request: AcceptedRequest) -> None:
        if self._closing or not self.alive:
            raise Stopping("The server is stopping; ask again later.")
        waiting = [other for other in self._requests if other.waiting]
        characters = sum(other.characters for other in waiting)
        room = self.limits.waiting
        if request.waiting == 1:
            # Lists that fill the queue keep out no single question, which waits for none of them.
            room += self.limits.waiting // _SINGLE_PART
        full = self.waiting + request.waiting > room
        if waiting and (full or characters + request.characters > self.limits.waiting_characters):
            cost = sum(other.waiting * other.cost_per_question for other in waiting)
            seconds = min(max(math.ceil(self._pace.seconds(cost)), 1), _LONGEST_RETRY)
            raise Overloaded(
                f"Too many questions are waiting; ask again in {seconds} seconds.", {"Retry-After": str(seconds)}
            )

    async def _compute(self, request: AcceptedRequest, questions: Sequence[Question]) -> Scored:
        loop = asyncio.get_running_loop()
        job = Job(request, questions, loop, loop.create_future())
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await job.future
        finally:
            job.dropped = True
            with self._changed:
                self._jobs.remove(job)

    # What follows runs in the model thread.

    def _run(self) -> None:
        while True:
            try:
                if not self._wait():
                    return
                self._compute_batch()
            except Exception as error:
                # A fault outside the model, such as in `on_batch`: whoever waits is answered, and the thread lives on.
                refusal = failure(error)
                with self._changed:
                    jobs = list(self._jobs)
                for job in jobs:
                    job.fail(refusal)

    def _wait(self) -> bool:
        """Wait for questions; return False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._count_ready() or (self._closing and not self._requests))
            if self._completed and (self._others or self._completed > 1):
                together = self._others + self._completed
                self._changed.wait_for(lambda: self._count_ready() >= together or self._closing, COALESCING_SECONDS)
            return self._count_ready() > 0 or bool(self._requests) or not self._closing

    def _count_ready(self) -> int:
        return sum(job.ready for job in self._jobs)

    def _compute_batch(self) -> None:
        batch = self._next_batch()
        self._completed = sum(not job.ready for job in {share.job for share in batch})
        if not batch:
            return
        count = sum(len(share.questions) for share in batch)
        tokens = sum(share.tokens for share in batch)
        if self._on_batch:
            self._on_batch(count, tokens)
        requests = {share.job.request for share in batch}
        for request in requests:
            request.start()
        started = self._clock()
        for model in {request.model for request in requests}:
            self._score(model, [share for share in batch if share.job.request.model is model])
        seconds = self._clock() - started
        for request in requests:
            request.usage.compute_seconds += seconds
        self._pace.add(seconds, BATCH_COST + QUESTION_COST * count + tokens)

    def _next_batch(self) -> list[Share]:
        with self._changed:
            jobs = [job for job in self._jobs if job.ready]
            age = {request: number for number, request in enumerate(self._requests)}
        batch: list[Share] = []
        # What lists may have, so that a single question does not wait for long. Single questions themselves may have
        # more: one that waits for others of its kind gains nothing by smaller batches.
        timely = max(self._pace.cost(self.limits.batch_seconds) - BATCH_COST, _LEAST_BATCH)
        room, left = float(self.limits.tokens), min(self.limits.tokens, timely)
        share = OLDEST_SHARE * left if len(jobs) > 1 else 0.0
        left -= share
        # 1) Least left first.
        jobs.sort(key=lambda job: job.request.waiting * job.request.cost_per_question)
        for job in jobs:
            cost = self._take(batch, job, room if len(job.questions) == 1 else min(left, room), at_least_one=not batch)
            room, left = room - cost, left - cost
        # 2) The share of the oldest request. Credit that is too little for its next question is kept.
        if share:
            oldest = min(jobs, key=lambda job: age.get(job.request, len(age)))
            self._oldest_credit += max(share, OLDEST_SHARE * (self.limits.tokens - room))
            self._oldest_credit -= self._take(batch, oldest, self._oldest_credit)
            if not oldest.ready:
                self._oldest_credit = 0.0
        return batch

    def _take(self, batch: list[Share], job: Job, budget: float, at_least_one: bool = False) -> float:
        """Add the next questions of a job to the batch, of at most the cost `budget`; return what they cost."""
        cost, count = 0.0, 0
        while not job.dropped and job.taken + count < len(job.questions):
            if job.taken + count == len(job.encoded):
                try:
                    job.encode_next()
                except Exception as error:
                    job.fail(failure(error))
                    return 0.0
            more = job.encoded[job.taken + count].tokens + QUESTION_COST
            if cost + more > budget and (cost or not at_least_one):
                break
            cost, count = cost + more, count + 1
        if count and not job.dropped:
            batch.append(job.take(count))
            return cost
        return 0.0

    def _score(self, model: LoadedModel, shares: Sequence[Share]) -> None:
        """Score a batch. If that fails, score each half, so that one question does not fail other requests."""
        questions = [question for share in shares for question in share.questions]
        encoded = [item for share in shares for item in share.encoded]
        try:
            scored = model.classifier.score(questions, encoded=encoded)
        except Exception as error:
            if len(shares) == 1:
                shares[0].job.fail(failure(error))
                return
            half = len(shares) // 2
            self._score(model, shares[:half])
            self._score(model, shares[half:])
            return
        with self._changed:
            self._others = self._count_ready()
        start = 0
        for share in shares:
            stop = start + len(share.questions)
            share.job.add(rows_of(scored, start, stop))
            start = stop


def failure(error: Exception) -> Refusal:
    """Return what the client is sent. An error of ours is a sentence about the request; any other stays in the log."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, QuestionError):
        return Untokenizable(str(error))
    if isinstance(error, SubjectwiseError):
        return Refusal(str(error))
    _log.error("failed", exc_info=error)
    return Failed("The model failed at this question; the log has the cause.")
