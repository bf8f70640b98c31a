"""What all contracts refuse in one sentence, and which origins may ask."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from helpers.serving import check_refused, serving_fake
from subjectwise.serving.settings import ServerSettings


@pytest.mark.parametrize(
    ("path", "good"),
    [("/classify", {"inputs": "a"}), ("/predict", {"inputs": "a"}), ("/v1/classify", {"questions": ["a"]})],
)
def test_bad_input_is_one_sentence(client: httpx.Client, path: str, good: dict[str, Any]) -> None:
    def with_text(text: str) -> dict[str, Any]:
        return {key: text if isinstance(value, str) else [text] for key, value in good.items()}

    as_json = {"Content-Type": "application/json"}
    assert client.post(path, json=good).status_code == 200
    empty = 400 if path == "/predict" else 422
    check_refused(client.post(path, json=with_text("")), empty, "question is empty")
    check_refused(client.post(path, json=with_text(" \n ")), empty, "question is empty")
    if path != "/predict":
        check_refused(client.post(path, json=with_text("x" * 50_001)), 413, "the limit is 50,000")
    check_refused(client.post(path, content=b"{", headers=as_json), 422, "not JSON")
    check_refused(client.post(path, content=b"\xff\xfe{", headers=as_json), 400)
    check_refused(client.post(path, content=b"[" * 100_000, headers=as_json), 400)
    check_refused(client.post(path, content=b'{"a": ' + b"1" * 5000 + b"}", headers=as_json), 400)
    check_refused(client.post(path, content=json.dumps(good)), 415, "application/json")
    check_refused(client.post(path, json=[1]), 422, "JSON object")
    check_refused(client.post(path, content=b""), 422)
    check_refused(client.post(path, json={}), 422, "is missing")
    check_refused(client.post(path, json=dict.fromkeys(good, 1)), 422)
    check_refused(client.post(path, content=b" " * 2_000_000 + b"{}", headers=as_json), 413, "2,000,000 bytes")
    check_refused(client.get(path), 405, kind="validation")
    check_refused(client.get(f"{path}/nothing"), 404)
    check_refused(client.post(f"{path}/", json=good), 404)


@pytest.mark.parametrize("path", ["/classify", "/predict"])
def test_half_a_character_is_a_replacement_character(client: httpx.Client, path: str) -> None:
    as_json = {"Content-Type": "application/json"}
    half = client.post(path, content=b'{"inputs": "a \\ud800 photon"}', headers=as_json)
    whole = client.post(path, json={"inputs": "a \ufffd photon"})
    assert half.status_code == 200 and half.json() == whole.json()


@pytest.mark.parametrize("path", ["/classify", "/predict"])
def test_control_characters_are_spaces(client: httpx.Client, path: str) -> None:
    pasted = client.post(path, json={"inputs": "What is\x0ca\x1bphoton?\x7f\x08"})
    typed = client.post(path, json={"inputs": "What is a photon?"})
    assert pasted.status_code == 200 and pasted.json() == typed.json()


@pytest.mark.parametrize("path", ["/docs/", "/health/", "/v1/model/", "/page"])
def test_a_slash_too_many_leads_nowhere_else(client: httpx.Client, path: str) -> None:
    response = client.get(path, headers={"Host": "elsewhere.example"})
    assert response.status_code == 404 and "Location" not in response.headers


def test_other_origins_may_not_ask() -> None:
    preflight = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    with serving_fake() as client:
        assert "access-control-allow-origin" not in client.options("/classify", headers=preflight).headers


def test_named_origins_may_ask() -> None:
    preflight = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    settings = ServerSettings(cors_origins=("http://here.example",), api_keys=("a-key-of-some-length",))
    with serving_fake(settings=settings) as client:
        answered = client.options("/classify", headers=preflight | {"Origin": "http://here.example"})
        assert answered.headers["access-control-allow-origin"] == "http://here.example"
        refused = client.post("/classify", json={"inputs": "a"}, headers={"Origin": "http://here.example"})
        exposed = refused.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-ID", "Retry-After"} <= set(exposed)
        assert "access-control-allow-origin" not in client.options("/classify", headers=preflight).headers
