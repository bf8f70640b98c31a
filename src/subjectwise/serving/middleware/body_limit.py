"""ASGI middleware that reads the whole body, up to a size and within a time."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from subjectwise.serving.error_responses import Refusal, SlowBody, TooLarge, refusal_response


class BodyLimitMiddleware:
    """Reads the whole body before the application is called.

    Args:
        app: answers requests whose body has arrived.
        most: bytes of a body.
        seconds: until a body must have arrived.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with 408 or 413."""
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
                    # Keep reading for a while without storing it: a client still sending would not see the answer.
                    if size <= self.most:
                        body += part
                    elif size > 8 * self.most:
                        break
        except TimeoutError:
            refusal: Refusal = SlowBody(f"The body did not arrive within {self.seconds:g} seconds.")
            await refusal_response(refusal, scope)(scope, receive, send)
            return
        if size > self.most:
            refusal = TooLarge(f"The body has more than {self.most:,} bytes; send fewer questions per request.")
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
