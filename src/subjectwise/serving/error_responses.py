"""HTTP errors returned to clients: a status, a kind and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import Scope

REQUEST_ID = "X-Request-ID"


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


def refusal_response(refusal: Refusal, scope: Scope) -> JSONResponse:
    """Return one sentence and its kind, as text-embeddings-inference does; on our own paths the request id as well."""
    # There, a model that fails is a dependency that failed.
    tei = scope["path"] == "/predict"
    status = 424 if tei and refusal.status == 500 else refusal.status
    body = {"error": _printable(str(refusal)), "error_type": refusal.kind}
    if scope["path"].startswith("/v1/"):
        body["request_id"] = request_id(scope)
    return JSONResponse(body, status, headers=refusal.headers)


def request_id(scope: Scope) -> str:
    """Return the request's id; empty before it has one."""
    return str(scope.get("state", {}).get("request_id", ""))


def _printable(text: str) -> str:
    """Return `text` without what UTF-8 cannot encode, which JSON input may have."""
    return text.encode("utf-8", "replace").decode("utf-8")
