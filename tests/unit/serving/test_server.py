from __future__ import annotations

import socket

import pytest

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.server import address, bind, is_loopback


def test_a_port_in_use_is_reported() -> None:
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        assert address(bound) == f"http://127.0.0.1:{port}" and is_loopback(bound)
        with pytest.raises(SubjectwiseError, match=rf"Cannot bind 127.0.0.1:{port} .*--host and --port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("203.0.113.1", 0)])
def test_an_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(SubjectwiseError, match="Cannot bind"):
        bind(host, port)


def test_all_addresses_are_not_loopback() -> None:
    with bind("0.0.0.0", 0) as bound:
        assert not is_loopback(bound)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_is_written_in_brackets() -> None:
    try:
        bound = bind("::1", 0)
    except SubjectwiseError:
        pytest.skip("no IPv6 loopback on this machine")
    with bound:
        assert address(bound) == f"http://[::1]:{bound.getsockname()[1]}" and is_loopback(bound)
