"""The classifier as tools of the Model Context Protocol, over standard input or HTTP. Knows no contract of HTTP."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import BinaryIO

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from subjectwise.serving.answering import answer_questions
from subjectwise.serving.error_responses import Refusal, Stopping, refusal_response
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.mcp_by_path import method_routes
from subjectwise.serving.middleware.api_key import ApiKeyMiddleware
from subjectwise.serving.middleware.body_limit import BodyLimitMiddleware
from subjectwise.serving.middleware.head_requests import HeadMiddleware
from subjectwise.serving.middleware.host_check import HostCheckMiddleware
from subjectwise.serving.middleware.request_id import RequestIdMiddleware
from subjectwise.serving.request_questions import QuestionText
from subjectwise.serving.subject_descriptions import label_descriptions
from subjectwise.types import JsonObject
from subjectwise.utils.clean_text import replace_surrogates

_INSTRUCTIONS = "Classifies questions by subject. list_categories lists the subjects."


def create_server(service: InferenceService) -> MCPServer[None]:
    """Return a server with the tools `classify_text` and `list_categories`, as LLM routers call them."""

    @asynccontextmanager
    async def lifespan(server: MCPServer[None]) -> AsyncIterator[None]:
        # Over HTTP the application has started the service, and every session comes through here.
        own = not service.queue.alive
        if own:
            service.start()
        yield
        if own:
            await service.close()

    server: MCPServer[None] = MCPServer(
        "subjectwise", instructions=_INSTRUCTIONS, version=version("subjectwise"), lifespan=lifespan
    )

    @server.tool(structured_output=True)
    async def classify_text(text: str, with_probabilities: bool = False) -> JsonObject:
        """Name the subject of a question.

        `class` is its index in `list_categories`, from 0, `label` its name, `confidence` its probability.

        Args:
            text: the question.
            with_probabilities: also return the probability of every subject, in the order of `list_categories`.
        """
        try:
            answer = await answer_questions(service.queue, service.read([QuestionText(text)]))
        except Refusal as error:
            raise ToolError(str(error)) from error
        service.count(answer)
        prediction = answer.predictions[0]
        # LLM routers read the index; a language model that calls the tool reads the name.
        names = list(prediction.scores)
        result: JsonObject = {
            "class": names.index(prediction.label), "label": prediction.label, "confidence": prediction.score,
        }  # fmt: skip
        probabilities = [prediction.scores[name] for name in names]
        return result | {"probabilities": probabilities} if with_probabilities else result

    @server.tool(structured_output=True)
    async def list_categories() -> JsonObject:
        """List the subjects that a question may belong to, with a description of each where it has one."""
        labels = service.model.labels
        return {"categories": list(labels), "category_descriptions": label_descriptions(labels)}

    return server


def create_http_app(service: InferenceService, host: str) -> Starlette:
    """Return the application that serves the tools at `/mcp` (streamable HTTP), below it by path, and `/health`.

    Args:
        service: which answers.
        host: where it is bound.
    """
    server = create_server(service)

    settings = service.settings
    # A server with a key may be asked by any name. Without one, on this machine, the library checks name and origin.
    open_to_names = TransportSecuritySettings(enable_dns_rebinding_protection=False) if settings.api_keys else None
    app = server.streamable_http_app(host=host, transport_security=open_to_names)
    sessions = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        async with sessions(app):
            yield
        await service.close()

    async def health(request: Request) -> Response:
        if service.stopping or not service.queue.alive:
            return refusal_response(Stopping("unhealthy"), request.scope)
        return Response(media_type="text/plain")

    app.router.routes.append(Route("/health", health, methods=["GET"]))
    app.router.routes.extend(method_routes(server, "/mcp"))
    app.router.lifespan_context = lifespan
    app.state.service = service
    app.add_middleware(
        BodyLimitMiddleware, most=settings.body_bytes, seconds=settings.limits.deadline,
        part_seconds=settings.connections.body_seconds, stopping=lambda: service.stopping,
    )  # fmt: skip
    app.add_middleware(ApiKeyMiddleware, api_keys=settings.api_keys)
    app.add_middleware(HostCheckMiddleware, hosts=settings.hosts)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestIdMiddleware, metrics=service.metrics, stopping=lambda: service.stopping)
    return app


def serve_stdio(service: InferenceService) -> None:
    """Serve the tools on standard input and output until the input ends."""
    sys.stdin = io.TextIOWrapper(EncodableLines(sys.stdin.buffer), encoding="utf-8")
    create_server(service).run("stdio")


class EncodableLines(io.BufferedIOBase):
    """Lines of JSON without lone surrogates, with which the library would answer nothing at all.

    Args:
        source: of the lines.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read1(self, size: int = -1) -> bytes:
        """Return a part of a line, as soon as the line is there."""
        if not self._rest:
            self._rest = encodable_line(self._source.readline())
        end = len(self._rest) if size < 0 else size
        part, self._rest = self._rest[:end], self._rest[end:]
        return part


def encodable_line(line: bytes) -> bytes:
    """Return a line of JSON with U+FFFD for each lone surrogate; any other as it is."""
    if b"\\ud" not in line.lower():
        return line
    try:
        message = json.loads(line)
    except ValueError:
        return line
    return replace_surrogates(json.dumps(message, ensure_ascii=False)).encode("utf-8") + b"\n"
