"""The ASGI application: routes, middleware and error handlers joined. Knows neither sockets nor signals."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from subjectwise.serving.access_log import LOGGER
from subjectwise.serving.api_description import DescribedApplication
from subjectwise.serving.error_responses import REQUEST_ID, Missing, Refusal, refusal_response
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.middleware.api_key import ApiKeyMiddleware
from subjectwise.serving.middleware.body_limit import BodyLimitMiddleware
from subjectwise.serving.middleware.head_requests import HeadMiddleware
from subjectwise.serving.middleware.host_check import HostCheckMiddleware
from subjectwise.serving.middleware.request_id import RequestIdMiddleware
from subjectwise.serving.routes import llm_router, text_embeddings_inference, v1
from subjectwise.serving.routes.page import add_page
from subjectwise.serving.settings import ServerSettings
from subjectwise.serving.validation_errors import validation_sentence

_log = logging.getLogger(LOGGER)

_DESCRIPTION = "Classifies questions by subject, with calibrated probabilities."


def create_app(load: Callable[[], LoadedModel], settings: ServerSettings | None = None) -> FastAPI:
    """Return the application.

    Args:
        load: loads the model, now and at each reload.
        settings: of the server.

    Raises:
        SubjectwiseError: the model cannot be loaded.
    """
    settings = settings or ServerSettings()
    service = InferenceService(load, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()
        _log.info("stopped", extra={"fields": {"answered_questions": service.answered}})

    app = DescribedApplication(
        keyed=bool(settings.api_keys), title="subjectwise", description=_DESCRIPTION, lifespan=lifespan, version="1",
        license_info={"name": "Apache-2.0"},
        # A redirect would be to http, and to whatever Host the client sent.
        redirect_slashes=False,
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
    app.add_middleware(
        BodyLimitMiddleware, most=settings.body_bytes, seconds=settings.limits.deadline,
        part_seconds=settings.connections.body_seconds, stopping=lambda: service.stopping,
    )  # fmt: skip
    app.add_middleware(ApiKeyMiddleware, api_keys=settings.api_keys)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_origins), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Retry-After"],
        )  # fmt: skip
    app.add_middleware(HostCheckMiddleware, hosts=settings.hosts)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestIdMiddleware, metrics=service.metrics, stopping=lambda: service.stopping)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_response(error, request.scope)


async def _not_served(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses by itself."""
    assert isinstance(error, HTTPException)
    sentences = {
        400: "The body cannot be read as JSON.",
        404: "Unknown path; /docs lists the paths.",
        405: f"This path does not take {request.method}; /docs lists what it takes.",
    }
    refusal = Missing(sentences.get(error.status_code, "This request cannot be answered."), error.headers)
    refusal.status = error.status_code
    return refusal_response(refusal, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal_response(Refusal(validation_sentence(request.url.path, error.errors(), error.body)), request.scope)
