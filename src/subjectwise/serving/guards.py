"""What every request passes before its route: an id, a log line, the key, the size of the body. Knows no model."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from subjectwise.serving.metrics import Metrics
from subjectwise.serving.refusals import Failed, Refusal, SlowBody, TooLarge, Unauthorised

_log = logging.getLogger("subjectwise.serving")

REQUEST_ID = "X-Request-ID"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# No key is asked for these: a balancer asks for the first, the others hold nothing but the page and its description.
_OPEN = ("/health", "/", "/favicon.ico", "/docs", "/openapi.json")
_OPEN_FOLDER = "/page/"

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# FastAPI's page of the contracts loads Swagger UI from this host, and starts it by a script in the page.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net; "
    "img-src https://fastapi.tiangolo.com data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def refusal_response(refusal: Refusal, scope: Scope) -> JSONResponse:
    """One sentence and its kind, as text-embeddings-inference has them; on our own paths the request's id as well."""
    # There, a model that fails is a dependency that failed.
    tei = scope["path"] == "/predict"
    status = 424 if tei and refusal.status == 500 else refusal.status
    body = {"error": _printable(str(refusal)), "error_type": refusal.kind}
    if scope["path"].startswith("/v1/"):
        body["request_id"] = request_id(scope)
    return JSONResponse(body, status, headers=refusal.headers)


def request_id(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id", ""))


def note(scope: Scope, **fields: object) -> None:
    """Adds fields to the request's line in the log."""
    scope["state"].setdefault("fields", {}).update(fields)


def _printable(text: str) -> str:
    """Without what UTF-8 cannot hold, which JSON input may have."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Observed:
    """Outermost: gives the request an id, counts and logs it, and answers what nothing else has caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics, stopping: Callable[[], bool]) -> None:
        self.app = app
        self.metrics = metrics
        self.stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        known = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = known
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = known
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = _DOCS_POLICY if scope["path"] == "/docs" else _PAGE_POLICY
                headers.setdefault("Cache-Control", "no-store")
                # Else the client sends its next request into a connection that is about to be closed.
                if self.stopping():
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            _log.error("error", exc_info=error, extra={"fields": {"request_id": known}})
            if not status:
                response = refusal_response(Failed("Something went wrong here; the log says what."), scope)
                await response(scope, receive, send_with_headers)
        finally:
            # The path as it is declared: what a client makes up would grow the log and the counters.
            route = getattr(scope.get("route"), "path", "") or "unknown"
            seconds = time.perf_counter() - started
            self.metrics.request(route, status, seconds)
            fields = {
                "request_id": known,
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                **scope["state"].get("fields", {}),
            }
            _log.info("request", extra={"fields": fields})


class Authorised:
    """Asks for one of the keys, where there are any."""

    def __init__(self, app: ASGIApp, api_keys: Sequence[str]) -> None:
        self.app = app
        self._keys = [key.encode() for key in api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and not self._opens(scope):
            refusal = Unauthorised(
                "Give an API key, as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.", {"WWW-Authenticate": "Bearer"}
            )
            await refusal_response(refusal, scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _opens(self, scope: Scope) -> bool:
        if scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDER):
            return True
        headers = Headers(scope=scope)
        kind, _, token = headers.get("Authorization", "").partition(" ")
        given = (token.strip() if kind.lower() == "bearer" else headers.get("X-API-Key", "")).encode("utf-8")
        # Every key is compared, so that the time does not tell which one was nearly right.
        equal = [hmac.compare_digest(given, key) for key in self._keys]
        return any(equal)


class BodyLimit:
    """Reads the whole body, up to a size and within a time."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        body = bytearray()
        size = 0
        try:
            async with asyncio.timeout(self.seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    part = message.get("body", b"")
                    size += len(part)
                    more = message.get("more_body", False)
                    # Read on for a while, without keeping it: a client that still writes would not see the answer.
                    if size <= self.most:
                        body += part
                    elif size > 8 * self.most:
                        break
        except TimeoutError:
            refusal: Refusal = SlowBody(f"The body did not arrive within {self.seconds:g} seconds.")
            await refusal_response(refusal, scope)(scope, receive, send)
            return
        if size > self.most:
            refusal = TooLarge(f"The body has more than {self.most:,} bytes; send fewer questions at a time.")
            await refusal_response(refusal, scope)(scope, receive, send)
            return
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        await self.app(scope, replay, send)
