from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from helpers.serving import connect, serving_fake


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake() as connected:
        yield connected


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/info", "/metrics", "/v1/model", "/docs", "/openapi.json", "/favicon.ico", "/page/page.css"],
)
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200 and not head.content
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert "Content-Length" in head.headers


def test_head_of_a_path_that_takes_post_only(client: httpx.Client) -> None:
    assert client.head("/classify").status_code == 405
    assert client.head("/nothing").status_code == 404


def test_the_connection_goes_on(client: httpx.Client) -> None:
    with connect(client) as raw:
        raw.sendall(b"HEAD /info HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while data.count(b"\r\n\r\n") < 2:
            data += raw.recv(4096)
        assert data.count(b"HTTP/1.1 200") == 2 and b"model_id" not in data
