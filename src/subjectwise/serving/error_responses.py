"""HTTP errors returned to clients: a status, a kind and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import Scope

REQUEST_ID = "X-Request-ID"

# Where errors have the status and kind that text-embeddings-inference gives them.
TEI_PATHS = ("/predict", "/", "/invocations")


class Refusal(Exception):  # noqa: N818  # an answer to the client, not a fault
    """A request that is not answered.

    Attributes:
        status: the HTTP status.
        kind: `validation`, `overloaded`, `backend` or `unhealthy`.
        tei_status: the status at the paths of text-embeddings-inference; None for the same.
        tei_kind: the kind there, which may also be `empty` or `tokenizer`; "" for the same.
        headers: sent with the answer.
    """

    status = 422
    kind = "validation"
    tei_status: int | None = None
    tei_kind = ""

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class Ambiguous(Refusal):
    """The request can be read in two ways."""

    status = 400


class Unauthorised(Refusal):
    """The API key is missing or unknown."""

    status = 401


class Missing(Refusal):
    """The path is unknown."""

    status = 404


class SlowBody(Refusal):
    """The body did not arrive in time."""

    status = 408


class Conflict(Refusal):
    """The request cannot be carried out in the current state."""

    status = 409


class TooLarge(Refusal):
    """A body, a question or a number of questions is above its limit."""

    status = 413


class Unsupported(Refusal):
    """The body is not JSON, or it is compressed."""

    status = 415


class Misdirected(Refusal):
    """The request is for another host."""

    status = 421


class Overloaded(Refusal):
    """The queue is full; the header `Retry-After` says when to ask again."""

    status = 429
    kind = "overloaded"


class Gone(Refusal):
    """The client has closed the connection; nobody reads the answer."""

    status = 499


class EmptyText(Refusal):
    """A question has no text."""

    tei_status = 400
    tei_kind = "empty"


class Untokenizable(Refusal):
    """A question cannot be turned into tokens, or into more than the model reads where none may be cut."""

    tei_kind = "tokenizer"


class Failed(Refusal):
    """The model failed at a question."""

    status = 500
    kind = "backend"
    # A model that fails is a failed dependency there.
    tei_status = 424


class Stopping(Refusal):
    """The server is stopping, or cannot answer at all."""

    status = 503
    kind = "unhealthy"


class TooLate(Refusal):
    """The deadline passed before the answer was computed."""

    status = 504
    kind = "overloaded"


def refusal_response(refusal: Refusal, scope: Scope) -> JSONResponse:
    """Return the sentence and its kind, as text-embeddings-inference does; under `/v1` with the request id."""
    status, kind = refusal.status, refusal.kind
    if scope["path"] in TEI_PATHS:
        status, kind = refusal.tei_status or status, refusal.tei_kind or kind
    body = {"error": _encodable(str(refusal)), "error_type": kind}
    if scope["path"].startswith("/v1/"):
        body["request_id"] = request_id(scope)
    return JSONResponse(body, status, headers=refusal.headers)


def request_id(scope: Scope) -> str:
    """Return the request's id; empty before it has one."""
    return str(scope.get("state", {}).get("request_id", ""))


def _encodable(text: str) -> str:
    """Return `text` with a question mark for each lone surrogate, which JSON input may have and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
