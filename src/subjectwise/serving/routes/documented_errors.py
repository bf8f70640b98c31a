"""What the contracts share: the service behind a request, scored labels, the statuses that each may answer."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from subjectwise.records import Prediction
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.schemas import Refused

_REASONS = {
    400: "The body cannot be read.",
    401: "No API key, or an unknown one.",
    408: "The body did not arrive in time.",
    409: "The model cannot be loaded; the one before stays.",
    413: "Too many questions, or too long.",
    422: "The request cannot be answered as it is.",
    424: "The model failed.",
    429: "Too much waits already; `Retry-After` says when to come again.",
    500: "The model failed.",
    503: "The server is stopping.",
    504: "No answer within the deadline.",
}
ASKING = (400, 401, 408, 413, 422, 429, 500, 503, 504)


def refusals(*statuses: int, model: type[Refused] = Refused) -> dict[int | str, dict[str, Any]]:
    """The documented answers other than 200."""
    return {status: {"model": model, "description": _REASONS[status]} for status in statuses}


def service_of(request: Request) -> InferenceService:
    found: InferenceService = request.app.state.service
    return found


def scored(prediction: Prediction, count: int | None = None) -> list[dict[str, Any]]:
    """Labels with their probabilities, best first."""
    return [{"label": label, "score": score} for label, score in prediction.top(count or len(prediction.scores))]
