from __future__ import annotations

import json

import pytest

from subjectwise.serving import error_responses
from subjectwise.serving.error_responses import (
    EmptyText,
    Failed,
    Overloaded,
    Refusal,
    TooLate,
    Untokenizable,
    refusal_response,
)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/classify", 500), ("/v1/classify", 500), ("/predict", 424), ("/", 424), ("/invocations", 424)],
)
def test_a_model_that_fails(path: str, status: int) -> None:
    response = refusal_response(Failed("It failed."), {"type": "http", "path": path, "state": {"request_id": "r1"}})
    body = {"error": "It failed.", "error_type": "backend"}
    assert json.loads(bytes(response.body)) == (body | {"request_id": "r1"} if path.startswith("/v1/") else body)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("refusal", "status", "kind"), [(EmptyText("x"), 400, "empty"), (Untokenizable("x"), 422, "tokenizer")]
)
def test_kinds_that_text_embeddings_inference_alone_has(refusal: Refusal, status: int, kind: str) -> None:
    for path, expected in (("/predict", (status, kind)), ("/classify", (422, "validation"))):
        response = refusal_response(refusal, {"type": "http", "path": path})
        assert (response.status_code, json.loads(bytes(response.body))["error_type"]) == expected


def test_headers_and_what_utf8_lacks() -> None:
    refusal = Overloaded("half \ud800", {"Retry-After": "3"})
    response = refusal_response(refusal, {"type": "http", "path": "/classify"})
    assert response.headers["Retry-After"] == "3" and json.loads(bytes(response.body))["error"] == "half ?"
    assert (
        json.loads(bytes(refusal_response(TooLate(""), {"type": "http", "path": "/"}).body))["error_type"]
        == "overloaded"
    )


def test_every_status_has_a_refusal() -> None:
    kinds = [
        value for value in vars(error_responses).values() if isinstance(value, type) and issubclass(value, Refusal)
    ]
    assert {kind.status for kind in kinds} >= {400, 401, 404, 408, 409, 413, 415, 421, 422, 429, 499, 500, 503, 504}
    assert all(kind.__doc__ for kind in kinds)
