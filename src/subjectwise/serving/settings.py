"""How the server is set up. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass, field

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.limits import Limits


@dataclass(frozen=True)
class ServerSettings:
    """What may be asked, and by whom.

    Attributes:
        questions: in one request.
        explained: questions in one request that asks for explanations, each of which costs many passes.
        body_bytes: of one request.
        api_keys: any of which opens the server; none for a server that is open.
        cors_origins: whose pages may ask; none for the server's own page only.
        log_questions: whether the log holds the text of questions.

    Raises:
        SubjectwiseError: a number that is not above zero, or a key that no header can carry.
    """

    limits: Limits = field(default_factory=Limits)
    questions: int = 128
    explained: int = 8
    body_bytes: int = 1 << 20
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    log_questions: bool = False

    def __post_init__(self) -> None:
        for name, value in (("--max-waiting", self.limits.waiting), ("--deadline", self.limits.deadline)):
            if not value > 0:
                raise SubjectwiseError(f"{name} is {value}; it must be above 0.")
        if any(len(key) < 8 or not key.isascii() or not key.isprintable() or " " in key for key in self.api_keys):
            raise SubjectwiseError("An API key needs at least 8 characters, without spaces and in ASCII.")

    @property
    def most_questions(self) -> int:
        """In one request, which must fit into the queue."""
        return min(self.questions, self.limits.waiting)
