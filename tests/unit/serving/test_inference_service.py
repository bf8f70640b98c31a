"""The service: what a client that leaves costs, overload, reload, and sentences."""

from __future__ import annotations

import gc
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.serving import (
    POISON,
    FakeClassifier,
    WritingClassifier,
    check_refused,
    fake_model,
    serving,
    serving_fake,
    wait_until,
)
from subjectwise.serving.app import create_app
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.settings import ServerSettings

KEY = "a-key-of-some-length"


def test_overload_and_deadlines() -> None:
    fake = FakeClassifier(blocked=True)
    settings = ServerSettings(limits=Limits(waiting=2, deadline=0.4))
    with serving_fake(fake, settings) as client, ThreadPoolExecutor(8) as pool:
        first = pool.submit(client.post, "/predict", json={"inputs": "a"})
        wait_until(lambda: fake.batches)
        waiting = [pool.submit(client.post, "/predict", json={"inputs": "a"}) for _ in range(2)]
        wait_until(lambda: "waiting_questions 2.0" in client.get("/metrics").text)
        response = check_refused(client.post("/predict", json={"inputs": "a"}), 429, kind="overloaded")
        assert int(response.headers["Retry-After"]) >= 1
        assert client.get("/health").status_code == 200
        for late in (first, *waiting):
            check_refused(late.result(), 504, "0.4 seconds")
        fake.free.set()
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200
        assert fake.batches == [["a"], ["a"]], "what came too late is not computed"


def test_a_model_that_fails() -> None:
    with serving_fake() as client:
        check_refused(client.post("/predict", json={"inputs": POISON}), 424, kind="backend")
        check_refused(client.post("/classify", json={"inputs": POISON}), 500, kind="backend")


def test_the_old_model_is_freed_while_the_server_is_idle() -> None:
    models: list[weakref.ref[FakeClassifier]] = []

    def load() -> LoadedModel:
        classifier = FakeClassifier()
        classifier.itself = classifier  # type: ignore[attr-defined]
        models.append(weakref.ref(classifier))
        return fake_model(classifier)

    gc.disable()
    try:
        with serving(create_app(load, ServerSettings(api_keys=(KEY,)))) as client:
            client.headers["X-API-Key"] = KEY
            client.post("/v1/classify", json={"questions": ["a", "b"], "explain": True})
            for _ in range(2):
                client.post("/v1/reload")
            assert [model() is None for model in models] == [True, True, False]
    finally:
        gc.enable()


def test_a_sentence_delays_no_classification() -> None:
    writing = WritingClassifier()
    writing.writes.clear()
    wished = {"questions": ["a"] * 2, "explain": True, "sentence": True}
    with serving_fake(writing) as client, ThreadPoolExecutor(4) as pool:
        sentences = [pool.submit(client.post, "/v1/classify", json=wished) for _ in range(3)]
        wait_until(writing.writing.is_set)
        for _ in range(3):
            assert client.post("/classify", json={"inputs": "b"}).status_code == 200
        assert not any(request.done() for request in sentences)
        writing.writes.set()
        assert [request.result().status_code for request in sentences] == [200] * 3


def test_a_sentence_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = WritingClassifier()
    monkeypatch.setattr(writing, "write_sentence", FakeClassifier().write_sentence)
    wished = {"questions": ["a"], "explain": True, "sentence": True}
    with serving_fake(writing) as client:
        check_refused(client.post("/v1/classify", json=wished), 500, "Leave out sentence", kind="backend")


def test_a_client_that_leaves_is_not_waited_for() -> None:
    fake = FakeClassifier(blocked=True)
    with serving_fake(fake) as client, ThreadPoolExecutor(1) as pool:
        pool.submit(client.post, "/classify", json={"inputs": "first"})
        wait_until(lambda: fake.batches)
        body = b'{"inputs": "left"}'
        head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.sendall(head.encode() + b"\r\n\r\n" + body)
            wait_until(lambda: "waiting_questions 1.0" in client.get("/metrics").text)
        wait_until(lambda: "waiting_questions 0.0" in client.get("/metrics").text)
        fake.free.set()
        assert client.post("/classify", json={"inputs": "next"}).status_code == 200
        assert fake.batches == [["first"], ["next"]]


def test_a_model_is_loaded_again() -> None:
    loads: list[LoadedModel | Exception] = [
        fake_model(FakeClassifier(0.6)), fake_model(), RuntimeError("/secret/folder is damaged"),
    ]  # fmt: skip

    def load() -> LoadedModel:
        model = loads.pop(0)
        if isinstance(model, Exception):
            raise model
        return model

    with serving(create_app(load, ServerSettings(api_keys=(KEY,)))) as client:
        client.headers["X-API-Key"] = KEY
        asked = {"questions": ["a"]}
        assert client.post("/v1/classify", json=asked).json()["model"]["version"] == "0.60.60.60.6"
        assert client.post("/v1/reload").json() == {"name": "fake", "version": "0.750.750.75"}
        check_refused(client.post("/v1/reload"), 409, "the old one stays")
        answer = client.post("/v1/classify", json=asked).json()
        assert answer["model"]["version"] == "0.750.750.75" and answer["results"][0]["label"] == "even"
        assert 'subjectwise_model{name="fake",version="0.750.750.75"} 1.0' in client.get("/metrics").text
