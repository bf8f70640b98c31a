"""One server's parts together: the batcher, its limits, its counters, and how its model is loaded again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from starlette.requests import Request

from subjectwise.errors import QuestionError, SubjectwiseError
from subjectwise.records import MAX_CHARACTERS, Question
from subjectwise.serving.answer_batch import Answer, AnswerOptions
from subjectwise.serving.error_responses import Conflict, Gone, Refusal, TooLarge
from subjectwise.serving.loaded_model import ServedModel
from subjectwise.serving.middleware.request_id import log_fields
from subjectwise.serving.prometheus import Metrics
from subjectwise.serving.request_queue import RequestQueue
from subjectwise.serving.settings import ServerSettings

_log = logging.getLogger("subjectwise.serving")


class InferenceService:
    """What the routes ask.

    Args:
        load: loads the model; called once now, and again at each reload.

    Attributes:
        stopping: whether the process is about to end; requests that still come are answered.
    """

    def __init__(self, load: Callable[[], ServedModel], settings: ServerSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._load = load
        self._reloading = asyncio.Lock()
        self.answered = 0
        self.stopping = False
        served = load()
        self.batcher = RequestQueue(served, settings.limits, self.metrics.batch)
        self.metrics.watch_queue(lambda: self.batcher.waiting)
        self.metrics.model(served.name, served.version)

    @property
    def served(self) -> ServedModel:
        return self.batcher.served

    def read(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[Question]:
        """Texts and their options as questions.

        Raises:
            Refusal: one of them cannot be read, or there are none or too many.
        """
        if not questions:
            raise Refusal("There is no question; give at least one.")
        if len(questions) > self.settings.most_questions:
            raise TooLarge(f"There are {len(questions)} questions; the limit is {self.settings.most_questions}.")
        found = []
        for number, (text, options) in enumerate(questions, start=1):
            place = f"Question {number}: " if len(questions) > 1 else ""
            size = len(text) + sum(map(len, options))
            if size > MAX_CHARACTERS:
                raise TooLarge(f"{place}It has {size:,} characters; the limit is {MAX_CHARACTERS:,}.")
            try:
                found.append(Question(text, tuple(options)))
            except QuestionError as error:
                raise Refusal(place + str(error)) from error
        return found

    async def answer(
        self, request: Request, questions: Sequence[Question], settings: AnswerOptions | None = None
    ) -> Answer:
        """The batcher's answer; what the client no longer waits for is not computed.

        Raises:
            Refusal: there is no answer, and why.
        """
        log_fields(request.scope, questions=len(questions))
        if self.settings.log_questions:
            log_fields(request.scope, texts=[question.text for question in questions])
        asked = asyncio.ensure_future(self.batcher.submit(questions, settings))
        left = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((asked, left), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise Gone("The client has closed the connection.")
            answer = asked.result()
        finally:
            asked.cancel()
            left.cancel()
        self.metrics.answers(answer.predictions)
        self.answered += len(answer.predictions)
        return answer

    async def reload(self) -> ServedModel:
        """Loads the model again and lets it answer from the next request on; where that fails, the old one stays.

        Raises:
            Conflict: the model cannot be loaded, or is being loaded already.
        """
        if self._reloading.locked():
            raise Conflict("The model is being loaded already.")
        async with self._reloading:
            try:
                served = await asyncio.to_thread(self._load)
            except Exception as error:
                reason = str(error) if isinstance(error, SubjectwiseError) else type(error).__name__
                _log.error("reload failed", extra={"fields": {"reason": reason}})
                raise Conflict("The model cannot be loaded, so the one before stays; the log says why.") from error
            self.batcher.exchange(served)
            self.metrics.model(served.name, served.version)
            _log.info("reloaded", extra={"fields": {"model": served.name, "version": served.version}})
            return served


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
