"""Why a request gets no answer: a status, a kind and one sentence. Knows no request."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818  # an answer to the client, not a fault
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        kind: as text-embeddings-inference names it: `validation`, `overloaded`, `backend` or `unhealthy`.
        headers: that go with the answer.
    """

    status = 422
    kind = "validation"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class Unauthorised(Refusal):
    """No API key, or one that is not known."""

    status = 401


class Missing(Refusal):
    """A path that leads nowhere."""

    status = 404


class SlowBody(Refusal):
    """A body that does not arrive in time."""

    status = 408


class Conflict(Refusal):
    """Something that cannot be done as things are."""

    status = 409


class TooLarge(Refusal):
    """A body, a question or a number of questions above the limit."""

    status = 413


class Overloaded(Refusal):
    """The queue is full; the header `Retry-After` says when to come again."""

    status = 429
    kind = "overloaded"


class Gone(Refusal):
    """The client has closed the connection; nobody reads the answer."""

    status = 499


class Failed(Refusal):
    """The model failed at a question."""

    status = 500
    kind = "backend"


class Stopping(Refusal):
    """The server is stopping, or cannot answer at all."""

    status = 503
    kind = "unhealthy"


class TooLate(Refusal):
    """The deadline passed before the answer was there."""

    status = 504
    kind = "overloaded"
