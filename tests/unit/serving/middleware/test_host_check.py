from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from helpers.serving import check_refused, connect, read_response, serving_fake
from subjectwise.serving.middleware.host_check import host_name
from subjectwise.serving.server import loopback_names
from subjectwise.serving.settings import ServerSettings


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake(settings=ServerSettings(hosts=loopback_names("Own.Example"))) as connected:
        yield connected


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1", "[::1]:8000", "own.example:80"])
def test_known_hosts(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["rebound.example:8000", "localhost.evil.example", "127.0.0.1.nip.example", "127.0.0.2", "own.example@x", "x"],
)
def test_other_hosts(client: httpx.Client, host: str) -> None:
    for path in ("/", "/health", "/v1/model"):
        check_refused(client.get(path, headers={"Host": host}), 421, "for this machine only")
    check_refused(client.post("/classify", json={"inputs": "a"}, headers={"Host": host}), 421)


def test_http_1_0_has_no_host(client: httpx.Client) -> None:
    with connect(client) as raw:
        raw.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert read_response(raw)[0] == 200


def test_without_names_every_host_is_answered() -> None:
    with serving_fake() as client:
        assert client.get("/health", headers={"Host": "proxy.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.example", "a.example"), ("a.example.:1", "a.example"), ("[::1]:1", "::1"), ("[::1]", "::1"), ("", "")],
)
def test_the_name_in_a_host(host: str, name: str) -> None:
    assert host_name(host) == name
