from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from helpers.serving import POISON, serving_fake
from subjectwise.serving.access_log import LOGGER, JsonLines
from subjectwise.serving.settings import ServerSettings


def test_a_request_keeps_its_id_or_gets_one() -> None:
    with serving_fake() as client:
        own = client.post("/v1/classify", json={"questions": ["a"]}, headers={"X-Request-ID": "mine-1"})
        assert own.json()["request_id"] == own.headers["X-Request-ID"] == "mine-1"
        made = client.get("/health", headers={"X-Request-ID": "no good\x7f" * 30}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)
        refused = client.post("/v1/classify", json={}, headers={"X-Request-ID": "mine-2"})
        assert refused.status_code == 422 and refused.json()["request_id"] == "mine-2"


def test_answers_have_the_headers_of_a_careful_server() -> None:
    with serving_fake() as client:
        for path in ("/", "/health", "/nothing"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert client.get("/health").headers["Cache-Control"] == "no-store"


def test_requests_are_counted() -> None:
    with serving_fake() as client:
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


def test_the_log_has_no_question_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    def lines(log_questions: bool) -> list[dict[str, Any]]:
        caplog.clear()
        with serving_fake(settings=ServerSettings(log_questions=log_questions)) as client:
            client.post("/v1/classify?q=private", json={"questions": ["private"]}, headers={"X-Request-ID": "r1"})
            client.post("/classify", json={"inputs": POISON})
        own = [record for record in caplog.records if record.name == LOGGER]
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
