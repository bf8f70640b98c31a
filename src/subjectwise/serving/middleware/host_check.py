"""ASGI middleware that refuses requests for other hosts (DNS rebinding).

A web page can let its own name lead to 127.0.0.1 and ask a server there as if it were its own. Its requests have that
name in `Host`.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from subjectwise.serving.error_responses import Misdirected, refusal_response


class HostCheckMiddleware:
    """Answers requests for known hosts.

    Args:
        app: answers the requests.
        hosts: names and addresses, without ports and brackets; empty where every host is answered.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with 421."""
        if scope["type"] == "http" and self._hosts:
            # Browsers always send one; HTTP/1.0 has none.
            host = Headers(scope=scope).get("Host", "")
            if host and host_name(host) not in self._hosts:
                refusal = Misdirected(
                    "This server answers for this machine only; ask it by its address, or allow the name with "
                    "--allow-host."
                )
                await refusal_response(refusal, scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def host_name(host: str) -> str:
    """Return the name or address in a `Host` header, in lower case, without the port and brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")
