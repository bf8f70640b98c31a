from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.limits import Limits
from subjectwise.serving.settings import ServerSettings, collect_api_keys, read_api_keys


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"limits": Limits(deadline=0)}, "--deadline is 0"),
        ({"limits": Limits(deadline=float("inf"))}, "--deadline is inf"),
        ({"limits": Limits(deadline=float("nan"))}, "--deadline is nan"),
        ({"limits": Limits(waiting=0)}, "--max-waiting is 0"),
        ({"api_keys": ("short",)}, "at least 8 characters"),
        ({"api_keys": ("long-enough", "two words long")}, "without spaces"),
        ({"api_keys": ("schlüssel-lang",)}, "ASCII"),
        ({"api_keys": ("a-key\x07-of-some-length",)}, "ASCII"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(SubjectwiseError, match=part):
        ServerSettings(**changes)


@pytest.mark.parametrize(
    "origin", ["*", "https://good.example", "http://localhost:3000", "http://[::1]:8000", "chrome-extension://abc"]
)
def test_origins_as_browsers_send_them(origin: str) -> None:
    assert ServerSettings(cors_origins=(origin,)).cors_origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("good.example/", "https://good.example"),
        ("good.example", "https://good.example"),
        ("https://good.example/", "https://good.example"),
        ("https://good.example/page?x=1#y", "https://good.example"),
        ("https://Good.Example", "https://good.example"),
        ("https://good.example:443", "https://good.example"),
        ("http://good.example:80", "http://good.example"),
        ("https://user@good.example", "https://good.example"),
        ("https://good.example:port", "https://good.example"),
        ("", "https://host.example"),
    ],
)
def test_an_origin_that_never_matches_is_refused_with_the_form_that_does(origin: str, sent: str) -> None:
    with pytest.raises(SubjectwiseError, match=rf"browsers send {sent}; write that"):
        ServerSettings(cors_origins=("https://here.example", origin))


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# of the router\nfirst-long-key\n\n  second-long-key \n", encoding="utf-8")
    assert read_api_keys(path) == ("first-long-key", "second-long-key")
    path.write_text("# none\n", encoding="utf-8")
    with pytest.raises(SubjectwiseError, match="has no API key; write one per line"):
        read_api_keys(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SubjectwiseError, match="it is not UTF-8"):
        read_api_keys(path)
    with pytest.raises(SubjectwiseError, match="No such file"):
        read_api_keys(tmp_path / "none")


def test_keys_that_were_given_come_before_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("of-the-file\n", encoding="utf-8")
    assert collect_api_keys(["given"], path) == ("given", "of-the-file")
    assert collect_api_keys([], None) == ()


def test_a_request_fits_into_the_queue() -> None:
    assert ServerSettings().most_questions == 128
    assert ServerSettings(limits=Limits(waiting=5)).most_questions == 5
