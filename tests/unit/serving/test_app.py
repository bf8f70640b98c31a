"""The three HTTP contracts, met by httpx on a real server; what is refused, and what an answer never says."""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from helpers.serving import Explaining, Fake, serve_fake, serving
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.serving.access_log import JsonLines
from subjectwise.serving.app import create_app
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import ServedModel, load_served
from subjectwise.serving.routes import page
from subjectwise.serving.settings import ServerSettings

QUESTION = "What is a photon and how does it differ from a lens?"
KEY = "a-key-of-some-length"


@pytest.fixture(scope="module")
def served(tiny_model: Path) -> ServedModel:
    return load_served(str(tiny_model), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def client(served: ServedModel) -> Iterator[httpx.Client]:
    with serving(create_app(lambda: served)) as found:
        yield found


def classifier_of(served: ServedModel) -> Classifier:
    return cast(Classifier, served.classifier)


def refused(response: httpx.Response, status: int, part: str = "") -> dict[str, Any]:
    """One sentence, its kind, and nothing of the machine."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert set(body) - {"request_id"} == {"error", "error_type"}
    assert part in body["error"] and "\n" not in body["error"]
    for leak in ("Traceback", "/work", "/tmp", "/root", "site-packages", ".py", "pydantic"):
        assert leak not in response.text
    return body


def test_the_contract_of_llm_routers(client: httpx.Client, served: ServedModel) -> None:
    response = client.post("/classify", json={"inputs": QUESTION, "parameters": {"top_k": 1}})
    rows = response.json()
    assert response.status_code == 200 and all(set(row) == {"label", "score"} for row in rows)
    assert sorted(row["label"] for row in rows) == sorted(served.labels)
    assert sum(row["score"] for row in rows) == pytest.approx(1, abs=0.02)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    expected = classifier_of(served).classify(QUESTION)
    assert {row["label"]: row["score"] for row in rows} == pytest.approx(expected.scores, abs=1e-5)


def test_the_contract_of_text_embeddings_inference(client: httpx.Client, served: ServedModel) -> None:
    single = client.post("/predict", json={"inputs": QUESTION}).json()
    assert single[0]["label"] == classifier_of(served).classify(QUESTION).label
    batch = client.post("/predict", json={"inputs": [[QUESTION], ["What is a tort?"]], "truncate": True}).json()
    assert [row["label"] for row in batch[0]] == [row["label"] for row in single] and len(batch) == 2
    raw = client.post("/predict", json={"inputs": QUESTION, "raw_scores": True, "truncate": None}).json()
    assert [math.exp(row["score"]) for row in raw] == pytest.approx([row["score"] for row in single], abs=1e-5)

    pairs: tuple[Any, ...] = (["a", "b"], [["a", "b"]], [["a"], "b"], [], [[]], 1, None)
    for pair in pairs:
        body = refused(client.post("/predict", json={"inputs": pair}), 422, "pairs")
        assert body["error_type"] == "validation"
    assert client.get("/health").status_code == 200 and not client.get("/health").content
    info = client.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {str(i): name for i, name in enumerate(served.labels)}
    assert info["model_sha"] == served.version and info["auto_truncate"] is True
    too_many = [["What is a tort?"]] * (info["max_client_batch_size"] + 1)
    assert refused(client.post("/predict", json={"inputs": too_many}), 413)["error_type"] == "validation"


def test_our_own_contract(client: httpx.Client, served: ServedModel) -> None:
    rows = make_rows()[:3]
    body = {
        "questions": [rows[0]["question"], {"text": rows[1]["question"], "options": rows[1]["options"]}],
        "with_options": True, "top_k": 2, "multi_label": True, "min_confidence": 1.0, "explain": False,
    }  # fmt: skip
    response = client.post("/v1/classify", json=body, headers={"X-Request-ID": "mine-1"})
    found = response.json()
    assert found["model"] == {"name": "tiny", "version": classifier_of(served).weights_sha256[:12]}
    assert found["request_id"] == response.headers["X-Request-ID"] == "mine-1"
    for result, row in zip(found["results"], rows, strict=False):
        assert result["question"] == row["question"] and result["label"] == "abstain" and result["best_label"]
        assert result["top"][0]["label"] == result["best_label"] and len(result["top"]) == 2
        assert result["labels"] == [] and 0 <= result["entropy"] <= 1
    plain = client.post("/v1/classify", json={"questions": [QUESTION]}).json()["results"][0]
    assert "best_label" not in plain and "entropy" not in plain and len(plain["top"]) == len(served.labels)
    assert "explanation" not in plain
    made = client.get("/health", headers={"X-Request-ID": "no good\x7f" * 30}).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_what_the_model_is(client: httpx.Client, served: ServedModel) -> None:
    facts = client.get("/v1/model").json()
    classifier = classifier_of(served)
    assert facts["name"] == "tiny" and facts["version"] == served.version
    assert [row["label"] for row in facts["labels"]] == list(served.labels)
    assert facts["temperature"] == classifier.temperature and facts["thresholds"] == dict(classifier.thresholds)
    assert facts["measured"]["validation"]["rows"] > 0
    assert facts["limits"]["questions"] == 128 and "/" not in json.dumps(facts["base"])


def test_explanations(client: httpx.Client) -> None:
    real = client.post("/v1/classify", json={"questions": [QUESTION], "explain": True}).json()["results"][0]
    assert real["explanation"]["evidence"] and real["label"] in json.dumps(real["explanation"])
    assert "sentence" not in real["explanation"]
    wished = {"questions": [QUESTION], "explain": True, "sentence": True}
    written = client.post("/v1/classify", json=wished).json()["results"][0]["explanation"]
    assert written["sentence"].startswith(f"This is {real['label']} because")
    refused(client.post("/v1/classify", json=wished | {"explain": False}), 422, "set explain as well")
    asked = {"questions": ["a", "b"], "explain": True}
    with serving(create_app(lambda: serve_fake(Explaining()))) as fake:
        results = fake.post("/v1/classify", json=asked).json()["results"]
        assert [result["explanation"] for result in results] == [{"about": "a"}, {"about": "b"}]
        refused(
            fake.post("/v1/classify", json={"questions": [{"text": "a", "options": ["b"] * 65}]}), 422, "64 options"
        )
        refused(fake.post("/v1/classify", json={"questions": ["a"] * 9, "explain": True}), 413, "8 questions")
        refused(fake.post("/v1/classify", json=asked | {"sentence": True}), 422, "writes no sentences")
    with serving(create_app(lambda: serve_fake(Fake()))) as mute:
        refused(mute.post("/v1/classify", json=asked), 422, "cannot explain")


@pytest.mark.parametrize(
    ("path", "good"),
    [("/classify", {"inputs": "a"}), ("/predict", {"inputs": "a"}), ("/v1/classify", {"questions": ["a"]})],
)
def test_bad_input_is_one_sentence(client: httpx.Client, path: str, good: dict[str, Any]) -> None:
    def with_text(text: str) -> dict[str, Any]:
        return {key: text if isinstance(value, str) else [text] for key, value in good.items()}

    as_json = {"Content-Type": "application/json"}
    assert client.post(path, json=good).status_code == 200
    refused(client.post(path, json=with_text("")), 422, "question is empty")
    refused(client.post(path, json=with_text(" \n ")), 422, "question is empty")
    refused(client.post(path, json=with_text("bell \x07")), 422, "control character")
    refused(client.post(path, json=with_text("x" * 50_001)), 413, "the limit is 50,000")
    refused(client.post(path, content=b'{"inputs": "\\ud800", "questions": ["\\ud800"]}', headers=as_json), 422)
    refused(client.post(path, content=b"{", headers=as_json), 422, "not JSON")
    refused(client.post(path, content=b"\xff\xfe{", headers=as_json), 400)
    refused(client.post(path, content=b"[" * 100_000, headers=as_json), 400)
    refused(client.post(path, content=b'{"a": ' + b"1" * 5000 + b"}", headers=as_json), 400)
    refused(client.post(path, content=json.dumps(good)), 422, "application/json")
    refused(client.post(path, json=[1]), 422, "JSON object")
    refused(client.post(path, content=b""), 422)
    refused(client.post(path, json={}), 422, "is missing")
    refused(client.post(path, json=dict.fromkeys(good, 1)), 422)
    refused(client.post(path, content=b" " * (1 << 20) + b"{}", headers=as_json), 413, "1,048,576 bytes")
    assert refused(client.get(path), 405)["error_type"] == "validation"
    refused(client.get(f"{path}/nothing"), 404)


def test_bad_settings_are_one_sentence(client: httpx.Client) -> None:
    def ask(**changes: Any) -> httpx.Response:
        return client.post("/v1/classify", json={"questions": ["a"], **changes})

    refused(ask(questions=[]), 422, "questions")
    refused(ask(questions=["a", 1]), 422, "Question 2 must be a text")
    refused(ask(questions=["a", {"text": "b", "option": []}]), 422, "Question 2")
    refused(ask(questions=["a", ""]), 422, "Question 2: The question is empty")
    refused(ask(questions=["a"] * 129), 413, "the limit is 128")
    refused(ask(top_k=0), 422, "top_k")
    refused(ask(top_k="3"), 422, "top_k")
    refused(ask(min_confidence=1.5), 422, "min_confidence")
    refused(ask(mn_confidence=0.5), 422, "mn_confidence is not known")
    for odd in ('"min_confidence": NaN', '"top_k": 1e999', '"\\ud800": 1', '"x\\u0000": 1', '"questions": {}'):
        body = f'{{"questions": ["a"], {odd}}}'
        refused(client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"}), 422)


def test_overload_and_deadlines() -> None:
    fake = Fake(held=True)
    settings = ServerSettings(limits=Limits(waiting=2, deadline=0.4))
    with serving(create_app(lambda: serve_fake(fake), settings)) as client, ThreadPoolExecutor(8) as pool:
        first = pool.submit(client.post, "/predict", json={"inputs": "a"})
        while not fake.batches:
            time.sleep(0.002)
        waiting = [pool.submit(client.post, "/predict", json={"inputs": "a"}) for _ in range(2)]
        while "waiting_questions 2.0" not in client.get("/metrics").text:
            time.sleep(0.002)
        response = client.post("/predict", json={"inputs": "a"})
        assert refused(response, 429)["error_type"] == "overloaded" and int(response.headers["Retry-After"]) >= 1
        assert client.get("/health").status_code == 200
        for late in (first, *waiting):
            refused(late.result(), 504, "0.4 seconds")
        fake.free.set()
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200
        assert fake.batches == [["a"], ["a"]], "what came too late is not computed"
        assert client.post("/predict", json={"inputs": "poison"}).status_code == 424
        assert refused(client.post("/classify", json={"inputs": "poison"}), 500)["error_type"] == "backend"


def test_a_client_that_leaves_is_not_waited_for() -> None:
    fake = Fake(held=True)
    with serving(create_app(lambda: serve_fake(fake))) as client:
        pool = ThreadPoolExecutor(1)
        pool.submit(client.post, "/classify", json={"inputs": "first"})
        while not fake.batches:
            time.sleep(0.002)
        body = b'{"inputs": "left"}'
        head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.sendall(head.encode() + b"\r\n\r\n" + body)
            while "waiting_questions 1.0" not in client.get("/metrics").text:
                time.sleep(0.002)
        while "waiting_questions 0.0" not in client.get("/metrics").text:
            time.sleep(0.002)
        fake.free.set()
        assert client.post("/classify", json={"inputs": "next"}).status_code == 200
        assert fake.batches == [["first"], ["next"]]
        pool.shutdown()


def test_a_slow_body_is_given_up() -> None:
    settings = ServerSettings(limits=Limits(deadline=0.2))
    with (
        serving(create_app(lambda: serve_fake(Fake()), settings)) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw,
    ):
        raw.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


def test_api_keys_and_reload(served: ServedModel) -> None:
    loads: list[ServedModel | Exception] = [served, serve_fake(Fake()), RuntimeError("/secret/folder is damaged")]

    def load() -> ServedModel:
        found = loads.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    with serving(create_app(load, ServerSettings(api_keys=("another-key", KEY)))) as client:
        for path in ("/health", "/docs", "/openapi.json", "/favicon.ico"):
            assert client.get(path).status_code == 200, path
        for path in ("/info", "/metrics", "/v1/model", "/nothing"):
            response = client.get(path)
            assert refused(response, 401)["error_type"] == "validation"
            assert response.headers["WWW-Authenticate"] == "Bearer"
        asked = {"inputs": QUESTION}
        refused(client.post("/classify", json=asked), 401)
        for wrong in ("Bearer", f"Bearer {KEY}x", f"Basic {KEY}", KEY):
            refused(client.post("/classify", json=asked, headers={"Authorization": wrong}), 401)
        refused(client.post("/classify", json=asked, headers={b"X-API-Key": "schlüssel".encode()}), 401)
        assert client.post("/classify", json=asked, headers={"X-API-Key": KEY}).status_code == 200
        client.headers["Authorization"] = f"bearer {KEY}"
        assert client.post("/v1/classify", json={"questions": ["a"]}).json()["model"]["name"] == "tiny"
        assert client.post("/v1/reload").json() == {"name": "fake", "version": "0.750.750.75"}
        refused(client.post("/v1/reload"), 409, "the one before stays")
        found = client.post("/v1/classify", json={"questions": ["a"]}).json()
        assert found["model"]["name"] == "fake" and found["results"][0]["label"] == "even"
        assert 'subjectwise_model{name="fake",version="0.750.750.75"} 1.0' in client.get("/metrics").text


def test_reload_needs_a_key_and_cors_is_off(client: httpx.Client) -> None:
    refused(client.post("/v1/reload"), 401, "SIGHUP")
    preflight = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/classify", headers=preflight).headers
    settings = ServerSettings(cors_origins=("http://here.example",), api_keys=(KEY,))
    with serving(create_app(lambda: serve_fake(Fake()), settings)) as other:
        answered = other.options("/classify", headers=preflight | {"Origin": "http://here.example"})
        assert answered.headers["access-control-allow-origin"] == "http://here.example"
        assert "access-control-allow-origin" not in other.options("/classify", headers=preflight).headers


def test_the_metrics_count() -> None:
    with serving(create_app(lambda: serve_fake(Fake()))) as client:
        client.post("/v1/classify", json={"questions": ["a", "b"], "min_confidence": 0.7})
        client.post("/v1/classify", json={"questions": ["a"], "min_confidence": 0.9})
        client.post("/classify", json={"inputs": ""})
        client.get("/nothing/at/all")
        text = client.get("/metrics").text
    for line in (
        'subjectwise_requests_total{route="/v1/classify",status="200"} 2.0',
        'subjectwise_requests_total{route="/classify",status="422"} 1.0',
        'subjectwise_requests_total{route="unknown",status="404"} 1.0',
        'subjectwise_labels_total{label="even"} 2.0',
        "subjectwise_abstentions_total 1.0",
        "subjectwise_batch_questions_sum 3.0",
        "subjectwise_tokens_total 3.0",
        "subjectwise_waiting_questions 0.0",
        'subjectwise_request_seconds_count{route="/v1/classify"} 2.0',
    ):
        assert line in text, line
    assert "process_resident_memory_bytes" in text


def test_the_log_holds_no_question_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    def lines(log_questions: bool) -> list[dict[str, Any]]:
        caplog.clear()
        settings = ServerSettings(log_questions=log_questions)
        with serving(create_app(lambda: serve_fake(Fake()), settings)) as client:
            client.post("/v1/classify?q=private", json={"questions": ["private"]}, headers={"X-Request-ID": "r1"})
            client.post("/classify", json={"inputs": "poison"})
        own = [record for record in caplog.records if record.name == "subjectwise.serving"]
        return [json.loads(JsonLines().format(record)) for record in own]

    with caplog.at_level(logging.INFO):
        quiet = lines(False)
        assert "private" not in json.dumps(quiet) and "secret" not in json.dumps(quiet)
        request = next(line for line in quiet if line.get("request_id") == "r1")
        assert request["event"] == "request" and request["status"] == 200 and request["questions"] == 1
        failed = next(line for line in quiet if line["event"] == "failed")
        assert failed["exception"] == "RuntimeError" and failed["at"]
        assert quiet[-1] == quiet[-1] | {"event": "stopped", "answered_questions": 1}
        assert any(line.get("texts") == ["private"] for line in lines(True))


def test_the_page(client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/favicon.ico").status_code == 200
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("<p>the page</p>")
    (tmp_path / "page/page.css").write_text("p {}")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(page, "FOLDER", tmp_path / "page")
    monkeypatch.setattr(page, "_INDEX", tmp_path / "page/index.html")
    with serving(create_app(lambda: serve_fake(Fake()))) as own:
        shown = own.get("/")
        assert "the page" in shown.text and "default-src 'none'" in shown.headers["Content-Security-Policy"]
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert own.get("/page/page.css").headers["Content-Type"].startswith("text/css")
        for path in ("/page/../secret.txt", "/page/%2e%2e/secret.txt", "/page/..%2fsecret.txt", "/page//etc/passwd"):
            refused(own.get(path), 404)
    monkeypatch.setattr(page, "_INDEX", tmp_path / "none.html")
    with serving(create_app(lambda: serve_fake(Fake()))) as bare:
        assert bare.get("/").headers["Location"] == "docs"
        assert "swagger" in bare.get("/docs").text
