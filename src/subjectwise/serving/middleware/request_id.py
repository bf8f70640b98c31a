"""ASGI middleware for request ids, security headers, metrics and the access log. Knows no routes."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from subjectwise.serving.access_log import LOGGER, REQUEST
from subjectwise.serving.error_responses import REQUEST_ID, Failed, refusal_response
from subjectwise.serving.prometheus import Metrics

_log = logging.getLogger(LOGGER)

_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def log_fields(scope: Scope, **fields: object) -> None:
    """Add fields to the request's line in the access log."""
    scope["state"].setdefault("fields", {}).update(fields)


class RequestIdMiddleware:
    """Assigns a request id, counts and logs the request, and answers what nothing else has caught. The outermost.

    Args:
        app: answers the request.
        metrics: count it.
        stopping: returns whether the server is about to end.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, stopping: Callable[[], bool]) -> None:
        self.app = app
        self.metrics = metrics
        self.stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = sent if _VALID_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        method, status = scope["method"], 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = _CONTENT_POLICY
                headers.setdefault("Cache-Control", "no-store")
                # Otherwise the client sends its next request into a connection that is about to close.
                if self.stopping():
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            _log.error("error", exc_info=error, extra={"fields": {"request_id": request_id}})
            if not status:
                response = refusal_response(Failed("Internal error; the log has the cause."), scope)
                await response(scope, receive, send_with_headers)
        finally:
            # The path as it is declared: made-up paths would add counters without end.
            route = getattr(scope.get("route"), "path", "") or "unknown"
            seconds = time.perf_counter() - started
            self.metrics.request(route, status, seconds)
            fields = {
                "request_id": request_id,
                "method": method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                **scope["state"].get("fields", {}),
            }
            _log.info(REQUEST, extra={"fields": fields})
