"""A classifier that is not a model, a real server around it, and what a refusal looks like."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from subjectwise.errors import BaseModelError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.records import EncodedQuestion, Explanation, Question, Scored, as_question
from subjectwise.serving.app import create_app
from subjectwise.serving.loaded_model import LoadedModel, describe
from subjectwise.serving.server import HttpServer, bind
from subjectwise.serving.settings import ServerSettings
from subjectwise.types import Progress

# A question with this text fails.
POISON = "poison"


class FakeClassifier(ScoreBasedClassifier):
    """Gives its first label the probability `share`.

    A question has one token, and one more per four characters; above 1,000 tokens it is cut. The classifier keeps what
    it was asked.

    Args:
        share: also its version.
        blocked: wait with each batch until `free` is set.
    """

    temperature = 1.0
    thresholds: Mapping[str, float] = {}
    warning = ""
    reads_options = False
    prior: Sequence[float] = ()
    labels = LabelSet(("even", "odd"))

    def __init__(self, share: float = 0.75, blocked: bool = False) -> None:
        self.share = share
        self.weights_sha256 = f"{share}" * 10
        self.batches: list[list[str]] = []
        self.encoded: list[str] = []
        self.free = threading.Event()
        if not blocked:
            self.free.set()

    @property
    def classes_(self) -> npt.NDArray[Any]:  # type: ignore[override]
        return np.array(self.labels.names)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        self.encoded += [question.text for question in questions]
        tokens = [_tokens(question.text) for question in questions]
        return [EncodedQuestion([], min(count, 1000), truncated=count > 1000) for count in tokens]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        texts = [as_question(question).text for question in questions]
        if encoded is not None:
            assert [item.tokens for item in encoded] == [min(_tokens(text), 1000) for text in texts]
        self.batches.append(texts)
        self.free.wait(10)
        if POISON in texts:
            raise RuntimeError("secret")
        return Scored(np.array([[self.share, 1 - self.share]] * len(texts)), np.ones(len(texts)))

    def load_sentence_writer(self) -> None:
        raise BaseModelError("The base in /root/base cannot write.")


def _tokens(text: str) -> int:
    return 1 + len(text) // 4


class WritingClassifier(FakeClassifier):
    """A fake that writes sentences; waits with each until `writes` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.writing = threading.Event()
        self.writes = threading.Event()
        self.writes.set()

    def load_sentence_writer(self) -> None:
        self.loads += 1

    def write_sentence(self, explanation: Explanation) -> str:
        self.writing.set()
        self.writes.wait(10)
        return f"This is {explanation.label} because it is."


def fake_model(classifier: FakeClassifier | None = None) -> LoadedModel:
    """A fake as the server shows it; one that writes sentences does so."""
    return describe(classifier or FakeClassifier(), "fake", sentences=isinstance(classifier, WritingClassifier))


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """A client of a real server on a free port of this machine."""
    bound = bind("127.0.0.1", 0)
    server = HttpServer(app, app.state.service)
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


@contextmanager
def serving_fake(
    classifier: FakeClassifier | None = None, settings: ServerSettings | None = None
) -> Iterator[httpx.Client]:
    """A client of a server with a fake."""
    with serving(create_app(lambda: fake_model(classifier), settings)) as client:
        yield client


def check_refused(response: httpx.Response, status: int, part: str = "", kind: str = "") -> httpx.Response:
    """Assert a refusal: one sentence, its kind, and nothing of the machine."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert set(body) - {"request_id"} == {"error", "error_type"}
    assert part in body["error"] and "\n" not in body["error"]
    assert not kind or body["error_type"] == kind
    for leak in ("Traceback", "/work", "/tmp", "/root", "site-packages", ".py", "pydantic"):
        assert leak not in response.text
    return response


def connect(client: httpx.Client) -> socket.socket:
    """A raw connection to the server of a client."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10)


def read_response(raw: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers (in lower case) and the body of the next response."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = raw.recv(4096)
        assert part, f"closed after {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += raw.recv(4096)
    return int(first.split()[1]), headers, body


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition holds."""
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError("the condition never held")
