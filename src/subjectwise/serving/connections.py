"""HTTP connections: closed where nothing arrives in time, and limited in number. Knows no routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from h11 import SEND_BODY
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from subjectwise.serving.access_log import LOGGER
from subjectwise.serving.limits import ConnectionLimits
from subjectwise.types import JsonObject

_log = logging.getLogger(LOGGER)

# File descriptors that stay free for everything else, such as the files of a model that is loaded again.
_SPARE_DESCRIPTORS = 32

# Where the open descriptors cannot be counted.
_USUAL_DESCRIPTORS = 64

_REPORT_SECONDS = 60


class ConnectionConfig(uvicorn.Config):
    """uvicorn's configuration with limits of connections.

    Args:
        app: the ASGI application.
        limits: of the connections.
        deadline: seconds in which what was accepted is answered.
        on_close: called with the reason for each connection that the server closes: `slow` or `limit`.
    """

    def __init__(
        self, app: ASGIApp, limits: ConnectionLimits, deadline: float, on_close: Callable[[str], None]
    ) -> None:
        super().__init__(
            app,
            http=LimitedConnection,
            log_config=None,
            # Its warnings are of what clients send, such as a request to upgrade to a protocol that is not spoken.
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ws="none",
            loop="asyncio",
            # asyncio accepts as many connections in a row, and where descriptors run out it fails as often.
            backlog=128,
            timeout_keep_alive=int(limits.keep_alive_seconds),
            timeout_graceful_shutdown=int(deadline) + 5,
        )
        self.connection_limits = limits
        self.on_close = on_close


class LimitedConnection(H11Protocol):
    """A connection that is closed where its request does not arrive in time."""

    config: ConnectionConfig

    def __init__(
        self,
        config: ConnectionConfig,
        server_state: ServerState,
        app_state: JsonObject,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.idle_since = self.loop.time()
        # Since when a request is arriving whose headers are not complete; also what is left of a refused one.
        self._arriving_since: float | None = self.idle_since

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the connection; above the limit, close the one that has been idle longest."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        if len(self.connections) > self.config.connection_limits.most:
            others = [other for other in self.connections if isinstance(other, LimitedConnection) and other.idle]
            min(others, key=lambda other: other.idle_since).drop("limit")

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        if self.idle and self._arriving_since is None:
            self._arriving_since = self.loop.time()
        super().data_received(data)
        if not self.idle:
            self._arriving_since = None

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.idle:
            # The rest of a refused body, or the beginning of the next request.
            arriving = self.conn.their_state is SEND_BODY or self.conn.trailing_data[0]
            self._arriving_since = self.idle_since if arriving else None

    def drop_if_slow(self) -> None:
        """Close the connection where its request has not arrived in time."""
        since, limit = self._arriving_since, self.config.connection_limits.header_seconds
        if self.idle and since is not None and self.loop.time() - since > limit:
            self.drop("slow")

    def drop(self, reason: str) -> None:
        """Close the connection at once."""
        self.config.on_close(reason)
        # At once, since of many that arrive together each must find another to close.
        self.connections.discard(self)
        self.transport.abort()


def connections_within_descriptors(wanted: int) -> int:
    """Return how many connections the process has file descriptors for, at most `wanted`, after raising its limit."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return wanted
    folder = Path("/proc/self/fd")
    used = len(list(folder.iterdir())) if folder.is_dir() else _USUAL_DESCRIPTORS
    reserved = used + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + reserved:
        raised = wanted + reserved if hard == resource.RLIM_INFINITY else min(wanted + reserved, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - reserved), 1)


class LoopErrors:
    """Logs errors of the event loop; of connections that cannot be accepted one line per minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_report = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: JsonObject) -> None:
        """Handle an error, as `loop.set_exception_handler` takes it."""
        message = str(context.get("message", ""))
        if "BaseSelectorEventLoop._start_serving" in message:
            return  # asyncio tries once for each connection that could not be accepted; by now the socket is closed
        if not message.startswith("socket.accept() out of system resource"):
            loop.default_exception_handler(context)
        elif self._clock() >= self._next_report:
            self._next_report = self._clock() + _REPORT_SECONDS
            _log.error("cannot accept connections", extra={"fields": {"reason": str(context.get("exception"))}})
