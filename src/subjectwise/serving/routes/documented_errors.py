"""The statuses other than 200 that the contracts document."""

from __future__ import annotations

from typing import Any

from subjectwise.serving.schemas import Refused

_REASONS = {
    400: "The body cannot be read.",
    401: "The API key is missing or unknown.",
    408: "The body did not arrive in time.",
    409: "The model cannot be loaded; the old one stays.",
    413: "Too many questions, or too long.",
    415: "The body is not JSON, or it is compressed.",
    422: "The request cannot be answered as it is.",
    424: "The model failed.",
    429: "Too much is waiting already; `Retry-After` says when to ask again.",
    500: "The model failed.",
    503: "The server is stopping.",
    504: "No answer within the deadline.",
}
ASKING = (400, 401, 408, 413, 415, 422, 429, 500, 503, 504)

# What FastAPI's `responses` takes.
Documented = dict[int | str, dict[str, Any]]


def refusals(*statuses: int, model: type[Refused] = Refused) -> Documented:
    """Return the documentation of these statuses."""
    return {status: {"model": model, "description": _REASONS[status]} for status in statuses}
