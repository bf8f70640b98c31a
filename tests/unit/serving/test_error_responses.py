from __future__ import annotations

import json

import pytest

from subjectwise.serving import error_responses
from subjectwise.serving.error_responses import Failed, Overloaded, Refusal, TooLate, refusal_response


@pytest.mark.parametrize(("path", "status"), [("/classify", 500), ("/v1/classify", 500), ("/predict", 424)])
def test_a_model_that_fails(path: str, status: int) -> None:
    response = refusal_response(Failed("It failed."), {"type": "http", "path": path, "state": {"request_id": "r1"}})
    body = {"error": "It failed.", "error_type": "backend"}
    assert json.loads(bytes(response.body)) == (body | {"request_id": "r1"} if path.startswith("/v1/") else body)
    assert response.status_code == status


def test_headers_and_what_utf8_lacks() -> None:
    refusal = Overloaded("half \ud800", {"Retry-After": "3"})
    response = refusal_response(refusal, {"type": "http", "path": "/classify"})
    assert response.headers["Retry-After"] == "3" and json.loads(bytes(response.body))["error"] == "half ?"
    assert (
        json.loads(bytes(refusal_response(TooLate(""), {"type": "http", "path": "/"}).body))["error_type"]
        == "overloaded"
    )


def test_every_refusal_has_a_status_of_its_own() -> None:
    kinds = [
        value for value in vars(error_responses).values() if isinstance(value, type) and issubclass(value, Refusal)
    ]
    assert len({kind.status for kind in kinds}) == len(kinds) > 8
