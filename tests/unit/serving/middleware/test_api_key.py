from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from helpers.serving import check_refused, serving_fake
from subjectwise.serving.settings import ServerSettings

KEY = "a-key-of-some-length"
ASKED = {"inputs": "a"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake(settings=ServerSettings(api_keys=("another-key", KEY))) as connected:
        yield connected


@pytest.mark.parametrize(
    "path", ["/health", "/metrics", "/", "/page/page.css", "/docs", "/openapi.json", "/favicon.ico"]
)
def test_some_paths_are_open(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_open_paths_are_open_to_get_only(client: httpx.Client) -> None:
    assert client.head("/health").status_code == 200
    check_refused(client.post("/", json=ASKED), 401)
    check_refused(client.post("/metrics", json=ASKED), 401)


@pytest.mark.parametrize("path", ["/info", "/v1/model", "/nothing", "/healthy", "/pages/"])
def test_others_need_a_key(client: httpx.Client, path: str) -> None:
    response = check_refused(client.get(path), 401, kind="validation")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": ""},
        {"X-API-Key": "schlüssel"},
    ],
)
def test_wrong_keys(client: httpx.Client, headers: dict[str, str]) -> None:
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    check_refused(client.post("/classify", json=ASKED, headers=encoded), 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"Authorization": "Bearer another-key"},
        {"X-API-Key": KEY},
        {"X-API-Key": KEY, "Authorization": "Bearer of-a-proxy"},
        {"X-API-Key": KEY, "Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "of-a-proxy", "Authorization": f"Bearer {KEY}"},
    ],
)
def test_right_keys(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.post("/classify", json=ASKED, headers=headers).status_code == 200


def test_without_keys_every_request_is_answered() -> None:
    with serving_fake() as client:
        assert client.post("/classify", json=ASKED).status_code == 200
        assert client.get("/info").status_code == 200
