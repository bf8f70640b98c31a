"""Settings of the server. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        cors_origins: web origins whose pages may ask; empty for the server's own page only.
        log_questions: whether the log has the text of questions.

    Raises:
        SubjectwiseError: a number that is not above zero, or a key that no header can carry.
    """

    limits: Limits = field(default_factory=Limits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    questions: int = 128
    explained: int = 8
    explained_characters: int = 10_000
    body_bytes: int = 1 << 20
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    log_questions: bool = False

    def __post_init__(self) -> None:
        for name, value in (("--max-waiting", self.limits.waiting), ("--deadline", self.limits.deadline)):
            if not value > 0:
                raise SubjectwiseError(f"{name} is {value}; it must be above 0.")
        if any(not _fits_a_header(key) for key in self.api_keys):
            raise SubjectwiseError(f"An API key needs at least {SHORTEST_KEY} characters, in ASCII and without spaces.")

    @property
    def most_questions(self) -> int:
        """How many questions a request may have; it must fit into the queue."""
        return min(self.questions, self.limits.waiting)


def _fits_a_header(key: str) -> bool:
    return len(key) >= SHORTEST_KEY and key.isascii() and key.isprintable() and " " not in key
