"""Joins the parts of one server: the queue, its limits, its counters, and how its model is loaded again."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from subjectwise.errors import SubjectwiseError
from subjectwise.records import Explanation, Question, show_options
from subjectwise.serving.access_log import LOGGER
from subjectwise.serving.answering import Answer, AnswerOptions, answer_questions
from subjectwise.serving.error_responses import Conflict, Failed, Gone
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.middleware.request_id import log_fields
from subjectwise.serving.prometheus import Metrics
from subjectwise.serving.request_questions import QuestionText, read_questions
from subjectwise.serving.request_queue import RequestQueue
from subjectwise.serving.settings import ServerSettings

_log = logging.getLogger(LOGGER)


class InferenceService:
    """What the routes call.

    Args:
        load: loads the model; called once now, and again at each reload.
        settings: of the server.

    Attributes:
        stopping: whether the process is about to end; requests that still arrive are answered.
        answered: how many questions were answered.
    """

    def __init__(self, load: Callable[[], LoadedModel], settings: ServerSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.answered = 0
        self.stopping = False
        self._load = load
        self._reloading = asyncio.Lock()
        # A thread of its own, so that a sentence of some seconds delays no classification.
        self._sentences = ThreadPoolExecutor(1, thread_name_prefix="sentences")
        model = load()
        self.queue = RequestQueue(model, settings.limits, self.metrics.batch)
        self.metrics.watch_queue(lambda: self.queue.waiting)
        self.metrics.model(model.name, model.version)

    @property
    def model(self) -> LoadedModel:
        """The model that answers the next request."""
        return self.queue.model

    def start(self) -> None:
        """Begin to answer."""
        self.queue.start()

    async def close(self) -> None:
        """Answer what was accepted, and end."""
        await self.queue.close()
        self._sentences.shutdown()

    def read(self, texts: Sequence[QuestionText], with_options: bool | None = None) -> list[Question]:
        """Return the questions of a request as the model is shown them.

        Args:
            texts: as the client sent them.
            with_options: whether the model sees their answer options; None for the model's own setting.

        Raises:
            Refusal: one of them cannot be read, or there are none or too many.
        """
        shown = self.model.classifier.reads_options if with_options is None else with_options
        return show_options(read_questions(texts, self.settings.most_questions), shown)

    async def answer(
        self, request: Request, questions: Sequence[Question], options: AnswerOptions | None = None
    ) -> Answer:
        """Answer a request; what its client no longer waits for is not computed.

        Raises:
            Refusal: there is no answer, and why.
        """
        log_fields(request.scope, questions=len(questions))
        if self.settings.log_questions:
            log_fields(request.scope, texts=[question.text for question in questions])
        answering = asyncio.ensure_future(answer_questions(self.queue, questions, options, self._write_sentence))
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise Gone("The client has closed the connection.")
            answer = answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
        self.count(answer)
        return answer

    def count(self, answer: Answer) -> None:
        """Count the answers of a request."""
        self.metrics.answers(answer.predictions)
        self.answered += len(answer.predictions)

    async def reload(self) -> LoadedModel:
        """Load the model again and let it answer from the next request on; if that fails, the old one stays.

        Raises:
            Conflict: the model cannot be loaded, or is being loaded already.
        """
        if self._reloading.locked():
            raise Conflict("The model is being loaded already.")
        async with self._reloading:
            try:
                model = await asyncio.to_thread(self._load)
            except Exception as error:
                reason = str(error) if isinstance(error, SubjectwiseError) else type(error).__name__
                _log.error("reload failed", extra={"fields": {"reason": reason}})
                raise Conflict("The model cannot be loaded; the old one stays, and the log has the reason.") from error
            self.queue.exchange(model)
            # A model has references to itself, and an idle server may not come to collect it for hours.
            await asyncio.to_thread(gc.collect)
            self.metrics.model(model.name, model.version)
            _log.info("reloaded", extra={"fields": {"model": model.name, "version": model.version}})
            return model

    async def _write_sentence(self, model: LoadedModel, explanation: Explanation) -> str:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._sentences, model.classifier.write_sentence, explanation)
        except Exception as error:
            _log.error("failed", exc_info=error)
            raise Failed("The sentence cannot be written; the log has the cause. Leave out sentence.") from error


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def service_of(request: Request) -> InferenceService:
    """Return the service that a request is for."""
    service: InferenceService = request.app.state.service
    return service
