"""The OpenAPI description against the server: schemathesis makes up requests and checks the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from helpers.serving import fake_model, serving_fake
from subjectwise.serving.app import create_app

# What a question may hold is more than a schema says (no blank text, no control characters), so that requests which
# fit the schema may be refused; those which do not fit never pass.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
DESCRIBED = create_app(fake_model).openapi()
BODIES = ("/classify", "/predict", "/", "/invocations", "/v1/classify")
PLAIN = [(method, path) for path, methods in DESCRIBED["paths"].items() for method in methods if path not in BODIES]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake() as connected:
        yield connected


@pytest.fixture(scope="module")
def schema(client: httpx.Client) -> Any:
    return schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", BODIES)
def test_answers_are_as_described(schema: Any, path: str, mode: schemathesis.GenerationMode) -> None:
    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=schema[path]["post"].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    check()


@pytest.mark.parametrize(("method", "path"), PLAIN)
def test_what_takes_no_body_is_as_described(schema: Any, method: str, path: str) -> None:
    @settings(max_examples=1, deadline=None, derandomize=True)
    @given(case=schema[path][method].as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    check()


def test_requests_have_examples() -> None:
    for path in BODIES:
        operation = DESCRIBED["paths"][path]["post"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert DESCRIBED["components"]["schemas"][reference.rpartition("/")[2]]["examples"]
        assert {"200", "413", "422", "429", "503", "504"} <= set(operation["responses"])
    assert "/work" not in json.dumps(DESCRIBED)
