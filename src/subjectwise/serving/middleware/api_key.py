"""ASGI middleware that requires an API key, where there are any. Knows which paths need none."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from subjectwise.serving.error_responses import Unauthorised, refusal_response

# These need no key: load balancers and Prometheus ask for the first three, as they do of text-embeddings-inference; the
# others are the page and the documentation.
_OPEN = ("/health", "/ping", "/metrics", "/", "/favicon.ico", "/docs", "/openapi.json")
_OPEN_FOLDER = "/page/"


def needs_key(path: str, method: str) -> bool:
    """Return whether a request needs an API key, where there are any."""
    return not (method == "GET" and (path in _OPEN or path.startswith(_OPEN_FOLDER)))


class ApiKeyMiddleware:
    """Requires one of the keys, where there are any.

    Args:
        app: answers requests that have a key.
        api_keys: empty where every request is answered.
    """

    def __init__(self, app: ASGIApp, api_keys: Sequence[str]) -> None:
        self.app = app
        self._keys = [key.encode() for key in api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with 401."""
        if scope["type"] == "http" and self._keys and not self._is_allowed(scope):
            refusal = Unauthorised(
                "Give an API key, as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.", {"WWW-Authenticate": "Bearer"}
            )
            await refusal_response(refusal, scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if not needs_key(scope["path"], scope["method"]):
            return True
        headers = Headers(scope=scope)
        kind, _, token = headers.get("Authorization", "").partition(" ")
        # Where a proxy has put something of its own into Authorization, X-API-Key counts.
        given = [headers.get("X-API-Key", ""), token.strip() if kind.lower() == "bearer" else ""]
        # Every key is compared, so that the time does not reveal which one was nearly right.
        equal = [hmac.compare_digest(one.encode("utf-8"), key) for one in given for key in self._keys]
        return any(equal)
