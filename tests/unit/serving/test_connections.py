"""Connections that say nothing, or only half of what they want, against a real server."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from helpers.serving import connect, read_response, serving_fake, wait_until
from subjectwise.serving.access_log import LOGGER
from subjectwise.serving.connections import LoopErrors, connections_within_descriptors
from subjectwise.serving.limits import ConnectionLimits
from subjectwise.serving.settings import ServerSettings

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving_fake(settings=ServerSettings(connections=ConnectionLimits(most=8, header_seconds=0.3))) as connected:
        yield connected


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /health HTTP/1.1\r\nHost:", HEALTH + b"GET /he"])
def test_a_request_that_does_not_arrive_is_closed(client: httpx.Client, sent: bytes) -> None:
    with connect(client) as raw:
        raw.sendall(sent)
        if sent.startswith(HEALTH):
            assert read_response(raw)[0] == 200
        assert raw.recv(1) == b"", "closed within the ten seconds of this socket's own limit"
    wait_until(lambda: 'connections_closed_total{reason="slow"}' in client.get("/metrics").text)


def test_a_connection_between_two_requests_stays_open(client: httpx.Client) -> None:
    with connect(client) as raw, connect(client) as silent:
        raw.sendall(HEALTH)
        assert read_response(raw)[0] == 200
        assert silent.recv(1) == b"", "longer than a request may take to arrive"
        raw.sendall(HEALTH)
        assert read_response(raw)[0] == 200


def test_idle_connections_keep_nobody_out(client: httpx.Client) -> None:
    idle = [connect(client) for _ in range(30)]
    try:
        with connect(client) as raw:
            raw.sendall(HEALTH)
            assert read_response(raw)[0] == 200
        assert idle[0].recv(1) == b"", "the one that was idle longest"
        text = client.get("/metrics").text
        assert 'connections_closed_total{reason="limit"}' in text
        assert any(f"subjectwise_connections {count}.0" in text for count in range(1, 9))
    finally:
        for raw in idle:
            raw.close()


def test_the_rest_of_a_refused_body_is_not_waited_for() -> None:
    key = "a-key-of-some-length"
    settings = ServerSettings(connections=ConnectionLimits(header_seconds=0.3), api_keys=(key,))
    with serving_fake(settings=settings) as client, connect(client) as raw:
        raw.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert read_response(raw)[0] == 401
        assert raw.recv(1) == b""


def test_what_a_client_sends_does_not_fill_the_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    for sent, status in ((b"not HTTP\r\n\r\n", 400), (upgrade, 200)):
        with connect(client) as raw:
            raw.sendall(sent)
            assert read_response(raw)[0] == status
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_descriptors_run_out_quietly(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    now = [0.0]
    errors = LoopErrors(clock=lambda: now[0])
    errors(loop, {"message": "Exception in callback BaseSelectorEventLoop._start_serving(...)"})
    full = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}
    for _ in range(1000):
        errors(loop, full)
    now[0] = 61.0
    errors(loop, full)
    errors(loop, {"message": "another error"})
    loop.close()
    assert [record.name for record in caplog.records] == [LOGGER, LOGGER, "asyncio"]


def test_the_limit_of_descriptors_is_raised_and_kept_to() -> None:
    code = (
        "import json, resource; from subjectwise.serving.connections import connections_within_descriptors as count\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 400))\n"
        "few, raised = count(10), resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
        "print(json.dumps([few, raised, count(512), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    few, soft_before, many, soft_after = json.loads(done.stdout)
    assert (few, soft_before) == (10, 100), "there is room enough"
    assert soft_after == 400 and 250 < many < 400 - 32


def test_a_limit_that_is_high_enough_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_within_descriptors(1) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
