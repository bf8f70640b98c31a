"""Predictors that are not models, and a real server around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import uvicorn

from subjectwise.errors import BaseModelError
from subjectwise.labels import LabelSet
from subjectwise.records import EncodedQuestion, Explanation, Question, Scored, as_question
from subjectwise.score_based_classifier import ScoreBasedClassifier
from subjectwise.serving.loaded_model import ServedModel, describe
from subjectwise.serving.server import bind
from subjectwise.types import Progress


class Fake(ScoreBasedClassifier):
    """Answers with the probability that its first label has; waits with each batch until it is released."""

    temperature = 1.0
    thresholds: Mapping[str, float] = {}
    warning = ""
    reads_options = False
    prior: Sequence[float] = ()
    labels = LabelSet(("even", "odd"))

    def __init__(self, share: float = 0.75, held: bool = False) -> None:
        self.share = share
        self.weights_sha256 = f"{share}" * 10
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        if not held:
            self.free.set()

    @property
    def classes_(self) -> npt.NDArray[Any]:  # type: ignore[override]
        return np.array(self.labels.names)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        return [EncodedQuestion([], 1 + len(question.text) // 4) for question in questions]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        texts = [as_question(question).text for question in questions]
        self.batches.append(texts)
        self.free.wait(10)
        if "poison" in texts:
            raise RuntimeError("secret")
        return Scored(np.array([[self.share, 1 - self.share]] * len(texts)), np.ones(len(texts)))

    def _write_sentence(self, explanation: Explanation) -> str:
        raise BaseModelError("The base in /root/base cannot write.")


Explaining = Fake


def serve_fake(fake: Fake) -> ServedModel:
    return describe(fake, "fake")


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """A client of a real server on a free port of this machine."""
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
