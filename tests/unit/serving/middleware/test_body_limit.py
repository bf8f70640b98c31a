from __future__ import annotations

import socket

import httpx

from helpers.serving import check_refused, serving_fake
from subjectwise.serving.limits import Limits
from subjectwise.serving.settings import ServerSettings


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10)


def test_a_large_body_is_refused() -> None:
    with serving_fake(settings=ServerSettings(body_bytes=1000)) as client:
        as_json = {"Content-Type": "application/json"}
        body = b'{"inputs": "a"}'
        assert client.post("/classify", content=body.rjust(1000), headers=as_json).status_code == 200
        check_refused(client.post("/classify", content=body.rjust(1001), headers=as_json), 413, "1,000 bytes")


def test_a_slow_body_is_refused() -> None:
    settings = ServerSettings(limits=Limits(deadline=0.2))
    with serving_fake(settings=settings) as client, connect(client) as raw:
        raw.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
