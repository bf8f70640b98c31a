"""Settings of the server. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.limits import ConnectionLimits, Limits

SHORTEST_KEY = 8


@dataclass(frozen=True)
class ServerSettings:
    """What a request may ask for, and who may ask.

    Attributes:
        limits: of the request queue.
        connections: how many there may be, and how slow.
        questions: most questions per request.
        explained: most questions per request with explanations, each of which costs many classifications.
        explained_characters: most characters of the questions of such a request, options included.
        body_bytes: most bytes per request.
        api_keys: any of which opens the server; empty for an open server.
        cors_origins: web origins whose pages may ask, such as `https://good.example`, or `*`; empty for the server's
            own page only.
        hosts: names and addresses by which the server is asked; empty for any.
        log_questions: whether the log has the text of questions.

    Raises:
        SubjectwiseError: a number that is not above zero, a key that no header can carry, or an origin that no browser
            sends.
    """

    limits: Limits = field(default_factory=Limits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    questions: int = 128
    explained: int = 8
    explained_characters: int = 10_000
    body_bytes: int = 2_000_000
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    log_questions: bool = False

    def __post_init__(self) -> None:
        for name, value in (("--max-waiting", self.limits.waiting), ("--deadline", self.limits.deadline)):
            if not 0 < value < math.inf:
                raise SubjectwiseError(f"{name} is {value}; it must be a number above 0.")
        if any(not _fits_a_header(key) for key in self.api_keys):
            raise SubjectwiseError(f"An API key needs at least {SHORTEST_KEY} characters, in ASCII and without spaces.")

        for origin in self.cors_origins:
            if origin != "*" and origin != (sent := _sent_origin(origin)):
                raise SubjectwiseError(f"--cors-origin {origin} never matches, since browsers send {sent}; write that.")

    @property
    def most_questions(self) -> int:
        """How many questions a request may have; it must fit into the queue."""
        return min(self.questions, self.limits.waiting)


def collect_api_keys(given: Sequence[str], file: Path | None) -> tuple[str, ...]:
    """Return the API keys that were given and those of a file."""
    return (*given, *(read_api_keys(file) if file else ()))


def read_api_keys(path: Path) -> tuple[str, ...]:
    """Return the API keys of a file, one per line; empty lines and those that begin with # are left out.

    Raises:
        SubjectwiseError: it cannot be read, or has no key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SubjectwiseError(f"Cannot read the API keys in {path}: {reason}.") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise SubjectwiseError(f"{path} has no API key; write one per line.")
    return keys


def _sent_origin(origin: str) -> str:
    """Return an origin as browsers send it: scheme, host and a port that is not the usual one."""
    parts = urlsplit(origin if "://" in origin else f"https://{origin}")
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    try:
        port = parts.port
    except ValueError:
        port = None
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme.lower()}://{host or 'host.example'}" + (f":{port}" if port and port != usual else "")


def _fits_a_header(key: str) -> bool:
    return len(key) >= SHORTEST_KEY and key.isascii() and key.isprintable() and " " not in key
