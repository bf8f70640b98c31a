"""The ASGI application: routes, guards and errors put together. Knows neither sockets nor signals."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from subjectwise.serving.error_responses import REQUEST_ID, Missing, Refusal, refusal_response
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.loaded_model import ServedModel
from subjectwise.serving.middleware.api_key import ApiKeyMiddleware
from subjectwise.serving.middleware.body_limit import BodyLimitMiddleware
from subjectwise.serving.middleware.request_id import RequestIdMiddleware
from subjectwise.serving.routes import llm_router, text_embeddings_inference, v1
from subjectwise.serving.routes.page import add_page
from subjectwise.serving.settings import ServerSettings

_log = logging.getLogger("subjectwise.serving")

_DESCRIPTION = "Tells which subject a question belongs to: the name and an honest probability."


def create_app(load: Callable[[], ServedModel], settings: ServerSettings | None = None) -> FastAPI:
    """The application; `load` brings the model, now and at each reload.

    Raises:
        SubjectwiseError: the model cannot be loaded.
    """
    settings = settings or ServerSettings()
    service = InferenceService(load, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.close()
        _log.info("stopped", extra={"fields": {"answered_questions": service.answered}})

    app = FastAPI(
        title="subjectwise", description=_DESCRIPTION, lifespan=lifespan, redoc_url=None, version="1",
        license_info={"name": "Apache-2.0"},
    )  # fmt: skip
    app.state.service = service
    app.include_router(llm_router.router)
    app.include_router(text_embeddings_inference.router)
    app.include_router(v1.router)
    add_page(app)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_served)
    # The last one added is the first that a request meets.
    app.add_middleware(BodyLimitMiddleware, most=settings.body_bytes, seconds=settings.limits.deadline)
    app.add_middleware(ApiKeyMiddleware, api_keys=settings.api_keys)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_origins), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", REQUEST_ID], expose_headers=[REQUEST_ID],
        )  # fmt: skip
    app.add_middleware(RequestIdMiddleware, metrics=service.metrics, stopping=lambda: service.stopping)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_response(error, request.scope)


async def _not_served(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself."""
    assert isinstance(error, HTTPException)
    sentences = {
        400: "The body cannot be read as JSON.",
        404: "There is nothing at this path; /docs has the paths that there are.",
        405: f"{request.method} is not for this path; /docs says what is.",
    }
    refusal = Missing(sentences.get(error.status_code, "This request cannot be answered."), error.headers)
    refusal.status = error.status_code
    return refusal_response(refusal, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal_response(Refusal(_sentence(request.url.path, error.errors())), request.scope)


def _sentence(path: str, errors: Sequence[Any]) -> str:
    """The first error of a body in one sentence, without what the client sent."""
    error = errors[0]
    place = [part for part in error["loc"][1:] if isinstance(part, int) or part.isidentifier()]
    if error["type"] == "json_invalid":
        return "The body is not JSON."
    if not place:
        return "The body must be a JSON object, sent as application/json."
    name = ".".join(map(str, place))[:60]
    if error["type"] == "missing" and len(place) == 1:
        return f"The field {name} is missing."
    if path == "/predict" and place[0] == "inputs":
        return "The field inputs must be a text, or a list of lists with one text each: this model reads no pairs."
    if place[0] == "questions" and len(place) > 1 and isinstance(place[1], int):
        return f"Question {place[1] + 1} must be a text, or an object with a text and at most 64 options."
    if error["type"] == "extra_forbidden":
        return f"The field {name} is not known; leave it out."
    message = str(error["msg"])
    return f"The field {name} cannot be used: {message[:1].lower()}{message[1:]}."
