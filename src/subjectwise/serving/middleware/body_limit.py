"""ASGI middleware that reads the whole body, of the right kind, up to a size and within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from subjectwise.serving.error_responses import (
    Ambiguous,
    Overloaded,
    Refusal,
    SlowBody,
    Stopping,
    TooLarge,
    Unsupported,
    refusal_response,
)

# How long and how much is read of a body that is refused: a client that is still sending would not see the answer.
_LINGER_SECONDS, _LINGER_BODIES = 2.0, 8

# Bodies of the largest size that may be in memory at once.
_MOST_BODIES = 32


class BodyLimitMiddleware:
    """Reads the whole body before the application is called.

    Args:
        app: answers requests whose body has arrived.
        most: bytes of a body.
        seconds: until a body must have arrived.
        part_seconds: between two parts of it.
        stopping: returns whether the server is about to end.
    """

    def __init__(
        self, app: ASGIApp, most: int, seconds: float, part_seconds: float, stopping: Callable[[], bool]
    ) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds
        self.part_seconds = part_seconds
        self.stopping = stopping
        self._stored = 0  # bytes of all bodies that are being read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with 400, 408, 413, 415, 429 or 503."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            self._check_headers(Headers(scope=scope))
            if not await self._read(receive, body):
                return
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        finally:
            self._stored -= len(body)
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        await self.app(scope, replay, send)

    def _check_headers(self, headers: Headers) -> None:
        length = int(headers.get("Content-Length", "0"))
        if "Transfer-Encoding" in headers and "Content-Length" in headers:
            # Two servers in a row that take different ones would not agree where the next request begins.
            raise Ambiguous("Send either Content-Length or Transfer-Encoding, not both.")
        if length > self.most:
            raise self._too_large()
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise Unsupported("A body with a Content-Encoding cannot be read; send it uncompressed.")
        if length or "Transfer-Encoding" in headers:
            kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
                raise Unsupported("The body must be JSON; send it as Content-Type: application/json.")

    async def _read(self, receive: Receive, body: bytearray) -> bool:
        """Read the body; return False where the client has left."""
        try:
            async with asyncio.timeout(self.seconds):
                more = True
                while more:
                    async with asyncio.timeout(self.part_seconds):
                        message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    part, more = message.get("body", b""), message.get("more_body", False)
                    body += part
                    self._stored += len(part)
                    if len(body) > self.most:
                        raise self._too_large()
                    if more and self._stored > _MOST_BODIES * self.most:
                        raise Overloaded("Too many bodies are being read; ask again in a second.", {"Retry-After": "1"})
                    if more and self.stopping():
                        raise Stopping("The server is stopping; ask again later.")
        except TimeoutError:
            raise SlowBody(
                f"The body did not arrive in time: {self.part_seconds:g} seconds between two parts, "
                f"{self.seconds:g} in all."
            ) from None
        return True

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body has more than {self.most:,} bytes; send fewer questions per request.")

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once and close the connection, whose next bytes may be the rest of the body."""
        refusal.headers["Connection"] = "close"
        response = refusal_response(refusal, scope)
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        waits = "100-continue" in Headers(scope=scope).get("Expect", "").lower()
        if not isinstance(refusal, SlowBody) and not waits:
            await self._linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self, receive: Receive) -> None:
        """Read a part of the body that is not wanted, so that its sender reads the answer before it is cut off."""
        left = _LINGER_BODIES * self.most
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                more = True
                while more and left > 0:
                    message = await receive()
                    more = message["type"] == "http.request" and message.get("more_body", False)
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return
