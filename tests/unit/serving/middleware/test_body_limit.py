from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from helpers.serving import check_refused, connect, read_response, serving_fake
from subjectwise.serving.limits import ConnectionLimits, Limits
from subjectwise.serving.settings import ServerSettings

GOOD = b'{"inputs": "a"}'
POST = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
QUICK = ServerSettings(body_bytes=1000, connections=ConnectionLimits(body_seconds=0.2))


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake(settings=QUICK) as connected:
        yield connected


def test_a_large_body_is_refused(client: httpx.Client) -> None:
    as_json = {"Content-Type": "application/json"}
    assert client.post("/classify", content=GOOD.rjust(1000), headers=as_json).status_code == 200
    check_refused(client.post("/classify", content=GOOD.rjust(1001), headers=as_json), 413, "1,000 bytes")
    chunked = client.post("/classify", content=iter([GOOD.rjust(600), b" " * 600]), headers=as_json)
    check_refused(chunked, 413, "1,000 bytes")


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_declared_length_is_refused_before_the_body_arrives(client: httpx.Client, expect: bytes) -> None:
    with connect(client) as raw:
        raw.sendall(POST + expect + b"Content-Length: 94371840\r\n\r\n")
        status, headers, body = read_response(raw)
        assert status == 413 and b"1,000 bytes" in body and headers["connection"] == "close"
        # A client that sends all the same is not cut off before it has read the answer, and then it is.
        if not expect:
            raw.sendall(b" " * 500)
        assert raw.recv(1) == b""


def test_a_client_that_waits_to_send_is_told_to_go_on(client: httpx.Client) -> None:
    with connect(client) as raw:
        raw.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        assert raw.recv(1000).startswith(b"HTTP/1.1 100")
        raw.sendall(GOOD)
        assert read_response(raw)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"{", b'{"inputs": '])
def test_half_a_body_is_refused_in_time(client: httpx.Client, sent: bytes) -> None:
    with connect(client) as raw:
        raw.sendall(POST + b"Content-Length: 15\r\n\r\n" + sent)
        status, headers, body = read_response(raw)
        assert status == 408 and b"0.2 seconds" in body and headers["connection"] == "close"
        assert raw.recv(1) == b""


def test_a_body_that_trickles_is_refused_at_the_deadline() -> None:
    settings = ServerSettings(limits=Limits(deadline=0.5))
    with serving_fake(settings=settings) as client, connect(client) as raw:
        raw.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        raw.settimeout(0.05)
        for _ in range(100):
            raw.sendall(b" ")
            try:
                answer = raw.recv(100)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", None])
def test_other_content_types_are_refused(client: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    check_refused(client.post("/classify", content=GOOD, headers=headers), 415, "application/json")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
def test_json_is_read(client: httpx.Client, kind: str) -> None:
    assert client.post("/classify", content=GOOD, headers={"Content-Type": kind}).status_code == 200


def test_encodings_are_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    check_refused(client.post("/classify", content=b"\x1f\x8b", headers=headers), 415, "uncompressed")
    assert client.post("/classify", content=GOOD, headers=headers | {"Content-Encoding": "identity"}).status_code == 200


def test_two_ways_to_end_a_body_are_refused_and_the_connection_is_closed(client: httpx.Client) -> None:
    with connect(client) as raw:
        raw.sendall(
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"
        )
        status, headers, body = read_response(raw)
        assert status == 400 and b"not both" in body and headers["connection"] == "close"
        assert raw.recv(1) == b"", "what follows is not taken for a request"


def test_a_request_without_a_body_needs_no_content_type(client: httpx.Client) -> None:
    check_refused(client.post("/v1/reload"), 401, "SIGHUP")


def test_bodies_together_have_a_limit() -> None:
    settings = replace(QUICK, connections=ConnectionLimits(body_seconds=5))
    with serving_fake(settings=settings) as client:
        half: list[socket.socket] = []
        try:
            for _ in range(33):
                raw = connect(client)
                half.append(raw)
                raw.sendall(POST + b"Content-Length: 1000\r\n\r\n" + b" " * 990)
                time.sleep(0.005)
            status, headers, _ = read_response(half[-1])
            assert status == 429 and headers["retry-after"] == "1"
            half[0].sendall(b" " * 10)
            assert read_response(half[0])[0] == 422
        finally:
            for raw in half:
                raw.close()
